//! Remembers which webhook events have taken effect, so that a copy changes nothing.
//!
//! Invariant: the ledger row and the effects it stands for commit in the same transaction (D1, D3).

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, BigInt, Bool, Integer, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::StorageError;
use kernel::statement;

/// How long an event is remembered: Meta redelivers for up to 7 days (Cloud API docs, webhooks
/// overview, 2 Dec 2025), so 30 leaves room for a queue that stood still.
pub const KEPT_DAYS: i32 = 30;

statement! {
    Claim(event_ids: Vec<Uuid>, copies: Vec<i32>, now: DateTime<Utc>) -> (sql_types::Uuid, Bool) {
        "INSERT INTO inbound_ledger (event_id, copies, seen_at) SELECT id, copies, "
        [now: Timestamptz]
        " FROM unnest("
        [event_ids: Array<sql_types::Uuid>] ", " [copies: Array<Integer>]
        ") AS e (id, copies) ON CONFLICT (event_id) DO UPDATE \
         SET copies = inbound_ledger.copies + EXCLUDED.copies RETURNING event_id, xmax = 0"
    }
}

/// Claims `event_ids`, waiting for concurrent claims to commit or roll back; returns those that
/// nobody had claimed before. Every copy is counted on its row, also of an id given twice.
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
    let copies = event_ids.chunk_by(|a, b| a == b);
    let copies = copies.map(|same| i32::try_from(same.len()).unwrap_or(i32::MAX)).collect();
    event_ids.dedup();
    let rows: Vec<(Uuid, bool)> = Claim { event_ids, copies, now }.load(tx).await?;
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
