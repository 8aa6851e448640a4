//! Pause, resume and cancel, each idempotent by the campaign's state.

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{CampaignId, WorkspaceId};
use uuid::Uuid;

use super::Status;
use crate::StorageError;
use crate::campaigns::counts::{self, CANCELLED, Changes, End};
use kernel::statement;

/// Who acts, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// An API key (`key_…`), or the service that acts by itself.
    pub actor: String,
    /// For programs, e.g. `by_hand`; shown while the campaign is paused.
    pub code: Option<String>,
    /// For people.
    pub reason: Option<String>,
}

/// Where a campaign stands after an action. An action that its state does not allow changes nothing:
/// compare [`Moved::status`] with what was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Where it stood before.
    pub before: Status,
    /// Where it stands now.
    pub status: Status,
    /// Messages that are at Meta or on their way, and will still end by themselves.
    pub in_flight: i64,
    /// Recipients that the action held, let go or skipped. A resume lets go of those that the ledger
    /// had held; whoever was not given to it yet waits for its turn, and is not in the number.
    pub recipients: i64,
}

impl Moved {
    /// Whether the action changed anything; doing it twice does not.
    pub fn is_news(&self) -> bool {
        self.before != self.status
    }
}

statement! {
    LockOne(workspace: Uuid, campaign: Uuid) -> (Text, Bool) {
        "SELECT status, prepared_at IS NOT NULL FROM campaigns WHERE workspace_id = "
        [workspace: sql_types::Uuid] " AND id = " [campaign: sql_types::Uuid] " FOR UPDATE"
    }
}

/// Locks a campaign; returns where it stands, and whether its whole audience is frozen.
pub(super) async fn lock(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    campaign: CampaignId,
) -> Result<Option<(Status, bool)>, StorageError> {
    let lock = LockOne { workspace: workspace.as_uuid(), campaign: campaign.as_uuid() };
    let rows: Vec<(String, bool)> = lock.load(tx).await?;
    let row = rows.into_iter().next();
    Ok(row.and_then(|(status, is_prepared)| Some((Status::read(&status)?, is_prepared))))
}

statement! {
    Move(
        campaign: Uuid,
        status: &'static str,
        code: Option<String>,
        reason: Option<String>,
        next_look_at: Option<DateTime<Utc>>,
        finished_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> () {
        "UPDATE campaigns SET status = " [status: Text] ", reason_code = " [code: Nullable<Text>]
        ", reason = " [reason: Nullable<Text>] ", waits_for = NULL, next_look_at = "
        [next_look_at: Nullable<Timestamptz>] ", finished_at = "
        [finished_at: Nullable<Timestamptz>] ", updated_at = " [now: Timestamptz]
        ", expired_at = NULL, version = version + 1 WHERE id = " [campaign: sql_types::Uuid]
    }
}

/// Moves a locked campaign.
pub(super) async fn set(
    tx: &mut AsyncPgConnection,
    campaign: CampaignId,
    status: Status,
    by: Option<&By>,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let is_at_work = matches!(status, Status::Running | Status::Preparing);
    let statement = Move {
        campaign: campaign.as_uuid(),
        status: status.as_str(),
        code: by.and_then(|by| by.code.clone()),
        reason: by.and_then(|by| by.reason.clone()),
        next_look_at: is_at_work.then_some(now),
        finished_at: (status == Status::Cancelled).then_some(now),
        now,
    };
    statement.execute(tx).await?;
    Ok(())
}

statement! {
    LogOne(
        id: Uuid,
        campaign: Uuid,
        actor: String,
        action: &'static str,
        code: Option<String>,
        reason: Option<String>,
        recipients: i64,
        now: DateTime<Utc>,
    ) -> () {
        "INSERT INTO campaign_log (id, campaign_id, workspace_id, at, actor, action, detail) SELECT "
        [id: sql_types::Uuid] ", c.id, c.workspace_id, " [now: Timestamptz] ", " [actor: Text] ", "
        [action: Text] ", jsonb_strip_nulls(jsonb_build_object('code', " [code: Nullable<Text>]
        "::text, 'reason', " [reason: Nullable<Text>] "::text, 'recipients', "
        [recipients: BigInt] ")) FROM campaigns c WHERE c.id = " [campaign: sql_types::Uuid]
    }
}

pub(super) async fn log(
    tx: &mut AsyncPgConnection,
    campaign: CampaignId,
    by: &By,
    action: &'static str,
    recipients: i64,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let statement = LogOne {
        id: Uuid::now_v7(),
        campaign: campaign.as_uuid(),
        actor: by.actor.clone(),
        action,
        code: by.code.clone(),
        reason: by.reason.clone(),
        recipients,
        now,
    };
    statement.execute(tx).await?;
    Ok(())
}

// In the order of their ids, as everybody locks messages. What is let go may be sent at once: what
// made it wait is what the person who resumes has mended.
statement! {
    MoveMessages(campaign: Uuid, from: &'static str, to: &'static str) -> () {
        "WITH mine AS (SELECT id FROM outbound_messages WHERE campaign_id = "
        [campaign: sql_types::Uuid] " AND state IN ('ready', 'held') AND state = " [from: Text]
        " ORDER BY id FOR UPDATE) \
         UPDATE outbound_messages m SET state = " [to: Text]
        ", not_before = NULL FROM mine WHERE m.id = mine.id"
    }
}

async fn move_messages(
    tx: &mut AsyncPgConnection,
    campaign: CampaignId,
    from: &'static str,
    to: &'static str,
) -> Result<i64, StorageError> {
    let moved = MoveMessages { campaign: campaign.as_uuid(), from, to }.execute(tx).await?;
    Ok(i64::try_from(moved).unwrap_or(i64::MAX))
}

statement! {
    InFlight(campaign: Uuid) -> BigInt {
        "SELECT count(*) FROM outbound_messages WHERE campaign_id = " [campaign: sql_types::Uuid]
        " AND state = 'sending'"
    }
}

async fn moved(
    tx: &mut AsyncPgConnection,
    campaign: CampaignId,
    before: Status,
    status: Status,
    recipients: i64,
) -> Result<Moved, StorageError> {
    let in_flight: Vec<i64> = InFlight { campaign: campaign.as_uuid() }.load(tx).await?;
    let in_flight = in_flight.into_iter().sum();
    Ok(Moved { before, status, in_flight, recipients })
}

/// Pauses a campaign that prepares or runs. When this is committed, nothing more of it is claimed.
/// `None`: the workspace has no such campaign.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn pause(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    campaign: CampaignId,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Option<Moved>, StorageError> {
    let Some((before, _)) = lock(tx, workspace, campaign).await? else { return Ok(None) };
    if !matches!(before, Status::Preparing | Status::Running) {
        return Ok(Some(moved(tx, campaign, before, before, 0).await?));
    }
    set(tx, campaign, Status::Paused, Some(by), now).await?;
    let held = move_messages(tx, campaign, "ready", "held").await?;
    log(tx, campaign, by, "paused", held, now).await?;
    Ok(Some(moved(tx, campaign, before, Status::Paused, held).await?))
}

