//! Locks on Redis, and for some classes in PostgreSQL while Redis is away.
//!
//! Invariant: a lock is taken and renewed where its class is kept at that moment, and given back
//! where it was asked for.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use uuid::Uuid;

use super::{Backend, Switch};
use crate::lock::store::{Ask, Broken, Holder, Lease, Owner, Share, StoreAway, Take, Taken};
use crate::postgres::locks::PgLocks;
use crate::redis::locks::RedisLocks;
use crate::registry::key::LockKey;
use crate::registry::{LockClass, WhenAway};

/// The pause before something that failed on either backend is tried again.
const AGAIN: Duration = Duration::from_millis(250);

/// A lock and the token it was asked for with.
type Lock = (LockKey, Uuid);

/// Locks of one process on either backend; cheap to clone.
#[derive(Clone)]
pub(crate) struct SwitchedLocks {
    redis: RedisLocks,
    postgres: PgLocks,
    switch: Arc<Switch>,
    placed: Arc<Placed>,
}

/// What this process asked PostgreSQL for, and has not given back.
#[derive(Default)]
pub(crate) struct Placed(Mutex<HashSet<Lock>>);

impl Placed {
    fn locked(&self) -> MutexGuard<'_, HashSet<Lock>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SwitchedLocks {
    /// `switch` and `placed` are shared by everything in this process that takes, renews or
    /// releases.
    pub(crate) fn new(
        redis: RedisLocks,
        postgres: PgLocks,
        switch: Arc<Switch>,
        placed: Arc<Placed>,
    ) -> Self {
        Self { redis, postgres, switch, placed }
    }

    pub(crate) async fn take(
        &self,
        owner: &Owner,
        asks: &[Ask],
        how: Take,
    ) -> Result<Vec<Taken>, StoreAway> {
        let mut places = Vec::new();
        for ask in asks {
            places.push(self.backend(&ask.key, ask.ttl).ok_or(StoreAway::Moving)?);
        }
        if places.iter().all(|place| *place == Backend::Redis) {
            return Ok(self.redis.take(owner, asks, how).await?);
        }
        let note = asks.iter().zip(&places).filter(|(_, place)| **place == Backend::Postgres);
        let noted: Vec<_> = note.map(|(ask, _)| (ask.key.clone(), owner.token)).collect();
        self.placed.locked().extend(noted);
        if places.iter().all(|place| *place == Backend::Postgres) {
            return Ok(self.postgres.take(owner, asks, how).await?);
        }
        self.take_on_both(owner, asks, &places, how).await
    }

    async fn take_on_both(
        &self,
        owner: &Owner,
        asks: &[Ask],
        places: &[Backend],
        how: Take,
    ) -> Result<Vec<Taken>, StoreAway> {
        let on = |backend: Backend| -> Vec<Ask> {
            let on = asks.iter().zip(places).filter(|(_, place)| **place == backend);
            on.map(|(ask, _)| ask.clone()).collect()
        };
        let redis = self.redis.take(owner, &on(Backend::Redis), how).await?;
        let is_ours = |taken: &Taken| matches!(taken, Taken::Ours { .. });
        let stays_out = how.share == Share::All && !redis.iter().all(is_ours);
        let free = Taken::Busy { free_in: Duration::ZERO };
        let postgres = match on(Backend::Postgres) {
            asks if stays_out => vec![free; asks.len()],
            asks => self.postgres.take(owner, &asks, how).await?,
        };
        let undone = how.share == Share::All && !stays_out && !postgres.iter().all(is_ours);
        if undone {
            let keys = on(Backend::Redis).into_iter().map(|ask| (ask.key, owner.token));
            self.redis.release(&keys.collect::<Vec<_>>()).await?;
        }
        let mut redis = redis.into_iter().map(|taken| if undone { free } else { taken });
        let mut postgres = postgres.into_iter();
        let of = |place: &Backend| match place {
            Backend::Redis => redis.next().unwrap_or(free),
            Backend::Postgres => postgres.next().unwrap_or(free),
        };
        Ok(places.iter().map(of).collect())
    }

