//! A campaign's numbers as shown, and the same numbers counted again from the rows.

use std::collections::{BTreeMap, HashMap};

use diesel::sql_types::{self, Array, BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::CampaignId;
use uuid::Uuid;

use super::counts::CANCELLED;
use crate::StorageError;
use kernel::statement;

/// How many recipients of a campaign are where, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Recipients with a row; grows while the audience is being frozen.
    pub total: i64,
    /// At Meta or on their way, doubtful ones included.
    pub in_flight: i64,
    /// Taken by Meta.
    pub accepted: i64,
    /// Failed, by Meta's code; 0 where there is none.
    pub failed: BTreeMap<i32, i64>,
    /// Skipped, by reason.
    pub skipped: BTreeMap<String, i64>,
    /// Nobody knows whether Meta took them; they wait for a person.
    pub uncertain: i64,
    /// Taken by Meta and dropped when their time to live was over, as far as is known.
    pub expired: i64,
    /// Of all: how many left Meta.
    pub sent: i64,
    /// Of all: how many reached a phone.
    pub delivered: i64,
    /// Of all: how many were read.
    pub read: i64,
    /// Of all: how many were answered: the person wrote in the thread after Meta had taken the message, within
    /// 30 days, and before another campaign wrote to them there.
    pub replied: i64,
}

impl Numbers {
    /// Who waits for a turn: everybody who is nowhere else.
    pub fn pending(&self) -> i64 {
        self.total - self.in_flight - self.ended()
    }

    /// Who is neither pending nor in flight.
    pub fn ended(&self) -> i64 {
        self.accepted + self.failed() + self.skipped() + self.uncertain + self.expired
    }

    /// Failed for whatever reason.
    pub fn failed(&self) -> i64 {
        self.failed.values().sum()
    }

    /// Skipped for whatever reason.
    pub fn skipped(&self) -> i64 {
        self.skipped.values().sum()
    }

    /// Whether the kept numbers are what [`recount`] found. Why a campaign's messages were
    /// cancelled is not written on them.
    pub fn agrees_with(&self, recounted: &Self) -> bool {
        let comparable =
            |numbers: &Self| Self { skipped: numbers.cancelled_as_one(), ..numbers.clone() };
        comparable(self) == comparable(recounted)
    }

    fn cancelled_as_one(&self) -> BTreeMap<String, i64> {
        let mut folded = BTreeMap::new();
        for (reason, n) in &self.skipped {
            let reason = if reason == "too_late" { CANCELLED } else { reason };
            *folded.entry(reason.to_owned()).or_default() += n;
        }
        folded
    }

    fn add(&mut self, state: &str, reason: String, n: i64) {
        if n == 0 {
            return;
        }
        match state {
            "total" => self.total += n,
            "in_flight" => self.in_flight += n,
            "accepted" => self.accepted += n,
            "failed" => *self.failed.entry(reason.parse().unwrap_or(0)).or_default() += n,
            "skipped" => *self.skipped.entry(reason).or_default() += n,
            "uncertain" => self.uncertain += n,
            "expired" => self.expired += n,
            "sent" => self.sent += n,
            "delivered" => self.delivered += n,
            "read" => self.read += n,
            "replied" => self.replied += n,
            _ => {}
        }
    }
}

// One statement, so one snapshot: the numbers are those of one moment.
statement! {
    Kept(ids: Vec<Uuid>) -> (sql_types::Uuid, Text, Text, BigInt) {
        "SELECT id, 'total', '', total FROM campaigns WHERE id = ANY("
        [ids: Array<sql_types::Uuid>] ") \
         UNION ALL SELECT campaign_id, state, reason, n FROM campaign_counts WHERE campaign_id = ANY("
        [ids: Array<sql_types::Uuid>] ") \
         UNION ALL SELECT campaign_id, 'in_flight', '', count(*) FROM outbound_messages \
            WHERE campaign_id = ANY(" [ids: Array<sql_types::Uuid>]
        ") AND state = 'sending' GROUP BY campaign_id"
    }
}

/// The numbers of campaigns, all of one moment. Give ids that were read together with their tenant.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn numbers(
    conn: &mut AsyncPgConnection,
    ids: &[CampaignId],
) -> Result<HashMap<CampaignId, Numbers>, StorageError> {
    let kept = Kept { ids: ids.iter().map(|id| id.as_uuid()).collect() };
    let rows: Vec<(Uuid, String, String, i64)> = kept.load(conn).await?;
    let mut all: HashMap<CampaignId, Numbers> = HashMap::new();
    for (id, state, reason, n) in rows {
        all.entry(CampaignId::from_uuid(id)).or_default().add(&state, reason, n);
    }
    Ok(all)
}

statement! {
    Recount(id: Uuid) -> (Text, Text, BigInt) {
        "WITH r AS MATERIALIZED (SELECT r.skip_reason, m.state, m.error_code, m.sent_at, m.delivered_at, \
            m.read_at, m.replied_at FROM campaign_recipients r LEFT JOIN outbound_messages m ON m.id = r.id \
            WHERE r.campaign_id = " [id: sql_types::Uuid] ") \
         SELECT 'total', '', count(*) FROM r \
         UNION ALL SELECT 'skipped', skip_reason, count(*) FROM r \
            WHERE skip_reason IS NOT NULL AND state IS NULL GROUP BY skip_reason \
         UNION ALL SELECT CASE state WHEN 'sending' THEN 'in_flight' WHEN 'unknown' THEN 'uncertain' \
               WHEN 'cancelled' THEN 'skipped' ELSE state END, \
            CASE state WHEN 'failed' THEN COALESCE(error_code, 0)::text \
               WHEN 'cancelled' THEN 'cancelled' ELSE '' END, count(*) \
            FROM r WHERE state NOT IN ('ready', 'held') GROUP BY 1, 2 \
         UNION ALL SELECT 'sent', '', count(*) FROM r \
            WHERE COALESCE(sent_at, delivered_at, read_at) IS NOT NULL \
         UNION ALL SELECT 'delivered', '', count(*) FROM r \
            WHERE COALESCE(delivered_at, read_at) IS NOT NULL \
         UNION ALL SELECT 'read', '', count(*) FROM r WHERE read_at IS NOT NULL \
         UNION ALL SELECT 'replied', '', count(*) FROM r WHERE replied_at IS NOT NULL \
         UNION ALL SELECT 'skipped', state, sum(size)::bigint FROM campaign_chunks \
            WHERE campaign_id = " [id: sql_types::Uuid] " AND state IN ('cancelled', 'too_late') GROUP BY state"
    }
}

/// Counts a campaign's recipients by their rows: what [`numbers`] must say, slowly.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn recount(
    conn: &mut AsyncPgConnection,
    id: CampaignId,
) -> Result<Numbers, StorageError> {
    let rows: Vec<(String, String, i64)> = Recount { id: id.as_uuid() }.load(conn).await?;
    let mut counted = Numbers::default();
    for (state, reason, n) in rows {
        counted.add(&state, reason, n);
    }
    Ok(counted)
}
