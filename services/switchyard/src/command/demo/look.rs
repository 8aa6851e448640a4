//! What the demo reads back: rows, moments, and what was counted as suppressed.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use storage::{Database, StorageError};

/// Something the product noted, and when.
#[derive(Debug, QueryableByName)]
pub(super) struct Moment {
    /// Type of the event, or outcome of the bot's turn.
    #[diesel(sql_type = Text)]
    pub(super) what: String,
    /// When it was committed.
    #[diesel(sql_type = Timestamptz)]
    pub(super) at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Counts what `sql` selects: one `bigint` called `count`.
pub(super) async fn count(db: &Database, sql: &str) -> Result<i64, StorageError> {
    let mut conn = db.connection().await?;
    let row: Count = diesel::sql_query(sql).get_result(&mut conn).await?;
    Ok(row.count)
}

/// Events and bot turns, in order.
pub(super) async fn moments(db: &Database) -> Result<Vec<Moment>, StorageError> {
    const MOMENTS: &str = "SELECT type AS what, created_at AS at FROM events \
         UNION ALL SELECT 'bot.' || outcome, created_at FROM bot_turns ORDER BY at, what";
    let mut conn = db.connection().await?;
    Ok(diesel::sql_query(MOMENTS).load(&mut conn).await?)
}

/// Copies of messages that changed nothing, by this process's own metric.
pub(super) fn suppressed() -> i64 {
    suppressed_in(&telemetry::metrics::render())
}

fn suppressed_in(metrics: &str) -> i64 {
    const SERIES: &str = "switchyard_duplicate_suppressed_total{stage=\"message\"} ";
    metrics.lines().find_map(|line| line.strip_prefix(SERIES)?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_copies_of_messages_are_counted() {
        let metrics = "switchyard_duplicate_suppressed_total{stage=\"status\"} 7\n\
                       switchyard_duplicate_suppressed_total{stage=\"message\"} 2\n";
        assert_eq!(suppressed_in(metrics), 2);
        assert_eq!(suppressed_in(""), 0);
    }
}
