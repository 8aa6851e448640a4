//! When a campaign starts by itself, and when it keeps quiet.

use actix_web::Responder;
use actix_web::web::{Data, Path};
use chrono::{DateTime, NaiveDateTime, Utc};
use diesel_async::AsyncConnection;
use kernel::ids::CampaignId;
use serde::Deserialize;
use serde_json::json;
use service::{Caller, IfMatch, Json, Problem, Query, Scope};
use storage::campaigns::standing::Status;

use super::campaigns::answer;
use super::values::{Clock, Nothing, QuietHours};
use super::{Api, start, view};
use crate::store::campaigns::{self, Campaign, Changes};
use crate::store::{ChangeError, log, schedule};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    /// A wall clock, without an offset.
    at: NaiveDateTime,
    time_zone: Clock,
    quiet_hours: Option<QuietHours>,
}

/// Sets when it starts: a wall clock of a time zone, or of each recipient.
pub(super) async fn set(
    api: Data<Api>,
    caller: Caller,
    id: Path<CampaignId>,
    IfMatch(expected): IfMatch,
    Query(Nothing {}): Query<Nothing>,
    Json(body): Json<Body>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::CampaignsSend)?;
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    (*conn)
        .transaction(async |tx| {
            let campaign = campaigns::lock(tx, caller.workspace, *id, expected).await?;
            require_unstarted(&campaign)?;
            start::require_startable(tx, caller.workspace, &campaign, now).await?;
            let begins = match &body.time_zone {
                Clock::Recipients => schedule::earliest(tx, body.at).await?,
                Clock::Zone(name) => schedule::moment(tx, body.at, name).await?,
            };
            require_future(&campaign, begins, now)?;
            let changes = body.changes(begins);
            campaigns::update(tx, *id, changes, now).await?;
            let detail = json!({ "at": body.at, "time_zone": body.time_zone.as_str() });
            let entry = (caller.key.to_string(), "scheduled", detail);
            log::append(tx, caller.workspace, *id, entry, now).await?;
            Ok::<_, ChangeError>(())
        })
        .await?;
    drop(conn);
    Ok(answer(view::one(&api, &caller, *id).await?))
}

/// Makes it a draft again.
pub(super) async fn clear(
    api: Data<Api>,
    caller: Caller,
    id: Path<CampaignId>,
    IfMatch(expected): IfMatch,
    Query(Nothing {}): Query<Nothing>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::CampaignsSend)?;
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    (*conn)
        .transaction(async |tx| {
            let campaign = campaigns::lock(tx, caller.workspace, *id, expected).await?;
            require_unstarted(&campaign)?;
            if campaign.status() == Status::Draft {
                return Ok(());
            }
            campaigns::update(tx, *id, cleared(), now).await?;
            let entry = (caller.key.to_string(), "unscheduled", json!({}));
            log::append(tx, caller.workspace, *id, entry, now).await?;
            Ok::<_, ChangeError>(())
        })
        .await?;
    drop(conn);
    Ok(answer(view::one(&api, &caller, *id).await?))
}

impl Body {
    fn changes(&self, begins: DateTime<Utc>) -> Changes {
        Changes {
            status: Some(Status::Scheduled.as_str()),
            scheduled_for: Some(Some(self.at)),
            time_zone: Some(match &self.time_zone {
                Clock::Recipients => "UTC".to_owned(),
                Clock::Zone(name) => name.clone(),
            }),
            is_local_time: Some(self.time_zone == Clock::Recipients),
            quiet_from: Some(self.quiet_hours.map(|hours| hours.from)),
            quiet_to: Some(self.quiet_hours.map(|hours| hours.to)),
            next_look_at: Some(Some(begins)),
            ..Changes::default()
        }
    }
}

fn cleared() -> Changes {
    Changes {
        status: Some(Status::Draft.as_str()),
        scheduled_for: Some(None),
        time_zone: Some("UTC".to_owned()),
        is_local_time: Some(false),
        quiet_from: Some(None),
        quiet_to: Some(None),
        next_look_at: Some(None),
        waits_for: Some(None),
        ..Changes::default()
    }
}

fn require_unstarted(campaign: &Campaign) -> Result<(), ChangeError> {
    match campaign.status() {
        Status::Draft | Status::Scheduled => Ok(()),
        status => Err(ChangeError::Conflict {
            status,
            advice: "Only a campaign that was not started can be scheduled.",
        }),
    }
}

fn require_future(
    campaign: &Campaign,
    begins: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), ChangeError> {
    if begins <= now {
        return Err(ChangeError::InThePast);
    }
    if campaign.ends_at.is_some_and(|ends_at| ends_at <= begins) {
        return Err(ChangeError::AfterItsEnd);
    }
    Ok(())
}
