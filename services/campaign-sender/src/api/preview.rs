//! Who a campaign would reach if it began now.

use actix_web::web::{Data, Json, Path};
use chrono::TimeDelta;
use kernel::ids::CampaignId;
use serde::Serialize;
use service::{Caller, Problem, Query, Scope};
use storage::connections;

use super::start::require_sendable;
use super::values::Nothing;
use super::{Api, shown_time};
use crate::audience::{About, Audience, Cap, Preview, PreviewError, preview};
use crate::limit;
use crate::store::campaigns;
use crate::template::Template;

/// The people, and how long they take.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    object: &'static str,
    campaign: CampaignId,
    #[serde(flatten)]
    people: Preview,
    estimate: Estimate,
}

/// How long it takes at the connection's limit, if it has the connection to itself.
#[derive(Debug, Serialize)]
struct Estimate {
    limit_per_minute: u32,
    seconds: i64,
    /// When the last one would be sent, were it started now.
    finished_at: Option<String>,
}

/// Counts the audience as it is now, and why some of it would get nothing; changes nothing.
pub(super) async fn show(
    api: Data<Api>,
    caller: Caller,
    id: Path<CampaignId>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<Shown>, Problem> {
    caller.require(Scope::CampaignsRead)?;
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    let campaign = campaigns::find(&mut conn, caller.workspace, *id).await?;
    let campaign = campaign.ok_or_else(Problem::not_found)?;
    require_sendable(&mut conn, caller.workspace, &campaign).await?;
    let audience: Audience =
        serde_json::from_value(campaign.audience.clone()).map_err(Problem::internal)?;
    let cap = Option::zip(campaign.cap_messages, campaign.cap_days)
        .map(|(messages, days)| Cap { messages, days });
    // A draft's template may be none yet: then it needs nothing.
    let template = serde_json::from_value::<Template>(campaign.template.clone());
    let placeholders = template.map(|template| template.placeholders()).unwrap_or_default();
    let about = About { campaign: Some(*id), cap, placeholders, now };
    let people = preview(&mut conn, caller.workspace, &audience, about).await.map_err(refused)?;
    let connection =
        connections::find(&mut conn, caller.workspace, campaign.connection_id()).await?;
    let own = connection.and_then(|connection| connection.whatsapp_api_per_minute);
    let limit = limit::of(campaign.connection_id(), own, api.api_per_minute);
    let limit = api.limiter.in_force(&limit).most();
    let seconds = people.sendable.saturating_mul(60) / i64::from(limit.max(1));
    let finished_at = TimeDelta::try_seconds(seconds).and_then(|left| now.checked_add_signed(left));
    let estimate =
        Estimate { limit_per_minute: limit, seconds, finished_at: finished_at.map(shown_time) };
    Ok(Json(Shown { object: "audience_preview", campaign: *id, people, estimate }))
}

fn refused(error: PreviewError) -> Problem {
    match error {
        PreviewError::Storage(error) => error.into(),
        PreviewError::Sample(error) => Problem::internal(error),
    }
}
