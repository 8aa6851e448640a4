//! Locks in PostgreSQL: a row of `distributed_locks` each, under the name that people read.
//!
//! A release that somebody waits for notifies; every process listens on one connection and asks
//! again for those of its own that wait for this lock. Who asks first gets it: only Redis hands on
//! in order.

mod statements;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use uuid::Uuid;

use self::statements::{Asked, Outcome};
use super::{Postgres, PostgresAway, duration, microseconds};
use crate::lock::fence::Fence;
use crate::lock::store::{Ask, Broken, Holder, Lease, Owner, Queue, Share, Take, Taken};
use crate::lock::waiters::{Waiters, Wake};
use crate::registry::LockClass;
use crate::registry::key::LockKey;

/// What releases notify on; the payload is the key.
pub(crate) const CHANNEL: &str = "switchyard_locks";
/// How long a waiter's mark on a row counts: it asks again every second at least.
const WAIT: Duration = Duration::from_secs(3);
/// How long a fence outlives its lock: no holder lives longer.
const FENCE_KEPT: Duration = Duration::from_hours(1);
/// Rows deleted in one statement.
const SWEPT: i64 = 1_000;

/// Locks of one process in PostgreSQL; cheap to clone.
#[derive(Clone)]
pub(crate) struct PgLocks {
    postgres: Arc<Postgres>,
    queues: Arc<Queues>,
    label: Arc<str>,
}

/// Who of this process waits for which key.
#[derive(Default)]
pub(crate) struct Queues(Mutex<HashMap<String, Vec<Uuid>>>);

impl Queues {
    fn join(&self, key: &str, token: Uuid) {
        let mut queues = self.locked();
        let queue = queues.entry(key.to_owned()).or_default();
        if !queue.contains(&token) {
            queue.push(token);
        }
    }

    fn leave(&self, key: &str, token: Uuid) {
        let mut queues = self.locked();
        if let Some(queue) = queues.get_mut(key) {
            queue.retain(|waiter| *waiter != token);
            if queue.is_empty() {
                queues.remove(key);
            }
        }
    }