/// Lets a paused campaign go on where it stopped. `None`: the workspace has no such campaign.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn resume(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    campaign: CampaignId,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Option<Moved>, StorageError> {
    let Some((before, is_prepared)) = lock(tx, workspace, campaign).await? else {
        return Ok(None);
    };
    if before != Status::Paused {
        return Ok(Some(moved(tx, campaign, before, before, 0).await?));
    }
    let status = if is_prepared { Status::Running } else { Status::Preparing };
    set(tx, campaign, status, None, now).await?;
    let freed = move_messages(tx, campaign, "held", "ready").await?;
    log(tx, campaign, by, "resumed", freed, now).await?;
    Ok(Some(moved(tx, campaign, before, status, freed).await?))
}

/// Ends a campaign for good: whoever was not sent to is skipped. What is in flight ends by itself.
/// `None`: the workspace has no such campaign.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn cancel(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    campaign: CampaignId,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Option<Moved>, StorageError> {
    let Some((before, _)) = lock(tx, workspace, campaign).await? else { return Ok(None) };
    let is_open =
        matches!(before, Status::Scheduled | Status::Preparing | Status::Running | Status::Paused);
    if !is_open {
        return Ok(Some(moved(tx, campaign, before, before, 0).await?));
    }
    set(tx, campaign, Status::Cancelled, Some(by), now).await?;
    let mut changes = Changes::default();
    let skipped = drop_rest(tx, campaign, Dropped::Cancelled, &mut changes).await?;
    log(tx, campaign, by, "cancelled", skipped, now).await?;
    let moved = moved(tx, campaign, before, Status::Cancelled, skipped).await?;
    counts::apply(tx, changes, now).await?;
    Ok(Some(moved))
}

/// Why whoever is left of a campaign is not sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Somebody cancelled it.
    Cancelled,
    /// Its end has passed.
    TooLate,
}

impl Dropped {
    /// As stored, counted and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => CANCELLED,
            Self::TooLate => "too_late",
        }
    }
}

statement! {
    CancelChunks(campaign: Uuid, state: &'static str) -> Integer {
        "WITH mine AS (SELECT chunk FROM campaign_chunks WHERE campaign_id = "
        [campaign: sql_types::Uuid] " AND state = 'waiting' ORDER BY chunk FOR UPDATE) \
         UPDATE campaign_chunks c SET state = " [state: Text] " FROM mine WHERE c.campaign_id = "
        [campaign: sql_types::Uuid] " AND c.chunk = mine.chunk RETURNING c.size"
    }
}

// A message that is cancelled tells nobody why; its recipient does.
statement! {
    Explain(campaign: Uuid, reason: &'static str) -> () {
        "WITH mine AS (SELECT id FROM outbound_messages WHERE campaign_id = "
        [campaign: sql_types::Uuid] " AND state IN ('ready', 'held') ORDER BY id FOR UPDATE) \
         UPDATE campaign_recipients r SET skip_reason = " [reason: Text]
        " FROM mine WHERE r.id = mine.id AND r.campaign_id = " [campaign: sql_types::Uuid]
    }
}

/// Skips everybody of a locked campaign who was not sent to: chunks that wait, and messages that
/// nobody has claimed. Returns how many; apply `changes` last.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn drop_rest(
    tx: &mut AsyncPgConnection,
    campaign: CampaignId,
    why: Dropped,
    changes: &mut Changes,
) -> Result<i64, StorageError> {
    let (id, reason) = (campaign.as_uuid(), why.as_str());
    let sizes: Vec<i32> = CancelChunks { campaign: id, state: reason }.load(tx).await?;
    if why != Dropped::Cancelled {
        Explain { campaign: id, reason }.execute(tx).await?;
    }
    let mut skipped: i64 = sizes.into_iter().map(i64::from).sum();
    skipped += move_messages(tx, campaign, "ready", "cancelled").await?;
    skipped += move_messages(tx, campaign, "held", "cancelled").await?;
    changes.ended(campaign, &End::Skipped(reason.to_owned()), skipped);
    Ok(skipped)
}
