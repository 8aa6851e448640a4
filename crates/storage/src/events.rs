//! What happened: appended in the transaction that made it happen, with the promise to publish it.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use contracts::events::event::Detail;
use contracts::uuid_bytes;
use diesel::prelude::*;
use diesel::sql_types::{self, Array, BigInt, Bytea, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{ConnectionId, ContactId, ConversationId, EventId, MessageId, WorkspaceId};
use uuid::Uuid;

use crate::StorageError;
use crate::schema::events;
use kernel::statement;

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its identifier; the AMQP message id as well.
    pub id: EventId,
    /// The tenant.
    pub workspace_id: WorkspaceId,
    /// For instance `message.received`.
    pub event_type: String,
    /// The thread it belongs to; decides the lane.
    pub conversation_id: Option<ConversationId>,
    /// The message it is about.
    pub message_id: Option<MessageId>,
    /// `switchyard.events.v1.Event`, encoded.
    pub body: Bytes,
    /// W3C trace context of what caused it.
    pub traceparent: Option<String>,
    /// Whether somebody of ours acts upon it. Not stored: whoever reads it back has to assume so.
    pub is_awaited: bool,
}

/// What happened, before it has an identifier.
#[derive(Clone, Debug)]
pub struct Happened {
    /// The tenant.
    pub workspace_id: WorkspaceId,
    /// For instance `message.received`; see [`contracts::names::event`].
    pub event_type: &'static str,
    /// The business side.
    pub connection_id: ConnectionId,
    /// The person.
    pub contact_id: Option<ContactId>,
    /// The thread.
    pub conversation_id: Option<ConversationId>,
    /// The message.
    pub message_id: Option<MessageId>,
    /// The message's place in its thread; 0 for none.
    pub sequence: i64,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The part that only this type of event has.
    pub detail: Option<Detail>,
    /// W3C trace context of what caused it.
    pub traceparent: Option<String>,
}

impl Event {
    /// Something happened to a person, on no connection and in no thread. Nobody of ours acts upon it.
    pub fn about_contact(
        workspace: WorkspaceId,
        contact: ContactId,
        event_type: &'static str,
        at: DateTime<Utc>,
        traceparent: Option<String>,
    ) -> Self {
        let id = EventId::new();
        let body = contracts::events::Event {
            id: uuid_bytes(id.as_uuid()),
            r#type: event_type.to_owned(),
            workspace_id: uuid_bytes(workspace.as_uuid()),
            contact_id: uuid_bytes(contact.as_uuid()),
            occurred_at_us: at.timestamp_micros(),
            ..Default::default()
        };
        Self {
            id,
            workspace_id: workspace,
            event_type: event_type.to_owned(),
            conversation_id: None,
            message_id: None,
            body: contracts::encode(&body),
            traceparent,
            is_awaited: false,
        }
    }
}

impl From<Happened> for Event {
    fn from(happened: Happened) -> Self {
        let id = EventId::new();
        let bytes = |id: Option<Uuid>| id.map(uuid_bytes).unwrap_or_default();
        let body = contracts::events::Event {
            id: uuid_bytes(id.as_uuid()),
            r#type: happened.event_type.to_owned(),
            workspace_id: uuid_bytes(happened.workspace_id.as_uuid()),
            connection_id: uuid_bytes(happened.connection_id.as_uuid()),
            contact_id: bytes(happened.contact_id.map(|id| id.as_uuid())),
            conversation_id: bytes(happened.conversation_id.map(|id| id.as_uuid())),
            message_id: bytes(happened.message_id.map(|id| id.as_uuid())),
            occurred_at_us: happened.at.timestamp_micros(),
            sequence: happened.sequence,
            detail: happened.detail,
        };
        Self {
            id,
            workspace_id: happened.workspace_id,
            event_type: happened.event_type.to_owned(),
            conversation_id: happened.conversation_id,
            message_id: happened.message_id,
            body: contracts::encode(&body),
            traceparent: happened.traceparent,
            is_awaited: true,
        }
    }
}

statement! {
    Append(
        ids: Vec<Uuid>,
        workspaces: Vec<Uuid>,
        types: Vec<String>,
        conversations: Vec<Option<Uuid>>,
        messages: Vec<Option<Uuid>>,
        bodies: Vec<Vec<u8>>,
        traces: Vec<Option<String>>,
        now: DateTime<Utc>,
    ) -> () {
        "WITH appended AS (INSERT INTO events \
         (id, workspace_id, type, conversation_id, message_id, body, traceparent, created_at) SELECT s.*, "
        [now: Timestamptz] " FROM unnest("
        [ids: Array<sql_types::Uuid>] ", "
        [workspaces: Array<sql_types::Uuid>] ", "
        [types: Array<Text>] ", "
        [conversations: Array<Nullable<sql_types::Uuid>>] ", "
        [messages: Array<Nullable<sql_types::Uuid>>] ", "
        [bodies: Array<Bytea>] ", "
        [traces: Array<Nullable<Text>>]
        ") AS s RETURNING id) INSERT INTO outbox (event_id, created_at) SELECT id, "
        [now: Timestamptz] " FROM appended"
    }
}

