//! Whether a campaign may send, and moving one from one standing to another.
//!
//! Invariant: whoever changes a campaign's standing holds its row before it looks at its messages, and
//! moves those that nobody has claimed in the same transaction.

mod actions;
mod again;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{CampaignId, ConnectionId, WorkspaceId};
use uuid::Uuid;

pub use self::actions::{By, Dropped, Moved, cancel, drop_rest, pause, resume};
pub use self::again::{Again, Resolution, resolve, retry_failed};

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

/// A campaign that a settlement paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The campaign.
    pub campaign_id: CampaignId,
    /// Its tenant.
    pub workspace_id: WorkspaceId,
    /// The number it sends from.
    pub connection_id: ConnectionId,
    /// Why.
    pub stop: Stop,
}

statement! {
    Lock(ids: Vec<Uuid>) -> sql_types::Uuid {
        "SELECT id FROM campaigns WHERE id = ANY(" [ids: Array<sql_types::Uuid>]
        ") ORDER BY id FOR UPDATE"
    }
}

statement! {
    Pause(ids: Vec<Uuid>, codes: Vec<&'static str>, reasons: Vec<String>, now: DateTime<Utc>)
    -> (sql_types::Uuid, sql_types::Uuid, sql_types::Uuid) {
        "UPDATE campaigns c SET status = 'paused', reason_code = s.code, reason = s.reason, \
         waits_for = NULL, version = c.version + 1, updated_at = " [now: Timestamptz] " FROM unnest("
        [ids: Array<sql_types::Uuid>] ", " [codes: Array<Text>] ", " [reasons: Array<Text>]
        ") AS s (id, code, reason) WHERE c.id = s.id AND c.status = 'running' \
         RETURNING c.id, c.workspace_id, c.connection_id"
    }
}

// In the order of their ids, as everybody locks messages.
statement! {
    Hold(campaigns: Vec<Uuid>) -> () {
        "WITH mine AS (SELECT id FROM outbound_messages WHERE campaign_id = ANY("
        [campaigns: Array<sql_types::Uuid>] ") AND state = 'ready' ORDER BY id FOR UPDATE) \
         UPDATE outbound_messages m SET state = 'held' FROM mine WHERE m.id = mine.id"
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

/// Pauses those of the campaigns that run; returns them. Locks `others`, too, whose standing the
/// transaction will ask for. Nothing of theirs may be locked before; [`hold`] what nobody has claimed
/// after the attempts are locked.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn stop(
    tx: &mut AsyncPgConnection,
    mut stops: Vec<(CampaignId, Stop)>,
    others: &[CampaignId],
    now: DateTime<Utc>,
) -> Result<Vec<Stopped>, StorageError> {
    stops.sort_by_key(|(campaign, _)| *campaign);
    stops.dedup_by_key(|(campaign, _)| *campaign);
    if stops.is_empty() {
        return Ok(Vec::new());
    }
    let all = stops.iter().map(|(campaign, _)| campaign).chain(others);
    let lock = Lock { ids: all.map(|campaign| campaign.as_uuid()).collect() };
    let _locked: Vec<Uuid> = lock.load(tx).await?;
    let pause = Pause {
        ids: stops.iter().map(|(campaign, _)| campaign.as_uuid()).collect(),
        codes: stops.iter().map(|(_, stop)| stop.code).collect(),
        reasons: stops.iter().map(|(_, stop)| stop.reason.clone()).collect(),
        now,
    };
    let paused: Vec<(Uuid, Uuid, Uuid)> = pause.load(tx).await?;
    let mut by_id: HashMap<CampaignId, Stop> = stops.into_iter().collect();
    let stopped: Vec<Stopped> = paused
        .into_iter()
        .filter_map(|(campaign, workspace, connection)| {
            let campaign_id = CampaignId::from_uuid(campaign);
            let stop = by_id.remove(&campaign_id)?;
            let workspace_id = WorkspaceId::from_uuid(workspace);
            let connection_id = ConnectionId::from_uuid(connection);
            Some(Stopped { campaign_id, workspace_id, connection_id, stop })
        })
        .collect();
    if !stopped.is_empty() {
        let log = Log {
            ids: stopped.iter().map(|_| Uuid::now_v7()).collect(),
            campaigns: stopped.iter().map(|stopped| stopped.campaign_id.as_uuid()).collect(),
            codes: stopped.iter().map(|stopped| stopped.stop.code).collect(),
            now,
        };
        log.execute(tx).await?;
    }
    Ok(stopped)
}

/// Holds what stopped campaigns had given to the ledger and nobody had claimed.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn hold(
    tx: &mut AsyncPgConnection,
    stopped: &[Stopped],
) -> Result<(), StorageError> {
    if stopped.is_empty() {
        return Ok(());
    }
    let campaigns = stopped.iter().map(|stopped| stopped.campaign_id.as_uuid()).collect();
    Hold { campaigns }.execute(tx).await?;
    Ok(())
}

statement! {
    Pin(ids: Vec<Uuid>) -> (sql_types::Uuid, Text) {
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
) -> Result<HashMap<CampaignId, Status>, StorageError> {
    if campaigns.is_empty() {
        return Ok(HashMap::new());
    }
    let ids = campaigns.iter().map(|campaign| campaign.as_uuid()).collect();
    let rows: Vec<(Uuid, String)> = Pin { ids }.load(tx).await?;
    Ok(rows
        .into_iter()
        .filter_map(|(id, status)| Some((CampaignId::from_uuid(id), Status::read(&status)?)))
        .collect())
}
