//! Meta's news about messages we sent: merged so that late, double and disordered news change
//! nothing that is already known better (D10).

mod attempts;
mod duplicates;
mod parked;
mod progress;
mod rows;

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use kernel::Wamid;
use kernel::ids::{AttemptId, ConnectionId, ConversationId, MessageId, WorkspaceId};
use uuid::Uuid;

use self::attempts::{adopt_attempts, hook_quiet};
use self::duplicates::record_duplicate;
use self::parked::park;
pub use self::parked::{drop_parked, take_parked};
pub use self::progress::Status;
use self::rows::{Index, Row, lock_messages, write_progress};
use crate::StorageError;
use crate::campaigns::counts::{self, Changes};

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

/// Merges statuses into the send ledger; parks those whose message is not known. `answered` are messages of
/// campaigns that people may have answered just now: each counts as answered once, if Meta had taken it.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn apply(
    tx: &mut AsyncPgConnection,
    updates: Vec<StatusUpdate>,
    answered: &[MessageId],
    now: DateTime<Utc>,
) -> Result<Applied, StorageError> {
    if updates.is_empty() && answered.is_empty() {
        return Ok(Applied::default());
    }
    hook_quiet(tx, &updates).await?;
    let by_attempt = adopt_attempts(tx, &updates).await?;
    let mut rows = lock_messages(tx, &updates, &by_attempt, answered).await?;
    let mut applied = Applied::default();
    let mut strangers = Vec::new();
    let mut changed: Vec<usize> = Vec::new();
    let mut changes = Changes::default();
    let index = Index::new(&rows);
    for update in updates {
        let tried = update.attempt_id.and_then(|id| by_attempt.get(&id.as_uuid()).copied());
        let Some(at) = index.find(&update, tried) else {
            strangers.push(update);
            continue;
        };
        let Some(row) = rows.get_mut(at) else { continue };
        if tried.is_some_and(|tried| tried.is_given_up) && !row.progress.takes_back(&update) {
            continue;
        }
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
    for at in answered.iter().filter_map(|message| index.message(*message)) {
        let is_first = rows.get_mut(at).is_some_and(|row| row.answer(&mut changes, now));
        changed.extend(is_first.then_some(at));
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
