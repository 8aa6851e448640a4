//! Statuses whose message is not known yet: kept until it appears.

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, BigInt, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::Wamid;
use kernel::ids::ConnectionId;
use uuid::Uuid;

use super::{Status, StatusUpdate};
use crate::StorageError;
use kernel::statement;

statement! {
    Park(
        ids: Vec<Uuid>,
        connections: Vec<Uuid>,
        wamids: Vec<String>,
        statuses: Vec<String>,
        happened: Vec<DateTime<Utc>>,
        codes: Vec<Option<i32>>,
        now: DateTime<Utc>,
    ) -> () {
        "INSERT INTO parked_statuses \
         (event_id, connection_id, wamid, status, happened_at, error_code, parked_at) SELECT s.*, "
        [now: Timestamptz] " FROM unnest("
        [ids: Array<sql_types::Uuid>] ", "
        [connections: Array<sql_types::Uuid>] ", "
        [wamids: Array<Text>] ", "
        [statuses: Array<Text>] ", "
        [happened: Array<Timestamptz>] ", "
        [codes: Array<Nullable<Integer>>]
        ") AS s ON CONFLICT DO NOTHING"
    }
}

pub(super) async fn park(
    tx: &mut AsyncPgConnection,
    updates: Vec<StatusUpdate>,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    if updates.is_empty() {
        return Ok(());
    }
    let statement = Park {
        ids: updates.iter().map(|update| update.event_id).collect(),
        connections: updates.iter().map(|update| update.connection_id.as_uuid()).collect(),
        wamids: updates.iter().map(|update| update.wamid.as_str().to_owned()).collect(),
        statuses: updates.iter().map(|update| update.status.as_str().to_owned()).collect(),
        happened: updates.iter().map(|update| update.happened_at).collect(),
        codes: updates.iter().map(|update| update.error_code).collect(),
        now,
    };
    statement.execute(tx).await?;
    Ok(())
}

// `OFFSET 0` has the few that are parked looked up one by one: a join may read the whole ledger.
statement! {
    TakeParked(most: i64)
    -> (sql_types::Uuid, sql_types::Uuid, Text, Text, Timestamptz, Nullable<Integer>) {
        "DELETE FROM parked_statuses WHERE event_id IN (SELECT p.event_id FROM parked_statuses p \
         WHERE EXISTS (SELECT 1 FROM outbound_messages m WHERE m.wamid = p.wamid \
            AND m.connection_id = p.connection_id OFFSET 0) LIMIT "
        [most: BigInt]
        " FOR UPDATE SKIP LOCKED) \
         RETURNING event_id, connection_id, wamid, status, happened_at, error_code"
    }
}

/// Takes up to `most` parked statuses whose message has appeared, to be given to [`super::apply`] in the
/// same transaction.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn take_parked(
    tx: &mut AsyncPgConnection,
    most: i64,
) -> Result<Vec<StatusUpdate>, StorageError> {
    type Parked = (Uuid, Uuid, String, String, DateTime<Utc>, Option<i32>);
    let rows: Vec<Parked> = TakeParked { most }.load(tx).await?;
    Ok(rows
        .into_iter()
        .map(|(event_id, connection, wamid, status, happened_at, error_code)| StatusUpdate {
            event_id,
            connection_id: ConnectionId::from_uuid(connection),
            wamid: Wamid::new(wamid),
            status: Status::read(&status),
            happened_at,
            error_code,
            attempt_id: None,
        })
        .collect())
}

statement! {
    DropParked(before: DateTime<Utc>) -> () {
        "DELETE FROM parked_statuses WHERE parked_at < " [before: Timestamptz]
    }
}

/// Drops statuses parked before `before`: messages of other apps on the same number.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn drop_parked(
    conn: &mut AsyncPgConnection,
    before: DateTime<Utc>,
) -> Result<usize, StorageError> {
    Ok(DropParked { before }.execute(conn).await?)
}
