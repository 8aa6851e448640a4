//! Starting a campaign.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, Responder};
use chrono::{DateTime, Utc};
use contracts::names::event::CAMPAIGN_STARTED;
use diesel_async::AsyncConnection;
use kernel::ids::{CampaignId, WorkspaceId};
use serde_json::json;
use service::{Caller, Problem, Query, Scope, etag};
use storage::campaigns::standing::Status;
use storage::events::{self, Event};
use storage::{AsyncPgConnection, templates};

use super::control::whose;
use super::values::{Nothing, wrong_end};
use super::{Api, view};
use crate::announce;
use crate::audience::Audience;
use crate::store::campaigns::{self, Campaign, Changes};
use crate::store::{ChangeError, log, uploads};
use crate::template::Template;

/// Starts a campaign now, whatever its schedule says. Starting one that has begun changes nothing.
pub(super) async fn start(
    api: Data<Api>,
    caller: Caller,
    id: Path<CampaignId>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::CampaignsSend)?;
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    let begun = (*conn).transaction(async |tx| begin(tx, &caller, *id, now).await).await?;
    drop(conn);
    if let Some(event) = begun {
        api.relay.publish(vec![event]).await;
        api.ticks.tick(*id).await;
    }
    let shown = view::one(&api, &caller, *id).await?;
    Ok(HttpResponse::Accepted().insert_header(etag(shown.version())).json(shown))
}

async fn begin(
    tx: &mut AsyncPgConnection,
    caller: &Caller,
    id: CampaignId,
    now: DateTime<Utc>,
) -> Result<Option<Event>, ChangeError> {
    let campaign = campaigns::lock(tx, caller.workspace, id, None).await?;
    match campaign.status() {
        Status::Draft | Status::Scheduled => (),
        Status::Preparing | Status::Running => return Ok(None),
        status => return Err(not_again(status)),
    }
    require_startable(tx, caller.workspace, &campaign, now).await?;
    require_sendable(tx, caller.workspace, &campaign).await?;
    let changes = Changes {
        status: Some(Status::Preparing.as_str()),
        scheduled_for: Some(None),
        started_at: Some(now),
        next_look_at: Some(Some(now)),
        waits_for: Some(None),
        ..Changes::default()
    };
    campaigns::update(tx, id, changes, now).await?;
    let entry = (caller.key.to_string(), "started", json!({}));
    log::append(tx, caller.workspace, id, entry, now).await?;
    let event =
        announce::event(whose(caller, &campaign), CAMPAIGN_STARTED, (Status::Preparing, None), now);
    events::append(tx, std::slice::from_ref(&event), now).await?;
    Ok(Some(event))
}

/// Refuses a campaign whose template is known and not approved. Of a template nobody has heard of
/// Meta decides.
pub(super) async fn require_sendable(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    campaign: &Campaign,
) -> Result<(), ChangeError> {
    let Ok(template) = serde_json::from_value::<Template>(campaign.template.clone()) else {
        return Ok(());
    };
    let Template { name, language, .. } = template;
    let connection = campaign.connection_id();
    match templates::standing(conn, workspace, connection, &name, &language).await? {
        Some(standing) if !standing.is_sendable() => Err(ChangeError::TemplateNotSendable {
            status: campaign.status(),
            template: (name, language),
            standing,
        }),
        Some(_) | None => Ok(()),
    }
}

/// Refuses a campaign that could reach nobody.
pub(super) async fn require_startable(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    campaign: &Campaign,
    now: DateTime<Utc>,
) -> Result<(), ChangeError> {
    let refuse =
        |code, reason| Err(ChangeError::NotStartable { status: campaign.status(), code, reason });
    let connection = campaigns::require_connection(tx, workspace, campaign.connection_id()).await;
    match connection {
        Ok(()) => (),
        Err(ChangeError::UnknownConnection) => {
            return refuse("connection_ended", "Its connection has ended. Choose another one.");
        }
        Err(error) => return Err(error),
    }
    if campaign.ends_at.is_some_and(|ends_at| wrong_end(ends_at, now).is_some()) {
        return refuse("ended", "Its end has passed. Move ends_at.");
    }
    let template = serde_json::from_value::<Template>(campaign.template.clone());
    if !template.is_ok_and(|template| template.validate().is_ok()) {
        return refuse("template_invalid", "Its template cannot be used. Correct it.");
    }
    let audience = serde_json::from_value::<Audience>(campaign.audience.clone());
    let Some(audience) = audience.ok().filter(|audience| audience.validate().is_ok()) else {
        return refuse("audience_empty", "Its audience names nobody. Correct it or send a file.");
    };
    if audience.upload && !uploads::any(tx, campaign.id()).await? {
        return refuse("audience_file_missing", "Its file of numbers is missing. Send it first.");
    }
    Ok(())
}

/// Why a campaign in this state is not started.
fn not_again(status: Status) -> ChangeError {
    let (code, reason) = match status {
        Status::Paused => ("paused", "The campaign is paused. Resume it."),
        Status::Cancelled => ("cancelled", "The campaign was cancelled. Clone it to send again."),
        Status::Failed => ("failed", "The campaign has failed. Clone it and correct the copy."),
        Status::Draft
        | Status::Scheduled
        | Status::Preparing
        | Status::Running
        | Status::Completed
        | Status::CompletedWithIssues => {
            ("completed", "The campaign is over. Clone it to send again.")
        }
    };
    ChangeError::NotStartable { status, code, reason }
}
