//! Another try for those whose failure may pass.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use chrono::{DateTime, Utc};
use contracts::names::event::CAMPAIGN_RESUMED;
use diesel_async::AsyncConnection;
use kernel::ids::CampaignId;
use serde::{Deserialize, Serialize};
use service::{Caller, Json, Problem, Query, Scope, etag};
use storage::AsyncPgConnection;
use storage::campaigns::numbers;
use storage::campaigns::standing::{self, Status};
use storage::events::{self, Event};

use super::control::{by_hand, whose};
use super::values::Nothing;
use super::{Api, view};
use crate::announce;
use crate::store::ChangeError;
use crate::store::campaigns;

/// Recipients moved in one transaction: it holds the campaign for some 100 ms.
pub(super) const MOST: i64 = 5_000;

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
    let codes: Vec<i32> = matched.by_code.into_keys().collect();
    // Whoever fails again meanwhile is no part of this retry.
    let mut left = matched.matched;
    while left > 0 {
        let now = api.clock.now();
        let mut conn = api.db.connection().await?;
        let (moved, event) =
            (*conn).transaction(async |tx| again(tx, &caller, *id, &codes, now).await).await?;
        drop(conn);
        api.relay.publish(event.into_iter().collect()).await;
        if moved == 0 {
            break;
        }
        left -= moved;
    }
    api.sender.nudge();
    api.ticks.tick(*id).await;
    let shown = view::one(&api, &caller, *id).await?;
    Ok(HttpResponse::Accepted().insert_header(etag(shown.version())).json(shown))
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

async fn again(
    tx: &mut AsyncPgConnection,
    caller: &Caller,
    id: CampaignId,
    codes: &[i32],
    now: DateTime<Utc>,
) -> Result<(i64, Option<Event>), ChangeError> {
    let workspace = caller.workspace;
    let campaign = campaigns::lock(tx, workspace, id, None).await?;
    require_again(campaign.status())?;
    let by = by_hand(caller, None);
    let again = standing::retry_failed(tx, workspace, id, codes, MOST, &by, now).await?;
    let again = again.ok_or(ChangeError::NotFound)?;
    if again.status == campaign.status() {
        return Ok((again.recipients, None));
    }
    let event =
        announce::event(whose(caller, &campaign), CAMPAIGN_RESUMED, (again.status, None), now);
    events::append(tx, std::slice::from_ref(&event), now).await?;
    Ok((again.recipients, Some(event)))
}

/// Refuses a campaign in which nothing is tried again.
pub(super) fn require_again(status: Status) -> Result<(), ChangeError> {
    match status {
        Status::Running | Status::Paused | Status::Completed | Status::CompletedWithIssues => {
            Ok(())
        }
        Status::Draft
        | Status::Scheduled
        | Status::Preparing
        | Status::Cancelled
        | Status::Failed => Err(ChangeError::Conflict {
            status,
            advice: "Only a campaign that runs, is paused or is over can try again.",
        }),
    }
}
