//! The numbers of campaigns.

use std::collections::{BTreeMap, HashMap};

use diesel::sql_types::{self, Array, BigInt, Text};
use diesel_async::RunQueryDsl;
use kernel::ids::CampaignId;
use kernel::statement;
use storage::{AsyncPgConnection, StorageError};
use uuid::Uuid;

/// How many recipients are where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) total: i64,
    pub(crate) pending: i64,
    pub(crate) in_flight: i64,
    pub(crate) accepted: i64,
    /// By Meta's error code.
    pub(crate) failed: BTreeMap<i32, i64>,
    /// By reason.
    pub(crate) skipped: BTreeMap<String, i64>,
    pub(crate) uncertain: i64,
    pub(crate) sent: i64,
    pub(crate) delivered: i64,
    pub(crate) read: i64,
    pub(crate) replied: i64,
}

impl Numbers {
    /// How many have ended.
    pub(crate) fn done(&self) -> i64 {
        self.total - self.pending - self.in_flight
    }
}

statement! {
    Counts(campaigns: Vec<Uuid>) -> (sql_types::Uuid, Text, Text, BigInt) {
        "SELECT campaign_id, state, reason, n FROM campaign_counts WHERE campaign_id = ANY("
        [campaigns: Array<sql_types::Uuid>] ") AND n <> 0 UNION ALL \
         SELECT id, 'total', '', total FROM campaigns WHERE id = ANY("
        [campaigns: Array<sql_types::Uuid>] ") UNION ALL \
         SELECT campaign_id, 'in_flight', '', count(*) FROM outbound_messages \
         WHERE state = 'sending' AND campaign_id = ANY(" [campaigns: Array<sql_types::Uuid>]
        ") GROUP BY campaign_id"
    }
}

/// The numbers of campaigns, of one moment.
pub(crate) async fn of(
    conn: &mut AsyncPgConnection,
    campaigns: &[CampaignId],
) -> Result<HashMap<CampaignId, Numbers>, StorageError> {
    let counts = Counts { campaigns: campaigns.iter().map(|id| id.as_uuid()).collect() };
    let rows: Vec<(Uuid, String, String, i64)> = counts.load(conn).await?;
    let mut found: HashMap<CampaignId, Numbers> = HashMap::new();
    for (id, state, reason, n) in rows {
        let numbers = found.entry(CampaignId::from_uuid(id)).or_default();
        match state.as_str() {
            "total" => numbers.total = n,
            "in_flight" => numbers.in_flight = n,
            "accepted" => numbers.accepted = n,
            "failed" => {
                numbers.failed.insert(reason.parse().unwrap_or(0), n);
            }
            "skipped" => {
                numbers.skipped.insert(reason, n);
            }
            "uncertain" => numbers.uncertain = n,
            "sent" => numbers.sent = n,
            "delivered" => numbers.delivered = n,
            "read" => numbers.read = n,
            "replied" => numbers.replied = n,
            _ => (),
        }
    }
    for numbers in found.values_mut() {
        let ended = numbers.accepted
            + numbers.failed.values().sum::<i64>()
            + numbers.skipped.values().sum::<i64>()
            + numbers.uncertain;
        numbers.pending = numbers.total - numbers.in_flight - ended;
    }
    Ok(found)
}
