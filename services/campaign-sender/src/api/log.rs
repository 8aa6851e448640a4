//! Who did what to a campaign, and what it did by itself and why.

use actix_web::web::{Data, Path};
use kernel::ids::CampaignId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service::{Caller, Cursor, Limit, Page, Problem, Query, Scope};
use uuid::Uuid;

use super::{Api, shown_time};
use crate::store::{campaigns, log};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<Uuid>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Shown {
    object: &'static str,
    at: String,
    /// A key, or the part of the product that did it by itself.
    actor: String,
    action: String,
    detail: Value,
}

/// The campaign's log, newest first.
pub(super) async fn list(
    api: Data<Api>,
    caller: Caller,
    id: Path<CampaignId>,
    Query(wanted): Query<Wanted>,
) -> Result<Page<Shown>, Problem> {
    caller.require(Scope::CampaignsRead)?;
    let mut conn = api.db.connection().await?;
    let campaign = campaigns::find(&mut conn, caller.workspace, *id).await?;
    campaign.ok_or_else(Problem::not_found)?;
    let (before, rows) = (wanted.cursor.map(|Cursor(last)| last), wanted.limit.rows());
    let entries = log::list(&mut conn, caller.workspace, *id, before, rows).await?;
    Ok(Page::new(
        entries,
        wanted.limit,
        |entry: &log::Entry| entry.id,
        |entry| Shown {
            object: "campaign_log_entry",
            at: shown_time(entry.at),
            actor: entry.actor,
            action: entry.action,
            detail: entry.detail,
        },
    ))
}
