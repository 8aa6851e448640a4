//! Campaigns whose messages have had their time.

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, BigInt, Double, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::CampaignId;
use kernel::statement;
use storage::StorageError;
use uuid::Uuid;

use crate::template::{LONGEST_LIFE, MARGIN};

/// A campaign that is over, and whose last message has had its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    pub(crate) id: CampaignId,
    pub(crate) recipients: i64,
    /// What Meta took before this has had its time.
    pub(crate) before: DateTime<Utc>,
}

statement! {
    Find(now: DateTime<Utc>, default_s: f64, margin_s: f64) -> (sql_types::Uuid, BigInt, Timestamptz) {
        "SELECT id, total, before FROM (SELECT c.id, c.total, c.finished_at, " [now: Timestamptz]
        " - make_interval(secs => " [margin_s: Double] " + coalesce(nullif(\
            (c.template ->> 'message_send_ttl_seconds')::float8, -1), " [default_s: Double] ")) AS before \
         FROM campaigns c WHERE c.finished_at IS NOT NULL AND c.expired_at IS NULL) d \
         WHERE finished_at < before ORDER BY finished_at LIMIT 20"
    }
}

/// Campaigns of all tenants that are due.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn due(
    conn: &mut AsyncPgConnection,
    now: DateTime<Utc>,
) -> Result<Vec<Due>, StorageError> {
    let find = Find { now, default_s: LONGEST_LIFE.as_secs_f64(), margin_s: MARGIN.as_secs_f64() };
    let rows: Vec<(Uuid, i64, DateTime<Utc>)> = find.load(conn).await?;
    let due = rows.into_iter().map(|(id, recipients, before)| Due {
        id: CampaignId::from_uuid(id),
        recipients,
        before,
    });
    Ok(due.collect())
}

statement! {
    Done(id: Uuid, now: DateTime<Utc>) -> () {
        "UPDATE campaigns SET expired_at = " [now: Timestamptz] " WHERE id = " [id: sql_types::Uuid]
        " AND finished_at IS NOT NULL"
    }
}

/// Notes down that every message of the campaign was looked at, unless it runs again.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn done(
    conn: &mut AsyncPgConnection,
    id: CampaignId,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    Done { id: id.as_uuid(), now }.execute(conn).await?;
    Ok(())
}
