//! Meta's news about messages we sent: merged so that late, double and disordered news change
//! nothing that is already known better (D10).

mod duplicates;
mod parked;
mod progress;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::Wamid;
use kernel::ids::{AttemptId, CampaignId, ConnectionId, ConversationId, MessageId, WorkspaceId};
use uuid::Uuid;

use self::duplicates::record_duplicate;
use self::parked::park;
pub use self::parked::{drop_parked, take_parked};
use self::progress::Progress;
pub use self::progress::Status;
use crate::StorageError;
use crate::campaigns::counts::{self, Changes};
use kernel::statement;

/// One status, as a webhook told it.
#[derive(Clone, Debug)]
pub struct StatusUpdate {
    /// Its ledger key.
    pub event_id: Uuid,
    /// The number the message left from.
    pub connection_id: ConnectionId,
    /// Meta's id of the message.
    pub wamid: Wamid,
    /// What happened to it.
    pub status: Status,
    /// When, by Meta's clock.
    pub happened_at: DateTime<Utc>,
    /// Meta's error code, of a failure.
    pub error_code: Option<i32>,
    /// Our attempt, echoed in `biz_opaque_callback_data`. Untrusted: another app may have sent it.
    pub attempt_id: Option<AttemptId>,
}

/// A message that went one step further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The message.
    pub message_id: MessageId,
    /// Its tenant.
    pub workspace_id: WorkspaceId,
    /// The number it left from.
    pub connection_id: ConnectionId,
    /// Its thread.
    pub conversation_id: ConversationId,
    /// What is new.
    pub status: Status,
    /// When, by Meta's clock.
    pub happened_at: DateTime<Utc>,
    /// Meta's error code, of a failure.
    pub error_code: Option<i32>,
}

/// What came of a set of statuses.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// First transitions, for events and statistics.
    pub steps: Vec<Step>,
    /// How many were parked because their message is not known yet.
    pub parked: usize,
    /// How many proved that Meta took a message twice.
    pub duplicates: usize,
}

/// Merges statuses into the send ledger; parks those whose message is not known.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn apply(
    tx: &mut AsyncPgConnection,
    updates: Vec<StatusUpdate>,
    now: DateTime<Utc>,
) -> Result<Applied, StorageError> {
    if updates.is_empty() {
        return Ok(Applied::default());
    }
    hook_quiet(tx, &updates).await?;
    let by_attempt = adopt_attempts(tx, &updates).await?;
    let mut rows = lock_messages(tx, &updates, &by_attempt).await?;
    let mut applied = Applied::default();
    let mut strangers = Vec::new();
    let mut changed: Vec<usize> = Vec::new();
    let mut changes = Changes::default();
    let index = Index::new(&rows);
    for update in updates {
        let Some(at) = index.find(&update, &by_attempt) else {
            strangers.push(update);
            continue;
        };
        let Some(row) = rows.get_mut(at) else { continue };
        if row.progress.wamid.as_ref().is_some_and(|known| known != update.wamid.as_str()) {
            applied.duplicates += record_duplicate(tx, row, &update, now).await?;
            continue;
        }
        let before = row.progress.clone();
        let is_step = row.progress.merge(&update, now);
        if row.progress != before {
            changed.push(at);
            row.count(&before, &mut changes);
        }
        if is_step {
            applied.steps.push(row.step(update));
        }
    }
    changed.sort_unstable();
    changed.dedup();
    let changed: Vec<&Row> = changed.into_iter().filter_map(|at| rows.get(at)).collect();
    write_progress(tx, &changed).await?;
    applied.parked = strangers.len();
    park(tx, strangers, now).await?;
    counts::apply(tx, changes, now).await?;
    Ok(applied)
}

/// A locked message and where it stands.
struct Row {
    id: Uuid,
    workspace_id: Uuid,
    connection_id: Uuid,
    conversation_id: Uuid,
    campaign_id: Option<Uuid>,
    progress: Progress,
}