    /// Makes those who wait for `key` ask again.
    pub(crate) fn wake(&self, key: &str, waiters: &Waiters) {
        for token in self.locked().get(key).into_iter().flatten() {
            // One that just left needs no wake-up.
            let _left = !waiters.wake(*token, Wake::Retry);
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<String, Vec<Uuid>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a transaction that must not commit, without being a failure.
enum Undone {
    Busy(Vec<Outcome>),
    Failed(diesel::result::Error),
}

impl From<diesel::result::Error> for Undone {
    fn from(error: diesel::result::Error) -> Self {
        Self::Failed(error)
    }
}

impl PgLocks {
    /// `queues` is shared by everything in this process that takes locks or listens.
    pub(crate) fn new(postgres: Arc<Postgres>, queues: Arc<Queues>, label: &str) -> Self {
        Self { postgres, queues, label: label.into() }
    }

    /// Returns when PostgreSQL may answer again.
    pub(crate) async fn available(&self) {
        self.postgres.available().await;
    }

    pub(crate) async fn take(
        &self,
        owner: &Owner,
        asks: &[Ask],
        how: Take,
    ) -> Result<Vec<Taken>, PostgresAway> {
        let keys: Vec<String> = asks.iter().map(|ask| ask.key.plain()).collect();
        if how.queue == Queue::Join {
            for key in &keys {
                self.queues.join(key, owner.token);
            }
        }
        let asked = in_order(asks);
        let (token, label) = (owner.token, self.label.to_string());
        let is_all = how.share == Share::All && asks.len() > 1;
        let outcomes = self
            .postgres
            .run(async move |conn| {
                if is_all {
                    take_all(conn, asked, token, label).await
                } else {
                    statements::take(conn, asked, token, label).await
                }
            })
            .await?;
        let mut taken: HashMap<String, Taken> = outcomes
            .into_iter()
            .map(|(key, is_ours, fence, free_in_us)| {
                let fence = fence.map(Fence);
                let free_in = duration(free_in_us);
                (key, if is_ours { Taken::Ours { fence } } else { Taken::Busy { free_in } })
            })
            .collect();
        if how.queue == Queue::Join {
            self.queue_up(owner.token, &mut taken).await?;
        }
        let unknown = Taken::Busy { free_in: Duration::ZERO };
        Ok(keys.iter().map(|key| taken.get(key).copied().unwrap_or(unknown)).collect())
    }

    /// Marks the busy rows, so that their release notifies; one that was released meanwhile is
    /// reported as free.
    async fn queue_up(
        &self,
        token: Uuid,
        taken: &mut HashMap<String, Taken>,
    ) -> Result<(), PostgresAway> {
        let (ours, busy): (Vec<_>, Vec<_>) =
            taken.iter().partition(|(_, taken)| matches!(taken, Taken::Ours { .. }));
        for (key, _) in ours {
            self.queues.leave(key, token);
        }
        let busy: Vec<String> = busy.into_iter().map(|(key, _)| key.clone()).collect();
        if busy.is_empty() {
            return Ok(());
        }
        let keys = busy.clone();
        let rows = self
            .postgres
            .run(async move |conn| statements::wait_for(conn, keys, microseconds(WAIT)).await)
            .await?;
        let free_in: HashMap<String, i64> = rows.into_iter().collect();
        for key in busy {
            let free_in = free_in.get(&key).map_or(Duration::ZERO, |us| duration(*us));
            taken.insert(key, Taken::Busy { free_in });
        }
        Ok(())
    }

    pub(crate) async fn renew(&self, leases: &[Lease]) -> Result<Vec<bool>, PostgresAway> {
        let mut sorted: Vec<_> = leases
            .iter()
            .map(|lease| (lease.key.plain(), lease.token, microseconds(lease.ttl)))
            .collect();
        let asked: Vec<(String, Uuid)> =
            sorted.iter().map(|(key, token, _)| (key.clone(), *token)).collect();
        sorted.sort_unstable();
        let renewed = self
            .postgres
            .run(async move |conn| {
                let (keys, owners, ttls_us) = split(sorted);
                statements::renew(conn, keys, owners, ttls_us).await
            })
            .await?;
        Ok(asked.iter().map(|lease| renewed.contains(lease)).collect())
    }

    pub(crate) async fn release(
        &self,
        held: &[(LockKey, Uuid)],
    ) -> Result<Vec<bool>, PostgresAway> {
        let asked: Vec<(String, Uuid)> =
            held.iter().map(|(key, token)| (key.plain(), *token)).collect();
        for (key, token) in &asked {
            self.queues.leave(key, *token);
        }
        let mut sorted = asked.clone();
        sorted.sort_unstable();
        let released = self
            .postgres
            .run(async move |conn| {
                let (keys, owners) = sorted.into_iter().unzip();
                statements::release(conn, keys, owners, CHANNEL).await
            })
            .await?;
        Ok(asked.iter().map(|lock| released.contains(lock)).collect())
    }

    /// Nobody is handed a lock here, but a question whose answer was lost may have taken it.
    pub(crate) async fn leave(&self, waiting: &[(LockKey, Uuid)]) -> Result<(), PostgresAway> {
        self.release(waiting).await.map(|_| ())
    }

    /// At most `limit` holders of a class's locks, oldest first.
    pub(crate) async fn holders(
        &self,
        class: Option<LockClass>,
        limit: usize,
    ) -> Result<Vec<Holder>, PostgresAway> {
        let template = class.map_or("{", |class| class.spec().key);
        let prefix = template.split_once('{').map_or(template, |(prefix, _)| prefix);
        // In a pattern `_` stands for any character.
        let pattern = format!("{}%", prefix.replace('_', "\\_"));
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        self.postgres.run(async move |conn| statements::holders(conn, pattern, most).await).await
    }

    /// An operator's release; refused when somebody else holds it by now.
    pub(crate) async fn break_lock(
        &self,
        key: &LockKey,
        token_prefix: &str,
    ) -> Result<Broken, PostgresAway> {
        let plain = key.plain();
        let owner =
            self.postgres.run(async move |conn| statements::owner(conn, plain).await).await?;
        let Some(owner) = owner else { return Ok(Broken::Free) };
        if !owner.simple().to_string().starts_with(token_prefix) {
            return Ok(Broken::OwnerChanged);
        }
        let released = self.release(&[(key.clone(), owner)]).await?;
        Ok(if released.contains(&true) { Broken::Released } else { Broken::OwnerChanged })
    }

    /// Deletes rows that nobody needs any more, in small batches.
    pub(crate) async fn sweep(&self) -> Result<(), PostgresAway> {
        let keep_us = microseconds(FENCE_KEPT);
        loop {
            let swept =
                self.postgres.run(async move |conn| statements::sweep(conn, keep_us, SWEPT).await);
            if i64::try_from(swept.await?).unwrap_or(0) < SWEPT {
                return Ok(());
            }
        }
    }
}

/// All or nothing: what was taken is undone unless everything was.
async fn take_all(
    conn: &mut AsyncPgConnection,
    asked: Asked,
    owner: Uuid,
    holder: String,
) -> Result<Vec<Outcome>, diesel::result::Error> {
    let taken = conn
        .transaction::<_, Undone, _>(async |conn| {
            let outcomes = statements::take(conn, asked, owner, holder).await?;
            let is_all = outcomes.iter().all(|(_, is_ours, ..)| *is_ours);
            if is_all { Ok(outcomes) } else { Err(Undone::Busy(outcomes)) }
        })
        .await;
    match taken {
        Ok(outcomes) => Ok(outcomes),
        Err(Undone::Failed(error)) => Err(error),
        // Those that were ours for a moment are free: nothing of it was ever seen.
        Err(Undone::Busy(outcomes)) => Ok(outcomes
            .into_iter()
            .map(|(key, _, _, free_in_us)| (key, false, None, free_in_us))
            .collect()),
    }
}

fn in_order(asks: &[Ask]) -> Asked {
    let mut sorted: Vec<_> =
        asks.iter().map(|ask| (ask.key.plain(), microseconds(ask.ttl), ask.is_fenced)).collect();
    sorted.sort_unstable();
    sorted.dedup_by(|one, other| one.0 == other.0);
    let mut asked = Asked::default();
    for (key, ttl_us, is_fenced) in sorted {
        asked.keys.push(key);
        asked.ttls_us.push(ttl_us);
        asked.fenced.push(is_fenced);
    }
    asked
}

fn split(sorted: Vec<(String, Uuid, i64)>) -> (Vec<String>, Vec<Uuid>, Vec<i64>) {
    let mut arrays = (Vec::new(), Vec::new(), Vec::new());
    for (key, owner, ttl_us) in sorted {
        arrays.0.push(key);
        arrays.1.push(owner);
        arrays.2.push(ttl_us);
    }
    arrays
}
