//! When connections are due for a sync.
//!
//! Invariant: whoever starts a run takes the connection's turn in the same transaction: one run over
//! all processes.

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use kernel::ids::{ConnectionId, WorkspaceId};
use kernel::{WabaId, statement};
use storage::{AsyncPgConnection, StorageError};
use uuid::Uuid;

statement! {
    Plan(every: i64, now: DateTime<Utc>) -> () {
        "INSERT INTO template_schedules (connection_id, next_at) SELECT c.id, CASE WHEN " [every: BigInt]
        " > 0 THEN " [now: Timestamptz] " + make_interval(secs => " [every: BigInt]
        " * random()) END FROM connections c WHERE c.archived_at IS NULL \
            AND NOT EXISTS (SELECT 1 FROM template_schedules s WHERE s.connection_id = c.id) \
         ORDER BY c.id ON CONFLICT DO NOTHING"
    }
}

/// Gives connections without a plan one: somewhere within the interval, so that many that are made at
/// once are not synced at once.
pub(crate) async fn plan(
    conn: &mut AsyncPgConnection,
    every: i64,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    Plan { every, now }.execute(conn).await?;
    Ok(())
}

/// A connection whose time has come.
#[derive(Clone, Debug)]
pub(crate) struct DueConnection {
    pub(crate) workspace: WorkspaceId,
    pub(crate) connection: ConnectionId,
    pub(crate) waba: WabaId,
    /// Whether news asked for it, not the clock.
    pub(crate) is_asked: bool,
}

statement! {
    Due(asked_by: DateTime<Utc>, now: DateTime<Utc>) -> (sql_types::Uuid, sql_types::Uuid, Text, Bool) {
        "SELECT DISTINCT ON (c.workspace_id, c.waba_id) c.workspace_id, c.id, c.waba_id, \
            coalesce(s.asked_at <= " [asked_by: Timestamptz] ", false) FROM template_schedules s \
         JOIN connections c ON c.id = s.connection_id AND c.archived_at IS NULL \
         WHERE (s.next_at <= " [now: Timestamptz] " OR s.asked_at <= " [asked_by: Timestamptz]
        ") AND NOT EXISTS (SELECT 1 FROM template_syncs r WHERE r.status = 'running' \
            AND r.workspace_id = c.workspace_id AND r.waba_id = c.waba_id) \
         ORDER BY c.workspace_id, c.waba_id, c.id LIMIT 50"
    }
}

/// Connections whose time has come: one of each account, and none whose account is being synced.
/// `asked_by`: what was asked for later waits for more of its kind.
pub(crate) async fn due(
    conn: &mut AsyncPgConnection,
    asked_by: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Vec<DueConnection>, StorageError> {
    let rows: Vec<(Uuid, Uuid, String, bool)> = Due { asked_by, now }.load(conn).await?;
    let due = |(workspace, connection, waba, is_asked)| DueConnection {
        workspace: WorkspaceId::from_uuid(workspace),
        connection: ConnectionId::from_uuid(connection),
        waba: WabaId::new(waba),
        is_asked,
    };
    Ok(rows.into_iter().map(due).collect())
}

statement! {
    Take(connection: Uuid, asked_by: DateTime<Utc>, every: i64, now: DateTime<Utc>) -> sql_types::Uuid {
        "UPDATE template_schedules SET asked_at = NULL, next_at = CASE WHEN coalesce(every_seconds, "
        [every: BigInt] ") > 0 THEN " [now: Timestamptz] " + make_interval(secs => coalesce(every_seconds, "
        [every: BigInt] ") * (0.9 + random() * 0.2)) END WHERE connection_id = "
        [connection: sql_types::Uuid] " AND (next_at <= " [now: Timestamptz] " OR asked_at <= "
        [asked_by: Timestamptz] ") RETURNING connection_id"
    }
}

/// Takes a connection's turn; `false` when somebody else has taken it.
pub(crate) async fn take(
    tx: &mut AsyncPgConnection,
    connection: ConnectionId,
    asked_by: DateTime<Utc>,
    every: i64,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let take = Take { connection: connection.as_uuid(), asked_by, every, now };
    let taken: Vec<Uuid> = take.load(tx).await?;
    Ok(!taken.is_empty())
}

statement! {
    Ask(connections: Vec<Uuid>, now: DateTime<Utc>) -> () {
        "INSERT INTO template_schedules AS s (connection_id, asked_at) SELECT *, " [now: Timestamptz]
        " FROM unnest(" [connections: Array<sql_types::Uuid>]
        ") ON CONFLICT (connection_id) DO UPDATE SET asked_at = coalesce(s.asked_at, excluded.asked_at)"
    }
}

/// Asks for a sync soon, because of news that only a look can tell. `connections` are sorted.
pub(crate) async fn ask(
    tx: &mut AsyncPgConnection,
    connections: &[ConnectionId],
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    if connections.is_empty() {
        return Ok(());
    }
    let connections = connections.iter().map(|id| id.as_uuid()).collect();
    Ask { connections, now }.execute(tx).await?;
    Ok(())
}

/// When one connection is synced by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// Its own interval in seconds.
    pub(crate) every: Option<i32>,
    pub(crate) next_at: Option<DateTime<Utc>>,
}

statement! {
    Find(connection: Uuid) -> (Nullable<Integer>, Nullable<Timestamptz>) {
        "SELECT every_seconds, next_at FROM template_schedules WHERE connection_id = "
        [connection: sql_types::Uuid]
    }
}

/// The schedule of a connection; the caller has seen that it is the workspace's.
pub(crate) async fn find(
    conn: &mut AsyncPgConnection,
    connection: ConnectionId,
) -> Result<Schedule, StorageError> {
    let rows: Vec<(Option<i32>, Option<DateTime<Utc>>)> =
        Find { connection: connection.as_uuid() }.load(conn).await?;
    let (every, next_at) = rows.into_iter().next().unwrap_or_default();
    Ok(Schedule { every, next_at })
}

statement! {
    Set(connection: Uuid, every: Option<i32>, by_default: i64, now: DateTime<Utc>) -> () {
        "INSERT INTO template_schedules AS s (connection_id, every_seconds, next_at) SELECT v.id, v.every, \
            CASE WHEN coalesce(v.every, " [by_default: BigInt] ") > 0 THEN " [now: Timestamptz]
        " + make_interval(secs => coalesce(v.every, " [by_default: BigInt] ") * (0.9 + random() * 0.2)) END \
         FROM (SELECT " [connection: sql_types::Uuid] "::uuid AS id, " [every: Nullable<Integer>]
        "::integer AS every) v \
         ON CONFLICT (connection_id) DO UPDATE SET every_seconds = excluded.every_seconds, \
            next_at = excluded.next_at"
    }
}

/// Sets a connection's own interval; `None` goes by the installation's.
pub(crate) async fn set(
    tx: &mut AsyncPgConnection,
    connection: ConnectionId,
    every: Option<i32>,
    by_default: i64,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    Set { connection: connection.as_uuid(), every, by_default, now }.execute(tx).await?;
    Ok(())
}