    /// All of them, or an error when one may not be renewed now.
    pub(crate) async fn renew(&self, leases: &[Lease]) -> Result<Vec<bool>, StoreAway> {
        let mut places = Vec::new();
        for lease in leases {
            places.push(self.backend(&lease.key, lease.ttl).ok_or(StoreAway::Moving)?);
        }
        let on = |backend: Backend| -> Vec<Lease> {
            let on = leases.iter().zip(&places).filter(|(_, place)| **place == backend);
            on.map(|(lease, _)| lease.clone()).collect()
        };
        let (on_redis, on_postgres) = (on(Backend::Redis), on(Backend::Postgres));
        let mut redis = Vec::new().into_iter();
        if !on_redis.is_empty() {
            redis = self.redis.renew(&on_redis).await?.into_iter();
        }
        let mut postgres = Vec::new().into_iter();
        if !on_postgres.is_empty() {
            postgres = self.postgres.renew(&on_postgres).await?.into_iter();
        }
        let of = |place: &Backend| match place {
            Backend::Redis => redis.next().unwrap_or(false),
            Backend::Postgres => postgres.next().unwrap_or(false),
        };
        Ok(places.iter().map(of).collect())
    }

    pub(crate) async fn release(&self, held: &[Lock]) -> Result<Vec<bool>, StoreAway> {
        let (theirs, on_redis) = self.split(held);
        let mut released: HashSet<Lock> = HashSet::new();
        if !theirs.is_empty() {
            let answers = self.postgres.release(&theirs).await?;
            self.forget(&theirs);
            released.extend(theirs.into_iter().zip(answers).filter(|(_, is)| *is).map(|(l, _)| l));
        }
        if !on_redis.is_empty() {
            let answers = self.redis.release(&on_redis).await?;
            released
                .extend(on_redis.into_iter().zip(answers).filter(|(_, is)| *is).map(|(l, _)| l));
        }
        Ok(held.iter().map(|lock| released.contains(lock)).collect())
    }

    pub(crate) async fn leave(&self, waiting: &[Lock]) -> Result<(), StoreAway> {
        let (theirs, on_redis) = self.split(waiting);
        if !theirs.is_empty() {
            self.postgres.leave(&theirs).await?;
            self.forget(&theirs);
        }
        if !on_redis.is_empty() {
            self.redis.leave(&on_redis).await?;
        }
        Ok(())
    }

    /// Holders on both, as a class's locks may be on the move.
    pub(crate) async fn holders(
        &self,
        class: Option<LockClass>,
        limit: usize,
    ) -> Result<Vec<Holder>, StoreAway> {
        if class.is_some_and(|class| class.spec().when_away != WhenAway::Postgres) {
            return Ok(self.redis.holders(class, limit).await?);
        }
        let mut holders = self.postgres.holders(class, limit).await?;
        match self.redis.holders(class, limit).await {
            Ok(on_redis) => holders.extend(on_redis),
            Err(away) if holders.is_empty() => return Err(away.into()),
            Err(_) => (),
        }
        holders.truncate(limit);
        Ok(holders)
    }

    /// Where the lock is held; a class that does not move is on Redis.
    pub(crate) async fn break_lock(
        &self,
        key: &LockKey,
        token_prefix: &str,
    ) -> Result<Broken, StoreAway> {
        let moves = key.class().is_some_and(|class| class.spec().when_away == WhenAway::Postgres);
        if moves {
            let broken = self.postgres.break_lock(key, token_prefix).await?;
            if broken == Broken::Released {
                return Ok(broken);
            }
        }
        Ok(self.redis.break_lock(key, token_prefix).await?)
    }

    /// Returns after a moment: one backend may be away for good while the other is wanted.
    pub(crate) async fn available(&self) {
        sleep(AGAIN).await;
    }

    fn backend(&self, key: &LockKey, ttl: Duration) -> Option<Backend> {
        match key.class() {
            Some(class) if class.spec().when_away == WhenAway::Postgres => {
                self.switch.backend(class, ttl)
            }
            _ => Some(Backend::Redis),
        }
    }

    /// Those that were asked for in PostgreSQL, and the others.
    fn split(&self, held: &[Lock]) -> (Vec<Lock>, Vec<Lock>) {
        let placed = self.placed.locked();
        held.iter().cloned().partition(|lock| placed.contains(lock))
    }

    fn forget(&self, given_back: &[Lock]) {
        let mut placed = self.placed.locked();
        for lock in given_back {
            placed.remove(lock);
        }
    }
}
