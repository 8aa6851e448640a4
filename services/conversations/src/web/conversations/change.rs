//! Looking after a conversation: assign, close and open again, take over from the bot, mark as read.

use actix_web::web::{self, Data, Path};
use chrono::{DateTime, Utc};
use contracts::names::event::{CONVERSATION_ASSIGNED, CONVERSATION_CLOSED, CONVERSATION_OPENED};
use diesel_async::AsyncConnection;
use kernel::ids::ConversationId;
use serde::{Deserialize, Serialize};
use service::{Caller, Json, Problem, Query, RolledBack, Scope};
use storage::AsyncPgConnection;
use storage::conversations::inbox::{self, Before, Change};
use storage::conversations::{self, Conversation as Stored};
use storage::events::{self, Event, Happened};

use super::Conversation;
use crate::web::State;
use service::values::{Nothing, given};

/// Characters of an assignee's name at most.
const LONGEST_NAME: usize = 100;
/// In a query: conversations that nobody looks after.
const NOBODY: &str = "none";

/// Whether a conversation is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// Somebody has to look after it.
    Open,
    /// It is done.
    Closed,
}

/// Whether something is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// Who looks after a conversation, by the name that the team's own programs know them by.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Assignee(String);

impl Assignee {
    /// Of a query; `none` stands for nobody.
    pub(super) fn into_name(self) -> Option<String> {
        (self.0 != NOBODY).then_some(self.0)
    }
}

impl TryFrom<String> for Assignee {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let name = text.trim();
        let length = name.chars().count();
        if (1..=LONGEST_NAME).contains(&length) && !name.contains(char::is_control) {
            return Ok(Self(name.to_owned()));
        }
        Err(
            "an assignee is 1 to 100 characters on one line, e.g. the id that your program knows them by",
        )
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Patch {
    /// `null`: nobody.
    #[serde(default, deserialize_with = "given")]
    assignee: Option<Option<Assignee>>,
    #[serde(default, deserialize_with = "given")]
    status: Option<Standing>,
    #[serde(default, deserialize_with = "given")]
    bot: Option<Switch>,
}

/// How far the team has read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mark {
    /// The place of the last message that was read; all, unless given.
    through: Option<i64>,
}

pub(super) async fn change(
    caller: Caller,
    state: Data<State>,
    id: Path<ConversationId>,
    _: Query<Nothing>,
    Json(patch): Json<Patch>,
) -> Result<web::Json<Conversation>, Problem> {
    let assignee = patch.assignee.map(|name| name.map(|Assignee(name)| name));
    let is_nobody = |name: &Option<String>| name.as_deref() == Some(NOBODY);
    if assignee.as_ref().is_some_and(is_nobody) {
        return Err(Problem::invalid("/assignee", "invalid_value", "for nobody, write null"));
    }
    let change = Change {
        assignee,
        is_closed: patch.status.map(|standing| standing == Standing::Closed),
        is_bot_on: patch.bot.map(|switch| switch == Switch::On),
        read_through: None,
    };
    make(&caller, &state, *id, change).await
}

/// Marks as read for the team; the person's phone shows nothing of it.
pub(super) async fn mark_read(
    caller: Caller,
    state: Data<State>,
    id: Path<ConversationId>,
    _: Query<Nothing>,
    Json(mark): Json<Mark>,
) -> Result<web::Json<Conversation>, Problem> {
    let read_through = Some(mark.through.unwrap_or(i64::MAX));
    make(&caller, &state, *id, Change { read_through, ..Change::default() }).await
}

async fn make(
    caller: &Caller,
    state: &State,
    id: ConversationId,
    change: Change,
) -> Result<web::Json<Conversation>, Problem> {
    caller.require(Scope::ConversationsWrite)?;
    let now = state.clock.now();
    let mut conn = state.db.connection().await?;
    let made = async |tx: &mut AsyncPgConnection| {
        let before = inbox::change(tx, caller.workspace, id, change, now).await?;
        let before = before.ok_or_else(Problem::not_found)?;
        let stored = conversations::find(tx, caller.workspace, id).await?;
        let stored = stored.ok_or_else(Problem::not_found)?;
        let events = happened(caller, &before, &stored, now);
        events::append(tx, &events, now).await?;
        Ok::<_, RolledBack>((stored, events))
    };
    let (stored, events) = (*conn).transaction(made).await?;
    drop(conn);
    state.relay.publish(events).await;
    Ok(web::Json(stored.into()))
}

fn happened(caller: &Caller, before: &Before, stored: &Stored, now: DateTime<Utc>) -> Vec<Event> {
    let tell = |event_type| {
        let happened = Happened {
            workspace_id: caller.workspace,
            event_type,
            connection_id: stored.connection_id(),
            contact_id: Some(stored.contact_id()),
            conversation_id: Some(stored.id()),
            message_id: None,
            sequence: 0,
            at: now,
            detail: None,
            traceparent: telemetry::trace::current_traceparent(),
        };
        Event { is_awaited: false, ..happened.into() }
    };
    let assigned = (before.assignee != stored.assignee).then(|| tell(CONVERSATION_ASSIGNED));
    let moved = match (before.closed_at, stored.closed_at) {
        (None, Some(_)) => Some(tell(CONVERSATION_CLOSED)),
        (Some(_), None) => Some(tell(CONVERSATION_OPENED)),
        (None, None) | (Some(_), Some(_)) => None,
    };
    assigned.into_iter().chain(moved).collect()
}
