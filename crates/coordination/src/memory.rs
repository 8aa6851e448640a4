//! Locks in this process's memory, for tests of ours and of services: the same rules as on Redis, on
//! tokio's clock, which a test may stop and move, and with the faults that a test wants.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::lock::fence::Fence;
use crate::lock::store::{Ask, Broken, Holder, Lease, Owner, Queue, Share, Take, Taken};
use crate::lock::waiters::{Waiters, Wake};
use crate::registry::LockClass;
use crate::registry::key::LockKey;

/// As long as a caller waits for Redis.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(150);

/// The store did not answer, because a test wanted it so.
#[derive(Debug, Error)]
pub enum MemoryAway {
    /// The call took effect, and its answer was lost.
    #[error("the answer was lost")]
    AnswerLost,
    /// The store is frozen; nothing happened.
    #[error("the store is frozen")]
    Frozen,
}

/// The server that several processes share: give each [`crate::Coordination::in_memory`] a clone.
#[derive(Clone, Default)]
pub struct MemoryServer {
    state: Arc<Mutex<State>>,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    lost_answers: Mutex<u32>,
    frozen: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    locks: HashMap<LockKey, Lock>,
    fences: HashMap<LockKey, i64>,
}

#[derive(Default)]
struct Lock {
    owner: Option<Owned>,
    queue: VecDeque<Waiter>,
}

struct Owned {
    token: Uuid,
    label: Arc<str>,
    fence: Option<Fence>,
    since: Instant,
    until: Instant,
}

struct Waiter {
    token: Uuid,
    label: Arc<str>,
    ttl: Duration,
    is_fenced: bool,
    process: Arc<Waiters>,
}

impl MemoryServer {
    /// The next `count` calls take effect, and their callers are not told.
    pub fn lose_answers(&self, count: u32) {
        *self.faults.lost_answers.lock().unwrap_or_else(PoisonError::into_inner) = count;
    }

    /// From now on nobody is answered, and nothing happens, until [`Self::thaw`].
    pub fn freeze(&self) {
        self.faults.frozen.send_replace(true);
    }

    /// Ends a [`Self::freeze`].
    pub fn thaw(&self) {
        self.faults.frozen.send_replace(false);
    }

