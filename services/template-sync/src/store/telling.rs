//! What follows from a change of a template: events, and a pause of the campaigns that send it.
//!
//! Invariant: the change, its events and the pauses commit together.

use chrono::{DateTime, Utc};
use contracts::events::event::Detail;
use contracts::events::{CampaignChanged, TemplateChanged};
use contracts::names::event;
use contracts::uuid_bytes;
use kernel::WabaId;
use kernel::ids::{CampaignId, ConnectionId, TemplateId, WorkspaceId};
use storage::campaigns::standing::{self, By, Status};
use storage::events::{Event, Happened};
use storage::templates::{self, Sending};
use storage::{AsyncPgConnection, StorageError, events};
use tracing::warn;

/// Who pauses, in a campaign's log.
const ACTOR: &str = "template-sync";

/// What matters of a template to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Meta's word, or `DELETED`.
    pub(crate) status: String,
    pub(crate) quality: String,
}

/// A template that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) id: TemplateId,
    pub(crate) name: String,
    pub(crate) language: String,
    /// None when it was not known.
    pub(crate) before: Option<Facts>,
    pub(crate) now: Facts,
}

/// Whose templates they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose<'a> {
    pub(crate) workspace: WorkspaceId,
    pub(crate) waba: &'a WabaId,
    /// The connection by which we know.
    pub(crate) connection: ConnectionId,
}

/// Tells of `turns` and pauses the campaigns that cannot go on; the events are to be published after
/// the commit.
pub(crate) async fn tell(
    tx: &mut AsyncPgConnection,
    whose: Whose<'_>,
    turns: &[Turn],
    now: DateTime<Utc>,
) -> Result<Vec<Event>, StorageError> {
    let mut told: Vec<Event> =
        turns.iter().flat_map(|turn| events_of(whose, turn, now)).flatten().collect();
    let stopping = turns.iter().filter(|turn| why_stop(&turn.now.status).is_some());
    let names = stopping.map(|turn| (turn.name.clone(), turn.language.clone())).collect();
    let at_work = templates::campaigns_at_work(tx, whose.workspace, whose.waba, names).await?;
    for sending in at_work {
        let named = turns.iter().find(|turn| is_sent(turn, &sending));
        if let Some(turn) = named {
            told.extend(pause(tx, whose.workspace, &sending, turn, now).await?);
        }
    }
    events::append(tx, &told, now).await?;
    Ok(told)
}

fn is_sent(turn: &Turn, sending: &Sending) -> bool {
    turn.name == sending.name
        && turn.language == sending.language
        && why_stop(&turn.now.status).is_some()
}

fn events_of(whose: Whose<'_>, turn: &Turn, now: DateTime<Utc>) -> [Option<Event>; 2] {
    let before = turn.before.as_ref();
    let changed = |event_type, before: Option<&str>, after: &str| {
        let is_news = before.is_some_and(|before| before != after);
        is_news.then(|| changed(whose, turn, event_type, (before.unwrap_or_default(), after), now))
    };
    let status = before.map(|facts| facts.status.as_str());
    let quality = before.map(|facts| facts.quality.as_str());
    [
        changed(event::TEMPLATE_STATUS_CHANGED, status, &turn.now.status),
        changed(event::TEMPLATE_QUALITY_CHANGED, quality, &turn.now.quality),
    ]
}

fn changed(
    whose: Whose<'_>,
    turn: &Turn,
    event_type: &'static str,
    (before, after): (&str, &str),
    now: DateTime<Utc>,
) -> Event {
    let changed = TemplateChanged {
        template_id: uuid_bytes(turn.id.as_uuid()),
        name: turn.name.clone(),
        language: turn.language.clone(),
        now: after.to_owned(),
        before: before.to_owned(),
    };
    let detail = Detail::TemplateChanged(changed);
    happened(whose.workspace, whose.connection, event_type, detail, now)
}

fn happened(
    workspace_id: WorkspaceId,
    connection_id: ConnectionId,
    event_type: &'static str,
    detail: Detail,
    at: DateTime<Utc>,
) -> Event {
    let event = Event::from(Happened {
        workspace_id,
        event_type,
        connection_id,
        contact_id: None,
        conversation_id: None,
        message_id: None,
        sequence: 0,
        at,
        detail: Some(detail),
        traceparent: None,
    });
    Event { is_awaited: false, ..event }
}

async fn pause(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    sending: &Sending,
    turn: &Turn,
    now: DateTime<Utc>,
) -> Result<Vec<Event>, StorageError> {
    let Some((code, what)) = why_stop(&turn.now.status) else { return Ok(Vec::new()) };
    let Turn { name, language, .. } = turn;
    let reason = format!("Template '{name}' ({language}): {what}");
    let by =
        By { actor: ACTOR.to_owned(), code: Some(code.to_owned()), reason: Some(reason.clone()) };
    let campaign = sending.campaign_id;
    let moved = standing::pause(tx, workspace, campaign, &by, now).await?;
    if !moved.is_some_and(|moved| moved.is_news()) {
        return Ok(Vec::new());
    }
    warn!(campaign.id = %campaign, workspace.id = %workspace, template.id = %turn.id, reason = code,
        "campaign paused: its template cannot be sent");
    Ok(stopped(workspace, sending.connection_id, campaign, (code, &reason), now))
}

/// What a campaign's subscribers hear when it stops by itself.
fn stopped(
    workspace: WorkspaceId,
    connection: ConnectionId,
    campaign: CampaignId,
    (code, reason): (&str, &str),
    now: DateTime<Utc>,
) -> Vec<Event> {
    let event = |event_type| {
        let changed = CampaignChanged {
            campaign_id: uuid_bytes(campaign.as_uuid()),
            status: Status::Paused.as_str().to_owned(),
            code: code.to_owned(),
            reason: reason.to_owned(),
        };
        happened(workspace, connection, event_type, Detail::CampaignChanged(changed), now)
    };
    [event::CAMPAIGN_PAUSED, event::CAMPAIGN_NEEDS_ATTENTION].into_iter().map(event).collect()
}

/// Why nothing more can be sent of a template with this status: for programs and for people. `None`
/// for those that Meta may still send, and for those that only wait.
fn why_stop(status: &str) -> Option<(&'static str, &'static str)> {
    Some(match status {
        "PAUSED" => (
            "template_paused",
            "Meta paused it because of low quality. Wait until it is active again, then resume, or \
             cancel and use another template.",
        ),
        "DISABLED" => {
            ("template_disabled", "Meta disabled it for good. Cancel, and use another template.")
        }
        "REJECTED" => {
            ("template_rejected", "Meta rejected it. Correct it, have it approved, then resume.")
        }
        "DELETED" | "PENDING_DELETION" => {
            ("template_deleted", "it was deleted at Meta. Cancel, and use another template.")
        }
        "ARCHIVED" => ("template_archived", "it was archived at Meta. Unarchive it, then resume."),
        "LOCKED" => ("template_locked", "Meta locked it. See WhatsApp Manager, then resume."),
        _ => return None,
    })
}
