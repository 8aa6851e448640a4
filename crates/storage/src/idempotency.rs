//! Requests that must not run twice, by the key their caller gave them, and what they were answered.
//!
//! Invariants:
//! - the row commits in the transaction of what the request did: there is an answer exactly when there
//!   is an effect;
//! - the table's key decides; the advisory lock only tells a request that runs from one that never was.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_types::{self, BigInt, Bool, Bytea, Nullable, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::WorkspaceId;
use kernel::statement;
use uuid::Uuid;

use crate::StorageError;

/// How long an answer is remembered.
pub const KEPT: TimeDelta = TimeDelta::days(7);

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recall {
    /// It never took effect; until the transaction ends nobody else runs it.
    New,
    /// Somebody runs it at this moment.
    Running,
    /// It took effect, and this was the answer.
    Answered(Answer),
    /// Its key was given to another request.
    Other,
}

/// What a request was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: i16,
    /// The body.
    pub body: String,
}

type Row = (bool, Option<Vec<u8>>, Option<i16>, Option<String>);

// A row that commits between this statement's begin and its lock is not seen; then `remember` finds it.
statement! {
    Look(workspace: Uuid, key: String, now: DateTime<Utc>)
    -> (Bool, Nullable<Bytea>, Nullable<SmallInt>, Nullable<Text>) {
        "SELECT l.is_free, k.fingerprint, k.status, k.body FROM (SELECT pg_try_advisory_xact_lock(\
            hashtextextended(" [workspace: sql_types::Uuid] "::text || " [key: Text]
        ", 0)) AS is_free OFFSET 0) l LEFT JOIN idempotency_keys k ON k.workspace_id = "
        [workspace: sql_types::Uuid] " AND k.key = " [key: Text] " AND k.expires_at > "
        [now: Timestamptz]
    }
}

statement! {
    CountReplay(workspace: Uuid, key: String) -> () {
        "UPDATE idempotency_keys SET replays = replays + 1 WHERE workspace_id = "
        [workspace: sql_types::Uuid] " AND key = " [key: Text]
    }
}

/// Says what is known of the request `key` with this fingerprint, and reserves it when nothing is. First in the transaction.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn recall(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    key: &str,
    fingerprint: &[u8],
    now: DateTime<Utc>,
) -> Result<Recall, StorageError> {
    let workspace = workspace.as_uuid();
    let rows: Vec<Row> = Look { workspace, key: key.to_owned(), now }.load(tx).await?;
    match rows.into_iter().next() {
        Some((_, Some(known), Some(status), Some(body))) => {
            if known != fingerprint {
                return Ok(Recall::Other);
            }
            CountReplay { workspace, key: key.to_owned() }.execute(tx).await?;
            Ok(Recall::Answered(Answer { status, body }))
        }
        Some((true, ..)) => Ok(Recall::New),
        Some((false, ..)) | None => Ok(Recall::Running),
    }
}

statement! {
    Remember(
        workspace: Uuid,
        key: String,
        fingerprint: Vec<u8>,
        status: i16,
        body: String,
        resource: Uuid,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> () {
        "INSERT INTO idempotency_keys AS k \
         (workspace_id, key, fingerprint, status, body, resource_id, created_at, expires_at) VALUES ("
        [workspace: sql_types::Uuid] ", " [key: Text] ", " [fingerprint: Bytea] ", "
        [status: SmallInt] ", " [body: Text] ", " [resource: sql_types::Uuid] ", "
        [now: Timestamptz] ", " [expires_at: Timestamptz]
        ") ON CONFLICT (workspace_id, key) DO UPDATE SET fingerprint = EXCLUDED.fingerprint, \
         status = EXCLUDED.status, body = EXCLUDED.body, resource_id = EXCLUDED.resource_id, \
         replays = 0, created_at = EXCLUDED.created_at, expires_at = EXCLUDED.expires_at \
         WHERE k.expires_at <= EXCLUDED.created_at"
    }
}

/// Remembers what the request `key` did and was answered. `false`: somebody else was faster, and the
/// transaction must not commit.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn remember(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    key: &str,
    fingerprint: &[u8],
    answer: &Answer,
    resource: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let remember = Remember {
        workspace: workspace.as_uuid(),
        key: key.to_owned(),
        fingerprint: fingerprint.to_vec(),
        status: answer.status,
        body: answer.body.clone(),
        resource,
        now,
        expires_at: now + KEPT,
    };
    Ok(remember.execute(tx).await? == 1)
}

statement! {
    Forget(before: DateTime<Utc>, most: i64) -> () {
        "DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(SELECT ctid FROM idempotency_keys \
         WHERE expires_at <= " [before: Timestamptz] " LIMIT " [most: BigInt] " FOR UPDATE SKIP LOCKED))"
    }
}

/// Forgets up to `most` requests whose time was over at `now`; returns how many.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn forget(
    conn: &mut AsyncPgConnection,
    now: DateTime<Utc>,
    most: i64,
) -> Result<usize, StorageError> {
    Ok(Forget { before: now, most }.execute(conn).await?)
}

statement! {
    Resource(workspace: Uuid, key: String) -> sql_types::Uuid {
        "SELECT resource_id FROM idempotency_keys WHERE workspace_id = "
        [workspace: sql_types::Uuid] " AND key = " [key: Text]
    }
}

/// What the request `key` made or changed.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn resource(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    key: &str,
) -> Result<Option<Uuid>, StorageError> {
    let resource = Resource { workspace: workspace.as_uuid(), key: key.to_owned() };
    let rows: Vec<Uuid> = resource.load(conn).await?;
    Ok(rows.into_iter().next())
}