    /// Forgets every lock, every waiter and every fence.
    pub fn flush(&self) {
        *self.locked() = State::default();
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Locks of one process in memory; cheap to clone.
#[derive(Clone)]
pub(crate) struct MemoryLocks {
    server: MemoryServer,
    waiters: Arc<Waiters>,
    label: Arc<str>,
}

impl MemoryLocks {
    pub(crate) fn new(server: MemoryServer, waiters: Arc<Waiters>, label: &str) -> Self {
        Self { server, waiters, label: label.into() }
    }

    /// Returns when the store is not frozen.
    pub(crate) async fn available(&self) {
        // The sender lives in `self`: the wait can not fail.
        let _thawed =
            self.server.faults.frozen.subscribe().wait_for(|frozen| !frozen).await.is_ok();
    }

    pub(crate) async fn take(
        &self,
        owner: &Owner,
        asks: &[Ask],
        how: Take,
    ) -> Result<Vec<Taken>, MemoryAway> {
        self.call(|state| {
            let now = Instant::now();
            let is_any_busy =
                asks.iter().any(|ask| state.left(&ask.key, owner.token, now).is_some());
            let takes = how.share == Share::Each || !is_any_busy;
            asks.iter().map(|ask| self.take_one(state, owner, ask, takes, how.queue)).collect()
        })
        .await
    }

    fn take_one(
        &self,
        state: &mut State,
        owner: &Owner,
        ask: &Ask,
        takes: bool,
        queue: Queue,
    ) -> Taken {
        let now = Instant::now();
        let left = state.left(&ask.key, owner.token, now);
        if let (None, true) = (left, takes) {
            let lock = state.locks.entry(ask.key.clone()).or_default();
            lock.queue.retain(|waiter| waiter.token != owner.token);
            let had = lock.owner.take().filter(|had| had.token == owner.token && now < had.until);
            let fence = match had {
                Some(had) => had.fence,
                None => ask.is_fenced.then(|| state.next_fence(&ask.key)),
            };
            let label = Arc::clone(&self.label);
            state.grant(
                &ask.key,
                Owned { token: owner.token, label, fence, since: now, until: now + ask.ttl },
            );
            return Taken::Ours { fence };
        }
        if queue == Queue::Join && left.is_some() {
            let lock = state.locks.entry(ask.key.clone()).or_default();
            if lock.queue.iter().all(|waiter| waiter.token != owner.token) {
                lock.queue.push_back(Waiter {
                    token: owner.token,
                    label: Arc::clone(&self.label),
                    ttl: ask.ttl,
                    is_fenced: ask.is_fenced,
                    process: Arc::clone(&self.waiters),
                });
            }
        }
        Taken::Busy { free_in: left.unwrap_or_default() }
    }

    pub(crate) async fn renew(&self, leases: &[Lease]) -> Result<Vec<bool>, MemoryAway> {
        self.call(|state| {
            let now = Instant::now();
            leases.iter().map(|lease| state.renew(lease, now)).collect()
        })
        .await
    }

    pub(crate) async fn release(&self, held: &[(LockKey, Uuid)]) -> Result<Vec<bool>, MemoryAway> {
        self.call(|state| held.iter().map(|(key, token)| state.release(key, *token)).collect())
            .await
    }

    pub(crate) async fn leave(&self, waiting: &[(LockKey, Uuid)]) -> Result<(), MemoryAway> {
        self.call(|state| {
            for (key, token) in waiting {
                if let Some(lock) = state.locks.get_mut(key) {
                    lock.queue.retain(|waiter| waiter.token != *token);
                }
                state.release(key, *token);
            }
        })
        .await
    }

    /// At most `limit` holders of a class's locks, oldest first.
    pub(crate) async fn holders(
        &self,
        class: Option<LockClass>,
        limit: usize,
    ) -> Result<Vec<Holder>, MemoryAway> {
        self.call(|state| {
            let now = Instant::now();
            let held = state.locks.iter().filter_map(|(key, lock)| {
                let owned = lock.owner.as_ref().filter(|owned| now < owned.until)?;
                (class.is_none() || key.class() == class).then(|| lock.holder(key, owned, now))
            });
            let mut held: Vec<Holder> = held.collect();
            held.sort_by_key(|holder| Reverse(holder.age));
            held.truncate(limit);
            held
        })
        .await
    }

    pub(crate) async fn break_lock(
        &self,
        key: &LockKey,
        token_prefix: &str,
    ) -> Result<Broken, MemoryAway> {
        self.call(|state| {
            let now = Instant::now();
            let owner = state.locks.get(key).and_then(|lock| lock.owner.as_ref());
            let Some(owned) = owner.filter(|owned| now < owned.until) else { return Broken::Free };
            let token = owned.token;
            if !token.simple().to_string().starts_with(token_prefix) {
                return Broken::OwnerChanged;
            }
            state.release(key, token);
            Broken::Released
        })
        .await
    }

    /// One call to the server, with the faults that are wanted.
    async fn call<T>(&self, work: impl FnOnce(&mut State) -> T) -> Result<T, MemoryAway> {
        if *self.server.faults.frozen.borrow() {
            let thawed = timeout(RESPONSE_TIMEOUT, self.available());
            thawed.await.map_err(|_elapsed| MemoryAway::Frozen)?;
        }
        // Other tasks get a turn, as with a real server.
        tokio::task::yield_now().await;
        let answer = work(&mut self.server.locked());
        let is_lost = {
            let mut lost =
                self.server.faults.lost_answers.lock().unwrap_or_else(PoisonError::into_inner);
            let is_lost = *lost > 0;
            *lost = lost.saturating_sub(1);
            is_lost
        };
        if is_lost {
            return match timeout(RESPONSE_TIMEOUT, pending()).await {
                Ok(answer) => answer,
                Err(_elapsed) => Err(MemoryAway::AnswerLost),
            };
        }
        Ok(answer)
    }
}

impl State {
    /// How long somebody else keeps the lock; `None` when it is free or this token's.
    fn left(&self, key: &LockKey, token: Uuid, now: Instant) -> Option<Duration> {
        let owned = self.locks.get(key)?.owner.as_ref()?;
        (owned.token != token && now < owned.until).then(|| owned.until - now)
    }

    fn next_fence(&mut self, key: &LockKey) -> Fence {
        let fence = self.fences.entry(key.clone()).or_default();
        *fence += 1;
        Fence(*fence)
    }

    fn grant(&mut self, key: &LockKey, owned: Owned) {
        self.locks.entry(key.clone()).or_default().owner = Some(owned);
    }

    fn renew(&mut self, lease: &Lease, now: Instant) -> bool {
        let owner = self.locks.get_mut(&lease.key).and_then(|lock| lock.owner.as_mut());
        let Some(owned) = owner.filter(|owned| owned.token == lease.token && now < owned.until)
        else {
            return false;
        };
        owned.until = now + lease.ttl;
        true
    }

    /// Hands the lock to the next waiter who still listens.
    fn release(&mut self, key: &LockKey, token: Uuid) -> bool {
        let now = Instant::now();
        let Some(lock) = self.locks.get_mut(key) else { return false };
        if lock.owner.as_ref().is_none_or(|owned| owned.token != token || now >= owned.until) {
            return false;
        }
        lock.owner = None;
        while let Some(waiter) = self.locks.get_mut(key).and_then(|lock| lock.queue.pop_front()) {
            let fence = waiter.is_fenced.then(|| self.next_fence(key));
            if waiter.process.wake(waiter.token, Wake::Granted { key: key.clone(), fence }) {
                let Waiter { token, label, ttl, .. } = waiter;
                self.grant(key, Owned { token, label, fence, since: now, until: now + ttl });
                return true;
            }
        }
        self.locks.remove(key);
        true
    }
}

impl Lock {
    fn holder(&self, key: &LockKey, owned: &Owned, now: Instant) -> Holder {
        Holder {
            key: key.plain(),
            owner: owned.label.to_string(),
            token_prefix: owned
                .token
                .simple()
                .to_string()
                .chars()
                .take(Holder::TOKEN_SHOWN)
                .collect(),
            fence: owned.fence,
            age: Some(now - owned.since),
            ttl_left: owned.until - now,
            waiters: u64::try_from(self.queue.len()).unwrap_or(u64::MAX),
        }
    }
}
