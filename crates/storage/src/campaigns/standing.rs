//! Whether a campaign may send, and stopping one that must not.

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::CampaignId;
use uuid::Uuid;

use crate::StorageError;
use kernel::statement;

/// Where a campaign stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It is being written.
    Draft,
    /// It starts by itself at its time.
    Scheduled,
    /// Its audience is being frozen.
    Preparing,
    /// It sends.
    Running,
    /// It waits for a person.
    Paused,
    /// Everybody was reached.
    Completed,
    /// Everybody had a turn; some failed or are uncertain.
    CompletedWithIssues,
    /// A person stopped it for good.
    Cancelled,
    /// It could not be prepared.
    Failed,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 9] = [
        Self::Draft,
        Self::Scheduled,
        Self::Preparing,
        Self::Running,
        Self::Paused,
        Self::Completed,
        Self::CompletedWithIssues,
        Self::Cancelled,
        Self::Failed,
    ];

    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Scheduled => "scheduled",
            Self::Preparing => "preparing",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::CompletedWithIssues => "completed_with_issues",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// Reads what is stored.
    pub fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// Why a running campaign has to stop: nothing it sends can succeed until somebody acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// For programs: `template_paused`, `auth`, `spam_limit`, `payment`, …
    pub code: &'static str,
    /// For people: what happened and what to do.
    pub reason: String,
}

statement! {
    Pause(ids: Vec<Uuid>, codes: Vec<&'static str>, reasons: Vec<String>, now: DateTime<Utc>)
    -> sql_types::Uuid {
        "UPDATE campaigns c SET status = 'paused', reason_code = s.code, reason = s.reason, \
         waits_for = NULL, updated_at = " [now: Timestamptz] " FROM unnest("
        [ids: Array<sql_types::Uuid>] ", " [codes: Array<Text>] ", " [reasons: Array<Text>]
        ") AS s (id, code, reason) WHERE c.id = s.id AND c.status = 'running' RETURNING c.id"
    }
}

statement! {
    Hold(campaigns: Vec<Uuid>) -> () {
        "UPDATE outbound_messages SET state = 'held' WHERE campaign_id = ANY("
        [campaigns: Array<sql_types::Uuid>] ") AND state = 'ready'"
    }
}

statement! {
    Log(ids: Vec<Uuid>, campaigns: Vec<Uuid>, codes: Vec<&'static str>, now: DateTime<Utc>) -> () {
        "INSERT INTO campaign_log (id, campaign_id, workspace_id, at, actor, action, detail) \
         SELECT s.id, c.id, c.workspace_id, " [now: Timestamptz]
        ", 'sender', 'paused', jsonb_build_object('code', s.code, 'reason', c.reason) FROM unnest("
        [ids: Array<sql_types::Uuid>] ", " [campaigns: Array<sql_types::Uuid>] ", "
        [codes: Array<Text>] ") AS s (id, campaign_id, code) JOIN campaigns c ON c.id = s.campaign_id"
    }
}

/// Pauses those of the campaigns that run; returns them. What they had given to the ledger and nobody
/// had claimed is held. Call it before any message of theirs is locked.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn stop(
    tx: &mut AsyncPgConnection,
    mut stops: Vec<(CampaignId, Stop)>,
    now: DateTime<Utc>,
) -> Result<Vec<CampaignId>, StorageError> {
    stops.sort_by_key(|(campaign, _)| *campaign);
    stops.dedup_by_key(|(campaign, _)| *campaign);
    if stops.is_empty() {
        return Ok(Vec::new());
    }
    let pause = Pause {
        ids: stops.iter().map(|(campaign, _)| campaign.as_uuid()).collect(),
        codes: stops.iter().map(|(_, stop)| stop.code).collect(),
        reasons: stops.iter().map(|(_, stop)| stop.reason.clone()).collect(),
        now,
    };
    let paused: Vec<Uuid> = pause.load(tx).await?;
    if paused.is_empty() {
        return Ok(Vec::new());
    }
    Hold { campaigns: paused.clone() }.execute(tx).await?;
    let stopped = || stops.iter().filter(|(campaign, _)| paused.contains(&campaign.as_uuid()));
    let log = Log {
        ids: stopped().map(|_| Uuid::now_v7()).collect(),
        campaigns: stopped().map(|(campaign, _)| campaign.as_uuid()).collect(),
        codes: stopped().map(|(_, stop)| stop.code).collect(),
        now,
    };
    log.execute(tx).await?;
    Ok(paused.into_iter().map(CampaignId::from_uuid).collect())
}

statement! {
    Running(ids: Vec<Uuid>) -> (sql_types::Uuid, Text) {
        "SELECT id, status FROM campaigns WHERE id = ANY(" [ids: Array<sql_types::Uuid>]
        ") ORDER BY id FOR SHARE"
    }
}

/// Where campaigns stand, and that they stay there until the transaction ends.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn pin(
    tx: &mut AsyncPgConnection,
    campaigns: &[CampaignId],
) -> Result<Vec<(CampaignId, Status)>, StorageError> {
    if campaigns.is_empty() {
        return Ok(Vec::new());
    }
    let ids = campaigns.iter().map(|campaign| campaign.as_uuid()).collect();
    let rows: Vec<(Uuid, String)> = Running { ids }.load(tx).await?;
    Ok(rows
        .into_iter()
        .filter_map(|(id, status)| Some((CampaignId::from_uuid(id), Status::read(&status)?)))
        .collect())
}
