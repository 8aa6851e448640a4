//! Remembers which webhook events have taken effect, so that a copy changes nothing.
//!
//! Invariant: the ledger row and the effects it stands for commit in the same transaction (D1, D3).

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, BigInt, Bool, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::StorageError;
use crate::statement::statement;

/// How long an event is remembered: Meta redelivers for up to 7 days (Cloud API docs, webhooks
/// overview, 2 Dec 2025), so 30 leaves room for a queue that stood still.
pub const KEPT_DAYS: i32 = 30;

statement! {
    Claim(event_ids: Vec<Uuid>, now: DateTime<Utc>) -> (sql_types::Uuid, Bool) {
        "INSERT INTO inbound_ledger (event_id, seen_at) SELECT id, "
        [now: Timestamptz]
        " FROM unnest("
        [event_ids: Array<sql_types::Uuid>]
        ") AS id ON CONFLICT (event_id) DO UPDATE SET copies = inbound_ledger.copies + 1 \
         RETURNING event_id, xmax = 0"
    }
}

/// Claims `event_ids`, waiting for concurrent claims to commit or roll back; returns those that
/// nobody had claimed before. The others are counted on their row.
///
/// # Errors
///
/// Whatever PostgreSQL reports; a duplicate is not an error.
pub async fn claim(
    tx: &mut AsyncPgConnection,
    mut event_ids: Vec<Uuid>,
    now: DateTime<Utc>,
) -> Result<HashSet<Uuid>, StorageError> {
    event_ids.sort_unstable();
    event_ids.dedup();
    let rows: Vec<(Uuid, bool)> = Claim { event_ids, now }.load(tx).await?;
    Ok(rows.into_iter().filter(|(_, is_first)| *is_first).map(|(id, _)| id).collect())
}

statement! {
    Forget(before: DateTime<Utc>, most: i64) -> () {
        "DELETE FROM inbound_ledger WHERE event_id IN (SELECT event_id FROM inbound_ledger \
         WHERE seen_at < "
        [before: Timestamptz]
        " LIMIT "
        [most: BigInt]
        ")"
    }
}

/// Deletes up to `most` events seen before `before`; returns how many.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn forget(
    conn: &mut AsyncPgConnection,
    before: DateTime<Utc>,
    most: i64,
) -> Result<usize, StorageError> {
    Ok(Forget { before, most }.execute(conn).await?)
}
