//! Pause, resume, cancel: by hand, at once, and once.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use chrono::{DateTime, Utc};
use contracts::names::event::{CAMPAIGN_CANCELLED, CAMPAIGN_PAUSED, CAMPAIGN_RESUMED};
use diesel_async::AsyncConnection;
use kernel::ids::CampaignId;
use service::{Caller, Problem, Query, Scope, etag};
use storage::AsyncPgConnection;
use storage::campaigns::standing::{self, By, Status};
use storage::events::{self, Event};

use super::values::Nothing;
use super::{Api, view};
use crate::announce::{self, Whose};
use crate::store::ChangeError;
use crate::store::campaigns::{self, Campaign};

/// What a person does to a campaign that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Pause,
    Resume,
    Cancel,
}

/// Pauses: nothing more is begun once this is answered; `counts.in_flight` still ends.
pub(super) async fn pause(
    api: Data<Api>,
    caller: Caller,
    id: Path<CampaignId>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    act(&api, caller, *id, Action::Pause, StatusCode::OK).await
}

/// Goes on where it stopped: `counts.pending` will be sent.
pub(super) async fn resume(
    api: Data<Api>,
    caller: Caller,
    id: Path<CampaignId>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    act(&api, caller, *id, Action::Resume, StatusCode::ACCEPTED).await
}

/// Ends it for good: whoever was not sent to is skipped; `counts.in_flight` still ends.
pub(super) async fn cancel(
    api: Data<Api>,
    caller: Caller,
    id: Path<CampaignId>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    act(&api, caller, *id, Action::Cancel, StatusCode::OK).await
}

async fn act(
    api: &Api,
    caller: Caller,
    id: CampaignId,
    action: Action,
    done: StatusCode,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::CampaignsControl)?;
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    let event = (*conn).transaction(async |tx| change(tx, &caller, id, action, now).await).await?;
    drop(conn);
    if let Some(event) = event {
        api.relay.publish(vec![event]).await;
        if action == Action::Resume {
            api.sender.nudge();
            api.ticks.tick(id).await;
        }
    }
    let shown = view::one(api, &caller, id).await?;
    Ok(HttpResponse::build(done).insert_header(etag(shown.version())).json(shown))
}

/// Does it, once: `None` when it was so already.
async fn change(
    tx: &mut AsyncPgConnection,
    caller: &Caller,
    id: CampaignId,
    action: Action,
    now: DateTime<Utc>,
) -> Result<Option<Event>, ChangeError> {
    let workspace = caller.workspace;
    let campaign = campaigns::lock(tx, workspace, id, None).await?;
    let by = by_hand(caller, action.reason());
    let moved = match action {
        Action::Pause => standing::pause(tx, workspace, id, &by, now).await?,
        Action::Resume => standing::resume(tx, workspace, id, &by, now).await?,
        Action::Cancel => standing::cancel(tx, workspace, id, &by, now).await?,
    };
    let moved = moved.ok_or(ChangeError::NotFound)?;
    if !action.is_done(moved.status) {
        return Err(ChangeError::Conflict { status: moved.status, advice: action.advice() });
    }
    if !moved.is_news() {
        return Ok(None);
    }
    let why = action.reason().map(|reason| (BY_HAND, reason));
    let event = announce::event(whose(caller, &campaign), action.event(), (moved.status, why), now);
    events::append(tx, std::slice::from_ref(&event), now).await?;
    Ok(Some(event))
}

/// Why a campaign stopped that a person stopped.
const BY_HAND: &str = "by_hand";

/// The caller, as the campaign's log names them.
pub(super) fn by_hand(caller: &Caller, reason: Option<&str>) -> By {
    By {
        actor: caller.key.to_string(),
        code: Some(BY_HAND.to_owned()),
        reason: reason.map(str::to_owned),
    }
}

/// Whose event it is.
pub(super) fn whose(caller: &Caller, campaign: &Campaign) -> Whose {
    Whose {
        workspace: caller.workspace,
        connection: campaign.connection_id(),
        campaign: campaign.id(),
    }
}

impl Action {
    /// Whether a campaign in this state is where the action leads.
    const fn is_done(self, status: Status) -> bool {
        match self {
            Self::Pause => matches!(status, Status::Paused),
            Self::Resume => matches!(status, Status::Preparing | Status::Running),
            Self::Cancel => matches!(status, Status::Cancelled),
        }
    }

    const fn event(self) -> &'static str {
        match self {
            Self::Pause => CAMPAIGN_PAUSED,
            Self::Resume => CAMPAIGN_RESUMED,
            Self::Cancel => CAMPAIGN_CANCELLED,
        }
    }

    /// Shown while it is so.
    const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Pause => Some("Somebody paused it. Resume it to go on."),
            Self::Cancel => Some("Somebody cancelled it."),
            Self::Resume => None,
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::Pause => "Only a campaign that prepares or runs can be paused.",
            Self::Resume => "Only a paused campaign can be resumed.",
            Self::Cancel => {
                "Only a campaign that is scheduled, prepares, runs or is paused can be \
                             cancelled."
            }
        }
    }
}
