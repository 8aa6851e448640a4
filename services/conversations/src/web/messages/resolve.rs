//! `POST /v1/messages/{id}/resolve`: a person says what became of a message of which nobody knows.

use actix_web::web::{self, Data, Path};
use chrono::{DateTime, Utc};
use contracts::events::MessageStatusChanged;
use contracts::events::event::Detail;
use contracts::names::event::MESSAGE_RESOLVED;
use diesel_async::AsyncConnection;
use kernel::ids::MessageId;
use serde::Deserialize;
use service::{Caller, Code, Json, Problem, Query, RolledBack, Scope};
use storage::campaigns::standing::{self, By, Resolution};
use storage::events::{self, Event, Happened};
use storage::send_ledger::claim::Stream;
use storage::send_ledger::resolve::{self as ledger, Open};
use storage::{AsyncPgConnection, messages};

use super::shown::Message;
use crate::web::State;
use service::values::Nothing;

/// Characters of a reason at most.
const LONGEST_REASON: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    r#as: As,
    reason: Option<Reason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum As {
    /// The person has it.
    Sent,
    /// They do not have it and shall not.
    NotSent,
    /// Send it again, even if it is the second time.
    Resend,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Reason(String);

impl TryFrom<String> for Reason {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        if text.chars().count() <= LONGEST_REASON && !text.contains('\0') {
            return Ok(Self(text));
        }
        Err("a reason has 500 characters at most")
    }
}

/// Idempotent by state: a message that is where the decision leads stays there.
pub(super) async fn resolve(
    caller: Caller,
    state: Data<State>,
    id: Path<MessageId>,
    _: Query<Nothing>,
    Json(body): Json<Body>,
) -> Result<web::Json<Message>, Problem> {
    caller.require(Scope::MessagesSend)?;
    let now = state.clock.now();
    let mut conn = state.db.connection().await?;
    let (open, event) =
        (*conn).transaction(async |tx| decide(tx, &caller, *id, &body, now).await).await?;
    if let (As::Resend, Some(source)) = (body.r#as, open.source) {
        let (connection_id, campaign_id) = (open.connection_id, open.campaign_id);
        state.sender.nudge_streams([Stream { connection_id, source, campaign_id }]);
    }
    state.relay.publish(event.into_iter().collect()).await;
    let found = messages::find(&mut conn, caller.workspace, *id).await?;
    found.map(|stored| web::Json(stored.into())).ok_or_else(Problem::not_found)
}

async fn decide(
    tx: &mut AsyncPgConnection,
    caller: &Caller,
    id: MessageId,
    body: &Body,
    now: DateTime<Utc>,
) -> Result<(Open, Option<Event>), RolledBack> {
    let found = ledger::find(tx, caller.workspace, id).await?;
    let open = found.ok_or_else(Problem::not_found)?;
    if move_it(tx, caller, id, body, &open, now).await? {
        let event = resolved(caller, id, &open, body.r#as, now);
        events::append(tx, std::slice::from_ref(&event), now).await?;
        return Ok((open, Some(event)));
    }
    // It may have been decided meanwhile: what counts is where it stands now.
    let found = ledger::find(tx, caller.workspace, id).await?;
    let open = found.ok_or_else(Problem::not_found)?;
    if body.r#as.is_done(&open.state) {
        return Ok((open, None));
    }
    let detail = match open.state.as_str() {
        "unknown" => "Its campaign cannot send any more. Say `sent` or `not_sent`.",
        _ => "It is not uncertain. Read the message to see where it stands.",
    };
    Err(Problem::new(Code::StateConflict, detail).into())
}

/// Whether the message was uncertain and is not any more.
async fn move_it(
    tx: &mut AsyncPgConnection,
    caller: &Caller,
    id: MessageId,
    body: &Body,
    open: &Open,
    now: DateTime<Utc>,
) -> Result<bool, RolledBack> {
    let (workspace, decision) = (caller.workspace, body.r#as.into());
    let Some(campaign) = open.campaign_id else {
        return Ok(ledger::resolve(tx, workspace, id, decision, now).await?);
    };
    let by = By {
        actor: caller.key.to_string(),
        code: Some("by_hand".to_owned()),
        reason: body.reason.as_ref().map(|reason| reason.0.clone()),
    };
    let ids = [id];
    let again =
        standing::resolve(tx, workspace, campaign, Some(&ids), decision, 1, &by, now).await?;
    Ok(again.is_some_and(|again| again.recipients > 0))
}

fn resolved(
    caller: &Caller,
    id: MessageId,
    open: &Open,
    decision: As,
    now: DateTime<Utc>,
) -> Event {
    let status = match decision {
        As::Sent => "accepted",
        As::NotSent => "failed",
        As::Resend => "queued",
    };
    let detail = MessageStatusChanged { status: status.to_owned(), error_code: 0 };
    let happened = Happened {
        workspace_id: caller.workspace,
        event_type: MESSAGE_RESOLVED,
        connection_id: open.connection_id,
        contact_id: None,
        conversation_id: Some(open.conversation_id),
        message_id: Some(id),
        sequence: 0,
        at: now,
        detail: Some(Detail::MessageStatusChanged(detail)),
        traceparent: telemetry::trace::current_traceparent(),
    };
    Event { is_awaited: false, ..happened.into() }
}

impl As {
    fn is_done(self, state: &str) -> bool {
        match self {
            Self::Sent => state == "accepted",
            Self::NotSent => state == "failed",
            Self::Resend => matches!(state, "ready" | "held" | "sending"),
        }
    }
}

impl From<As> for Resolution {
    fn from(decision: As) -> Self {
        match decision {
            As::Sent => Self::Sent,
            As::NotSent => Self::NotSent,
            As::Resend => Self::Resend,
        }
    }
}
