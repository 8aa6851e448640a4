//! How many recipients of a campaign ended how (D9).
//!
//! Only ends are counted: what is in no [`End`] is open, pending or in flight, so that the numbers
//! add up by construction and a claim writes nothing here.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use diesel::sql_types::{self, Array, BigInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::CampaignId;
use uuid::Uuid;

use crate::StorageError;
use crate::send_ledger::Returned;
use kernel::statement;

/// How a recipient ended; never for good, because Meta may know better later.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Meta took the message.
    Accepted,
    /// It will not arrive; Meta's error code, 0 when there is none.
    Failed(i32),
    /// It was not and will not be sent; why.
    Skipped(String),
    /// Nobody knows whether Meta took it.
    Uncertain,
    /// Meta took it, and nobody heard of it while it lived: dropped, as far as is known.
    Expired,
}

/// A first step of an accepted message: counted beside its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// It left Meta.
    Sent,
    /// It reached the phone.
    Delivered,
    /// It was read.
    Read,
    /// The person answered it.
    Replied,
}

/// Why a recipient is skipped whose message or chunk was cancelled.
pub const CANCELLED: &str = "cancelled";

impl End {
    /// The end that a message's state and error code stand for; `None` for one that is open.
    pub(crate) fn of(state: &str, code: Option<i32>) -> Option<Self> {
        match state {
            "accepted" => Some(Self::Accepted),
            "failed" => Some(Self::Failed(code.unwrap_or(0))),
            "unknown" => Some(Self::Uncertain),
            "expired" => Some(Self::Expired),
            "cancelled" => Some(Self::Skipped(CANCELLED.to_owned())),
            _ => None,
        }
    }

    fn cell(&self) -> (&'static str, String) {
        match self {
            Self::Accepted => ("accepted", String::new()),
            Self::Failed(code) => ("failed", code.to_string()),
            Self::Skipped(reason) => ("skipped", reason.clone()),
            Self::Uncertain => ("uncertain", String::new()),
            Self::Expired => ("expired", String::new()),
        }
    }
}

impl Reached {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Replied => "replied",
        }
    }
}

/// What one transaction changes, folded: apply it last in the transaction, once.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    cells: BTreeMap<(CampaignId, &'static str, String), i64>,
}

impl Changes {
    /// A recipient went from one end to another; `None` is open.
    pub fn moved(&mut self, campaign: CampaignId, from: Option<&End>, to: Option<&End>) {
        if from == to {
            return;
        }
        for (end, n) in [(from, -1), (to, 1)] {
            if let Some(end) = end {
                self.add(campaign, end.cell(), n);
            }
        }
    }

    /// A message left the state that `before` tells; messages of no campaign are not counted.
    pub(crate) fn left(&mut self, before: &Returned, to: Option<&End>) {
        if let Some(campaign) = before.1 {
            let from = End::of(&before.2, before.3);
            self.moved(CampaignId::from_uuid(campaign), from.as_ref(), to);
        }
    }

    /// `n` recipients that were open ended alike.
    pub fn ended(&mut self, campaign: CampaignId, end: &End, n: i64) {
        self.add(campaign, end.cell(), n);
    }

    /// A message reached its next step for the first time.
    pub fn reached(&mut self, campaign: CampaignId, step: Reached) {
        self.add(campaign, (step.as_str(), String::new()), 1);
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.cells.values().all(|n| *n == 0)
    }

    fn add(&mut self, campaign: CampaignId, (state, reason): (&'static str, String), n: i64) {
        *self.cells.entry((campaign, state, reason)).or_default() += n;
    }
}

statement! {
    Add(campaigns: Vec<Uuid>, states: Vec<&'static str>, reasons: Vec<String>, ns: Vec<i64>) -> () {
        "INSERT INTO campaign_counts AS c (campaign_id, state, reason, n) SELECT * FROM unnest("
        [campaigns: Array<sql_types::Uuid>] ", " [states: Array<Text>] ", "
        [reasons: Array<Text>] ", " [ns: Array<BigInt>]
        ") ON CONFLICT (campaign_id, state, reason) DO UPDATE SET n = c.n + EXCLUDED.n"
    }
}

statement! {
    AddByMinute(
        campaigns: Vec<Uuid>, states: Vec<&'static str>, ns: Vec<i64>, minute: DateTime<Utc>,
    ) -> () {
        "INSERT INTO campaign_minutes AS c (campaign_id, minute, state, n) SELECT s.campaign_id, "
        [minute: Timestamptz] ", s.state, s.n FROM unnest("
        [campaigns: Array<sql_types::Uuid>] ", " [states: Array<Text>] ", " [ns: Array<BigInt>]
        ") AS s (campaign_id, state, n) \
         ON CONFLICT (campaign_id, minute, state) DO UPDATE SET n = c.n + EXCLUDED.n"
    }
}

/// Writes changes down. The rows it locks are the last of the transaction and in one order, so two
/// batches of a campaign wait for each other for the time of a commit, and never in a circle.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn apply(
    tx: &mut AsyncPgConnection,
    changes: Changes,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let cells: Vec<_> = changes.cells.into_iter().filter(|(_, n)| *n != 0).collect();
    if cells.is_empty() {
        return Ok(());
    }
    let mut by_minute: BTreeMap<(Uuid, &'static str), i64> = BTreeMap::new();
    for ((campaign, state, _), n) in &cells {
        *by_minute.entry((campaign.as_uuid(), *state)).or_default() += n;
    }
    let add = Add {
        campaigns: cells.iter().map(|((campaign, ..), _)| campaign.as_uuid()).collect(),
        states: cells.iter().map(|((_, state, _), _)| *state).collect(),
        ns: cells.iter().map(|(_, n)| *n).collect(),
        reasons: cells.into_iter().map(|((_, _, reason), _)| reason).collect(),
    };
    add.execute(tx).await?;
    let minute = now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(now);
    let add = AddByMinute {
        campaigns: by_minute.keys().map(|(campaign, _)| *campaign).collect(),
        states: by_minute.keys().map(|(_, state)| *state).collect(),
        ns: by_minute.into_values().collect(),
        minute,
    };
    add.execute(tx).await?;
    Ok(())
}