impl Row {
    /// Adds what the news means for the numbers of the message's campaign.
    fn count(&self, before: &Progress, changes: &mut Changes) {
        let Some(campaign) = self.campaign_id.map(CampaignId::from_uuid) else { return };
        changes.moved(campaign, before.end().as_ref(), self.progress.end().as_ref());
        for step in
            self.progress.reached().into_iter().filter(|step| !before.reached().contains(step))
        {
            changes.reached(campaign, step);
        }
    }

    fn step(&self, update: StatusUpdate) -> Step {
        Step {
            message_id: MessageId::from_uuid(self.id),
            workspace_id: WorkspaceId::from_uuid(self.workspace_id),
            connection_id: ConnectionId::from_uuid(self.connection_id),
            conversation_id: ConversationId::from_uuid(self.conversation_id),
            status: update.status,
            happened_at: update.happened_at,
            error_code: update.error_code,
        }
    }
}

/// Finds the row of a status: by Meta's id, or by the attempt it echoes.
struct Index {
    by_wamid: HashMap<(Uuid, String), usize>,
    by_message: HashMap<Uuid, usize>,
}

impl Index {
    fn new(rows: &[Row]) -> Self {
        let wamids = rows.iter().enumerate().filter_map(|(at, row)| {
            row.progress.wamid.clone().map(|wamid| ((row.connection_id, wamid), at))
        });
        Self {
            by_wamid: wamids.collect(),
            by_message: rows.iter().enumerate().map(|(at, row)| (row.id, at)).collect(),
        }
    }

    fn find(&self, update: &StatusUpdate, by_attempt: &HashMap<Uuid, Uuid>) -> Option<usize> {
        let key = (update.connection_id.as_uuid(), update.wamid.as_str().to_owned());
        self.by_wamid.get(&key).copied().or_else(|| {
            let message = by_attempt.get(&update.attempt_id?.as_uuid())?;
            self.by_message.get(message).copied()
        })
    }
}

statement! {
    Hook(ids: Vec<Uuid>, connections: Vec<Uuid>, wamids: Vec<String>) -> () {
        "UPDATE send_attempts a SET hooked = true, state = 'accepted', \
         wamid = COALESCE(a.wamid, s.wamid), resolved_by = COALESCE(a.resolved_by, 'webhook') \
         FROM unnest("
        [ids: Array<sql_types::Uuid>] ", "
        [connections: Array<sql_types::Uuid>] ", "
        [wamids: Array<Text>]
        ") AS s (id, connection_id, wamid) WHERE a.id = s.id AND a.connection_id = s.connection_id \
         AND (NOT a.hooked OR a.state <> 'accepted')"
    }
}

// What is told of a try after which the message was given another one is about nothing that still is.
statement! {
    MessagesOf(ids: Vec<Uuid>, connections: Vec<Uuid>) -> (sql_types::Uuid, sql_types::Uuid) {
        "SELECT a.id, a.message_id FROM unnest("
        [ids: Array<sql_types::Uuid>] ", " [connections: Array<sql_types::Uuid>]
        ") AS s (id, connection_id) JOIN send_attempts a \
         ON a.id = s.id AND a.connection_id = s.connection_id \
         WHERE a.resolved_by IS DISTINCT FROM 'retried'"
    }
}

