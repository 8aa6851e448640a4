//! What happened around one message: the tries to send it, and the copies that took no effect.

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{MessageId, WorkspaceId};
use kernel::statement;
use uuid::Uuid;

use crate::StorageError;

/// One try to hand the message to Meta.
#[derive(Clone, Debug, diesel::Queryable)]
pub struct Attempt {
    /// When it was claimed.
    pub at: DateTime<Utc>,
    /// Which try it was, counted from 1.
    pub epoch: i32,
    /// The process that made it.
    pub worker: String,
    /// `sending`, `doubt`, `accepted`, `rejected`, `not_sent`, `presumed`, `unknown`.
    pub state: String,
    /// The HTTP status of Meta's answer.
    pub http_status: Option<i32>,
    /// Meta's error code.
    pub error_code: Option<i32>,
    /// What told its outcome: `response`, `status`, `watermark`, …
    pub resolved_by: Option<String>,
}

statement! {
    Attempts(message: Uuid, workspace: Uuid)
    -> (Timestamptz, Integer, Text, Text, Nullable<Integer>, Nullable<Integer>, Nullable<Text>) {
        "SELECT a.created_at, a.epoch, a.worker, a.state, a.http_status, a.error_code, a.resolved_by \
         FROM send_attempts a JOIN outbound_messages m ON m.id = a.message_id WHERE a.message_id = "
        [message: sql_types::Uuid] " AND m.workspace_id = " [workspace: sql_types::Uuid]
        " ORDER BY a.epoch"
    }
}

/// The tries to send a message of a workspace, in order.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn attempts(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    message: MessageId,
) -> Result<Vec<Attempt>, StorageError> {
    let attempts = Attempts { message: message.as_uuid(), workspace: workspace.as_uuid() };
    Ok(attempts.load(conn).await?)
}

statement! {
    Doubles(message: Uuid, workspace: Uuid) -> Timestamptz {
        "SELECT d.seen_at FROM duplicate_incidents d JOIN outbound_messages m ON m.id = d.message_id \
         WHERE d.message_id = " [message: sql_types::Uuid] " AND m.workspace_id = "
        [workspace: sql_types::Uuid] " ORDER BY d.seen_at"
    }
}

/// When it showed that Meta has taken a message of a workspace once more: must be empty.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn doubles(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    message: MessageId,
) -> Result<Vec<DateTime<Utc>>, StorageError> {
    let doubles = Doubles { message: message.as_uuid(), workspace: workspace.as_uuid() };
    Ok(doubles.load(conn).await?)
}

statement! {
    Replays(message: Uuid, workspace: Uuid) -> (Timestamptz, Integer) {
        "SELECT created_at, replays FROM idempotency_keys WHERE resource_id = "
        [message: sql_types::Uuid] " AND workspace_id = " [workspace: sql_types::Uuid]
        " AND replays > 0"
    }
}

/// How often the request that made a message was answered again, and when it was first made.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn replays(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    message: MessageId,
) -> Result<Vec<(DateTime<Utc>, i32)>, StorageError> {
    let replays = Replays { message: message.as_uuid(), workspace: workspace.as_uuid() };
    Ok(replays.load(conn).await?)
}

statement! {
    Copies(events: Vec<Uuid>) -> (sql_types::Uuid, Timestamptz, Integer) {
        "SELECT event_id, seen_at, copies FROM inbound_ledger WHERE copies > 1 AND event_id = ANY("
        [events: Array<sql_types::Uuid>] ")"
    }
}

/// Of these webhook events those that came more than once: when first, and how often in all. Events
/// carry no tenant: ask only for those of a message that is the caller's.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn copies(
    conn: &mut AsyncPgConnection,
    events: Vec<Uuid>,
) -> Result<Vec<(Uuid, DateTime<Utc>, i32)>, StorageError> {
    Ok(Copies { events }.load(conn).await?)
}