/// Appends events and their outbox rows.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn append(
    tx: &mut AsyncPgConnection,
    rows: &[Event],
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    if rows.is_empty() {
        return Ok(());
    }
    let statement = Append {
        ids: rows.iter().map(|row| row.id.as_uuid()).collect(),
        workspaces: rows.iter().map(|row| row.workspace_id.as_uuid()).collect(),
        types: rows.iter().map(|row| row.event_type.clone()).collect(),
        conversations: rows.iter().map(|row| row.conversation_id.map(|id| id.as_uuid())).collect(),
        messages: rows.iter().map(|row| row.message_id.map(|id| id.as_uuid())).collect(),
        bodies: rows.iter().map(|row| row.body.to_vec()).collect(),
        traces: rows.iter().map(|row| row.traceparent.clone()).collect(),
        now,
    };
    statement.execute(tx).await?;
    Ok(())
}

/// A row of `events`: id, workspace, type, conversation, message, body, traceparent.
pub(crate) type Row = (Uuid, Uuid, String, Option<Uuid>, Option<Uuid>, Vec<u8>, Option<String>);

impl From<Row> for Event {
    fn from((id, workspace, event_type, conversation, message, body, traceparent): Row) -> Self {
        Self {
            id: EventId::from_uuid(id),
            workspace_id: WorkspaceId::from_uuid(workspace),
            event_type,
            conversation_id: conversation.map(ConversationId::from_uuid),
            message_id: message.map(MessageId::from_uuid),
            body: body.into(),
            traceparent,
            is_awaited: true,
        }
    }
}

/// Lists events, newest first.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn list(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    event_types: &[String],
    message: Option<MessageId>,
    before: Option<EventId>,
    limit: i64,
) -> Result<Vec<Event>, StorageError> {
    let mut query = events::table
        .filter(events::workspace_id.eq(workspace.as_uuid()))
        .order(events::id.desc())
        .limit(limit)
        .select((
            events::id,
            events::workspace_id,
            events::event_type,
            events::conversation_id,
            events::message_id,
            events::body,
            events::traceparent,
        ))
        .into_boxed();
    if !event_types.is_empty() {
        query = query.filter(events::event_type.eq_any(event_types));
    }
    if let Some(message) = message {
        query = query.filter(events::message_id.eq(message.as_uuid()));
    }
    if let Some(before) = before {
        query = query.filter(events::id.lt(before.as_uuid()));
    }
    let rows: Vec<Row> = query.load(conn).await?;
    Ok(rows.into_iter().map(Event::from).collect())
}

/// One event of a workspace.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn find(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: EventId,
) -> Result<Option<Event>, StorageError> {
    let row: Option<Row> = events::table
        .filter(events::workspace_id.eq(workspace.as_uuid()))
        .filter(events::id.eq(id.as_uuid()))
        .select((
            events::id,
            events::workspace_id,
            events::event_type,
            events::conversation_id,
            events::message_id,
            events::body,
            events::traceparent,
        ))
        .first(conn)
        .await
        .optional()?;
    Ok(row.map(Event::from))
}

/// How long events can be read (HTTP API, `GET /v1/events`).
pub const KEPT_DAYS: i32 = 30;

statement! {
    Forget(before: Uuid, most: i64) -> () {
        "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE id < "
        [before: sql_types::Uuid]
        " AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.event_id = events.id) ORDER BY id LIMIT "
        [most: BigInt] ")"
    }
}

/// Deletes up to `most` published events made before `before`; returns how many.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn forget(
    conn: &mut AsyncPgConnection,
    before: DateTime<Utc>,
    most: i64,
) -> Result<usize, StorageError> {
    Ok(Forget { before: first_id(before).as_uuid(), most }.execute(conn).await?)
}

/// Sorts before every event id made at or after `at`: a `UUIDv7` begins with 48 bits of milliseconds,
/// so a span of time is a span of the primary key.
pub(crate) fn first_id(at: DateTime<Utc>) -> EventId {
    let milliseconds = u128::try_from(at.timestamp_millis()).unwrap_or(0);
    EventId::from_uuid(Uuid::from_u128(milliseconds << 80))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use kernel::{Clock, SystemClock};

    use super::*;

    #[test]
    fn a_span_of_time_is_a_span_of_event_ids() {
        let before = SystemClock.now();
        let id = EventId::new();
        let after = before + TimeDelta::seconds(1);
        assert!(first_id(before) <= id && id < first_id(after));
    }
}
