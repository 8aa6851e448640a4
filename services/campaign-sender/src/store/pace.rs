//! How fast campaigns go: what ended and what was reached, minute by minute.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, BigInt, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use kernel::ids::CampaignId;
use kernel::statement;
use storage::{AsyncPgConnection, StorageError};
use uuid::Uuid;

/// What ended lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The first minute in which something ended.
    pub(crate) first_minute: DateTime<Utc>,
    /// The last one.
    pub(crate) last_minute: DateTime<Utc>,
    /// How many messages were tried and ended.
    pub(crate) n: i64,
    /// How many of them in the last minute.
    pub(crate) in_last_minute: i64,
}

impl Ended {
    /// How many ended before the minute that begins at `until`, which is not over yet.
    pub(crate) fn in_full_minutes(&self, until: DateTime<Utc>) -> i64 {
        if self.last_minute >= until { self.n - self.in_last_minute } else { self.n }
    }
}

statement! {
    EndedBetween(campaigns: Vec<Uuid>, since: DateTime<Utc>, until: DateTime<Utc>)
    -> (sql_types::Uuid, Timestamptz, Timestamptz, BigInt, BigInt) {
        "SELECT campaign_id, min(minute), max(minute), sum(n)::bigint, \
         (array_agg(n ORDER BY minute DESC))[1] FROM (\
         SELECT campaign_id, minute, sum(n)::bigint AS n FROM campaign_minutes \
         WHERE campaign_id = ANY(" [campaigns: Array<sql_types::Uuid>] ") AND minute >= "
        [since: Timestamptz] " AND minute < " [until: Timestamptz]
        " AND state IN ('accepted', 'failed', 'uncertain') GROUP BY campaign_id, minute) AS m \
         GROUP BY campaign_id"
    }
}

/// The campaign, its first and last minute with ends, how many ended, how many of them in the last.
type Row = (Uuid, DateTime<Utc>, DateTime<Utc>, i64, i64);

/// What ended of each campaign in the minutes from `since` to `until`.
pub(crate) async fn ended(
    conn: &mut AsyncPgConnection,
    campaigns: &[CampaignId],
    (since, until): (DateTime<Utc>, DateTime<Utc>),
) -> Result<HashMap<CampaignId, Ended>, StorageError> {
    let campaigns = campaigns.iter().map(|id| id.as_uuid()).collect();
    let between = EndedBetween { campaigns, since, until };
    let rows: Vec<Row> = between.load(conn).await?;
    let ended = rows.into_iter().map(|(id, first_minute, last_minute, n, in_last_minute)| {
        (CampaignId::from_uuid(id), Ended { first_minute, last_minute, n, in_last_minute })
    });
    Ok(ended.collect())
}

statement! {
    Waiting(campaigns: Vec<Uuid>, before: DateTime<Utc>) -> sql_types::Uuid {
        "SELECT s.id FROM unnest(" [campaigns: Array<sql_types::Uuid>] ") AS s (id) WHERE EXISTS \
         (SELECT 1 FROM outbound_messages o WHERE o.campaign_id = s.id AND o.state = 'ready' \
         AND o.created_at < " [before: Timestamptz] ")"
    }
}

/// Those of the campaigns that have messages which have been ready since before `before`.
pub(crate) async fn waiting_since(
    conn: &mut AsyncPgConnection,
    campaigns: &[CampaignId],
    before: DateTime<Utc>,
) -> Result<Vec<CampaignId>, StorageError> {
    let campaigns = campaigns.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<Uuid> = Waiting { campaigns, before }.load(conn).await?;
    Ok(rows.into_iter().map(CampaignId::from_uuid).collect())
}

statement! {
    Series(campaign: Uuid, unit: &'static str, before: DateTime<Utc>, most: i64)
    -> (Timestamptz, Text, BigInt) {
        "SELECT at, state, sum(n)::bigint FROM (SELECT date_trunc(" [unit: Text]
        ", minute, 'UTC') AS at, state, n, dense_rank() OVER (ORDER BY date_trunc(" [unit: Text]
        ", minute, 'UTC') DESC) AS place FROM campaign_minutes WHERE campaign_id = "
        [campaign: sql_types::Uuid] " AND minute < " [before: Timestamptz]
        ") AS m WHERE place <= " [most: BigInt] " GROUP BY at, state ORDER BY at"
    }
}

/// The newest `most` buckets of `unit` (`minute` or `hour`) before `before` in which something
/// happened, the oldest first: bucket, state, change.
pub(crate) async fn series(
    conn: &mut AsyncPgConnection,
    campaign: CampaignId,
    unit: &'static str,
    before: DateTime<Utc>,
    most: i64,
) -> Result<Vec<(DateTime<Utc>, String, i64)>, StorageError> {
    let series = Series { campaign: campaign.as_uuid(), unit, before, most };
    Ok(series.load(conn).await?)
}
