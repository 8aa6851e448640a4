//! Events that still have to be published.
//!
//! Invariant: a row is deleted only after the broker confirmed its event. A crash in between
//! publishes it again, under the same message id.

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, BigInt, Bytea, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use kernel::ids::EventId;
use uuid::Uuid;

use crate::StorageError;
use crate::events::{Event, Row};
use kernel::statement;

statement! {
    Claim(before: DateTime<Utc>, most: i64)
    -> (sql_types::Uuid, sql_types::Uuid, Text, Nullable<sql_types::Uuid>, Nullable<sql_types::Uuid>, Bytea,
        Nullable<Text>) {
        "SELECT e.id, e.workspace_id, e.type, e.conversation_id, e.message_id, e.body, e.traceparent \
         FROM (SELECT event_id FROM outbox WHERE created_at < " [before: Timestamptz]
        " ORDER BY event_id LIMIT " [most: BigInt]
        " FOR UPDATE SKIP LOCKED) AS o JOIN events e ON e.id = o.event_id ORDER BY e.id"
    }
}

/// Locks up to `most` rows older than `before`, in order, until the transaction ends.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn claim(
    tx: &mut AsyncPgConnection,
    before: DateTime<Utc>,
    most: i64,
) -> Result<Vec<Event>, StorageError> {
    let rows: Vec<Row> = Claim { before, most }.load(tx).await?;
    Ok(rows.into_iter().map(Event::from).collect())
}

statement! {
    Delete(ids: Vec<Uuid>) -> () {
        "DELETE FROM outbox WHERE event_id = ANY(" [ids: Array<sql_types::Uuid>] ")"
    }
}

/// Deletes the rows of events that the broker has confirmed.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn delete(tx: &mut AsyncPgConnection, ids: &[EventId]) -> Result<(), StorageError> {
    Delete { ids: ids.iter().map(|id| id.as_uuid()).collect() }.execute(tx).await?;
    Ok(())
}

/// Lets the current transaction commit without waiting for the disk: losing the deletion of an
/// outbox row only publishes its event once more.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn relax_durability(tx: &mut AsyncPgConnection) -> Result<(), StorageError> {
    Ok(tx.batch_execute("SET LOCAL synchronous_commit = off").await?)
}

statement! {
    Backlog() -> (BigInt, Nullable<Timestamptz>) {
        "SELECT count(*), min(created_at) FROM outbox"
    }
}

/// How many rows wait, and since when the oldest does.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn backlog(
    conn: &mut AsyncPgConnection,
) -> Result<(i64, Option<DateTime<Utc>>), StorageError> {
    Ok(Backlog {}.get_result(conn).await?)
}
