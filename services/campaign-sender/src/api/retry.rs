//! Another try for those whose failure may pass.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use kernel::ids::CampaignId;
use serde::{Deserialize, Serialize};
use service::{Caller, Json, Problem, Query, Scope};
use storage::campaigns::numbers;

use super::Api;
use super::again::{self, Chance};
use super::control::by_hand;
use super::values::Nothing;
use crate::store::campaigns;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    #[serde(default)]
    dry_run: bool,
}

/// What a retry would do.
#[derive(Debug, Serialize)]
struct Matched {
    object: &'static str,
    campaign: CampaignId,
    dry_run: bool,
    matched: i64,
    /// The matched by Meta's error code.
    by_code: BTreeMap<i32, i64>,
    /// Failed for good: another try would fail alike.
    not_retryable: i64,
}

/// Tries failed recipients again whose error may pass; never the uncertain ones. With `dry_run` it only
/// counts them.
pub(super) async fn failed(
    api: Data<Api>,
    caller: Caller,
    id: Path<CampaignId>,
    Query(Nothing {}): Query<Nothing>,
    Json(body): Json<Body>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::CampaignsSend)?;
    let matched = matched(&api, &caller, *id).await?;
    if body.dry_run {
        return Ok(HttpResponse::Ok().json(matched));
    }
    let recipients = matched.matched;
    let codes = matched.by_code.into_keys().collect();
    again::give(&api, &caller, *id, Chance::Retry { codes, recipients }, by_hand(&caller, None))
        .await
}

/// Whether a message that failed with this code of Meta's is worth another try.
pub(super) fn is_worthwhile(code: i32) -> bool {
    whatsapp::error_class::classify(code, None, None).is_retryable()
}

async fn matched(api: &Api, caller: &Caller, id: CampaignId) -> Result<Matched, Problem> {
    let mut conn = api.db.connection().await?;
    let campaign = campaigns::find(&mut conn, caller.workspace, id).await?;
    campaign.ok_or_else(Problem::not_found)?;
    let failed = numbers(&mut conn, &[id]).await?.remove(&id).unwrap_or_default().failed;
    let (worthwhile, rest): (BTreeMap<i32, i64>, BTreeMap<i32, i64>) =
        failed.into_iter().filter(|(_, n)| *n > 0).partition(|(code, _)| is_worthwhile(*code));
    Ok(Matched {
        object: "retry",
        campaign: id,
        dry_run: true,
        matched: worthwhile.values().sum(),
        by_code: worthwhile,
        not_retryable: rest.values().sum(),
    })
}