/// A status that echoes an attempt proves that Meta took it; returns attempt → message.
///
/// The connection must match too: what another tenant's app echoes is nobody's proof.
async fn adopt_attempts(
    tx: &mut AsyncPgConnection,
    updates: &[StatusUpdate],
) -> Result<HashMap<Uuid, Uuid>, StorageError> {
    let mut echoed: Vec<(Uuid, Uuid, String)> = updates
        .iter()
        .filter_map(|update| {
            let attempt = update.attempt_id?.as_uuid();
            Some((attempt, update.connection_id.as_uuid(), update.wamid.as_str().to_owned()))
        })
        .collect();
    if echoed.is_empty() {
        return Ok(HashMap::new());
    }
    echoed.sort_unstable();
    echoed.dedup_by_key(|row| row.0);
    let ids: Vec<Uuid> = echoed.iter().map(|row| row.0).collect();
    let connections: Vec<Uuid> = echoed.iter().map(|row| row.1).collect();
    let wamids = echoed.into_iter().map(|row| row.2).collect();
    Hook { ids: ids.clone(), connections: connections.clone(), wamids }.execute(tx).await?;
    let rows: Vec<(Uuid, Uuid)> = MessagesOf { ids, connections }.load(tx).await?;
    Ok(rows.into_iter().collect())
}

statement! {
    QuietAttempts(connections: Vec<Uuid>, wamids: Vec<String>) -> sql_types::Uuid {
        "SELECT a.id FROM outbound_messages m JOIN send_attempts a ON a.connection_id = m.connection_id \
         AND a.message_id = m.id AND a.state = 'accepted' AND NOT a.hooked \
         WHERE m.connection_id = ANY(" [connections: Array<sql_types::Uuid>] ") AND m.wamid = ANY("
        [wamids: Array<Text>] ")"
    }
}

// All attempts that the transaction will touch, in one order: no two batches wait for each other.
statement! {
    LockAttempts(ids: Vec<Uuid>) -> sql_types::Uuid {
        "SELECT id FROM send_attempts WHERE id = ANY(" [ids: Array<sql_types::Uuid>]
        ") ORDER BY id FOR UPDATE"
    }
}

statement! {
    HookQuiet(ids: Vec<Uuid>) -> () {
        "UPDATE send_attempts SET hooked = true WHERE state = 'accepted' AND NOT hooked AND id = ANY("
        [ids: Array<sql_types::Uuid>] ")"
    }
}

/// A status need not echo its attempt (Meta documents the echo for sent, delivered and read only): it
/// is a sign of life of the message's accepted attempt all the same. Attempts are locked before
/// messages (ADR-0014), so they are looked for by what the status says.
async fn hook_quiet(
    tx: &mut AsyncPgConnection,
    updates: &[StatusUpdate],
) -> Result<(), StorageError> {
    let quiet = || updates.iter().filter(|update| update.attempt_id.is_none());
    let mut connections: Vec<Uuid> = quiet().map(|update| update.connection_id.as_uuid()).collect();
    if connections.is_empty() {
        return Ok(());
    }
    connections.sort_unstable();
    connections.dedup();
    let wamids = quiet().map(|update| update.wamid.as_str().to_owned()).collect();
    let ids: Vec<Uuid> = QuietAttempts { connections, wamids }.load(tx).await?;
    if ids.is_empty() {
        return Ok(());
    }
    let echoed = updates.iter().filter_map(|update| update.attempt_id);
    let all = ids.iter().copied().chain(echoed.map(|attempt| attempt.as_uuid())).collect();
    let _locked: Vec<Uuid> = LockAttempts { ids: all }.load(tx).await?;
    HookQuiet { ids }.execute(tx).await?;
    Ok(())
}

type LockedRow = (
    (Uuid, Uuid, Uuid, Uuid, String, Option<String>, Option<DateTime<Utc>>),
    (Option<DateTime<Utc>>, Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    (Option<DateTime<Utc>>, Option<i32>, Option<Uuid>),
);

statement! {
    Lock(ids: Vec<Uuid>, wamids: Vec<String>) -> (
        (sql_types::Uuid, sql_types::Uuid, sql_types::Uuid, sql_types::Uuid, Text, Nullable<Text>,
            Nullable<Timestamptz>),
        (Nullable<Timestamptz>, Nullable<Timestamptz>, Nullable<Timestamptz>),
        (Nullable<Timestamptz>, Nullable<Integer>, Nullable<sql_types::Uuid>)
    ) {
        "SELECT id, workspace_id, connection_id, conversation_id, state, wamid, accepted_at, \
         sent_at, delivered_at, read_at, failed_at, error_code, campaign_id FROM outbound_messages \
         WHERE id = ANY(" [ids: Array<sql_types::Uuid>] ") OR wamid = ANY(" [wamids: Array<Text>]
        ") ORDER BY id FOR UPDATE"
    }
}

async fn lock_messages(
    tx: &mut AsyncPgConnection,
    updates: &[StatusUpdate],
    by_attempt: &HashMap<Uuid, Uuid>,
) -> Result<Vec<Row>, StorageError> {
    let ids = by_attempt.values().copied().collect();
    let mut wamids: Vec<String> =
        updates.iter().map(|update| update.wamid.as_str().to_owned()).collect();
    wamids.sort_unstable();
    wamids.dedup();
    let rows: Vec<LockedRow> = Lock { ids, wamids }.load(tx).await?;
    Ok(rows
        .into_iter()
        .map(
            |(
                (id, workspace_id, connection_id, conversation_id, state, wamid, accepted_at),
                (sent_at, delivered_at, read_at),
                (failed_at, error_code, campaign_id),
            )| Row {
                id,
                workspace_id,
                connection_id,
                conversation_id,
                campaign_id,
                progress: Progress {
                    state,
                    wamid,
                    accepted_at,
                    sent_at,
                    delivered_at,
                    read_at,
                    failed_at,
                    error_code,
                },
            },
        )
        .collect())
}

statement! {
    Write(
        ids: Vec<Uuid>,
        states: Vec<String>,
        wamids: Vec<Option<String>>,
        accepted: Vec<Option<DateTime<Utc>>>,
        sent: Vec<Option<DateTime<Utc>>>,
        delivered: Vec<Option<DateTime<Utc>>>,
        read: Vec<Option<DateTime<Utc>>>,
        failed: Vec<Option<DateTime<Utc>>>,
        codes: Vec<Option<i32>>,
    ) -> () {
        "UPDATE outbound_messages m SET state = s.state, wamid = s.wamid, \
         accepted_at = s.accepted_at, sent_at = s.sent_at, delivered_at = s.delivered_at, \
         read_at = s.read_at, failed_at = s.failed_at, error_code = s.error_code FROM unnest("
        [ids: Array<sql_types::Uuid>] ", "
        [states: Array<Text>] ", "
        [wamids: Array<Nullable<Text>>] ", "
        [accepted: Array<Nullable<Timestamptz>>] ", "
        [sent: Array<Nullable<Timestamptz>>] ", "
        [delivered: Array<Nullable<Timestamptz>>] ", "
        [read: Array<Nullable<Timestamptz>>] ", "
        [failed: Array<Nullable<Timestamptz>>] ", "
        [codes: Array<Nullable<Integer>>]
        ") AS s (id, state, wamid, accepted_at, sent_at, delivered_at, read_at, failed_at, \
         error_code) WHERE m.id = s.id"
    }
}

async fn write_progress(tx: &mut AsyncPgConnection, rows: &[&Row]) -> Result<(), StorageError> {
    if rows.is_empty() {
        return Ok(());
    }
    let statement = Write {
        ids: rows.iter().map(|row| row.id).collect(),
        states: rows.iter().map(|row| row.progress.state.clone()).collect(),
        wamids: rows.iter().map(|row| row.progress.wamid.clone()).collect(),
        accepted: rows.iter().map(|row| row.progress.accepted_at).collect(),
        sent: rows.iter().map(|row| row.progress.sent_at).collect(),
        delivered: rows.iter().map(|row| row.progress.delivered_at).collect(),
        read: rows.iter().map(|row| row.progress.read_at).collect(),
        failed: rows.iter().map(|row| row.progress.failed_at).collect(),
        codes: rows.iter().map(|row| row.progress.error_code).collect(),
    };
    statement.execute(tx).await?;
    Ok(())
}
