//! Where locks are kept: one enum over the backends, dispatched statically.
//!
//! Invariants of every backend:
//! - only the token that took a lock renews or releases it, compared where the lock is kept;
//! - a fence is greater than every fence that was given for the key before;
//! - expiry is decided by the backend's own clock; callers keep deadlines by their own monotonic one.

use std::time::Duration;

use kernel::Retryable;
use thiserror::Error;
use uuid::Uuid;

use super::fence::Fence;
use crate::memory::{MemoryAway, MemoryLocks};
use crate::postgres::PostgresAway;
use crate::postgres::locks::PgLocks;
use crate::redis::link::RedisAway;
use crate::redis::locks::RedisLocks;
use crate::registry::LockClass;
use crate::registry::key::LockKey;
use crate::switch::SwitchedLocks;

/// A process, for the lives of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProcessId(pub(crate) Uuid);

/// Who asks. The process's label for operators is given to each backend when it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    /// What renewals and releases are compared with; a new one for every guard.
    pub(crate) token: Uuid,
    /// Where wake-ups are sent.
    pub(crate) process: ProcessId,
}

/// One lock that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) key: LockKey,
    pub(crate) ttl: Duration,
    pub(crate) is_fenced: bool,
}

/// How several locks are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// All of them or none.
    All,
    /// Whichever are free.
    Each,
}

/// Whether the busy ones are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// Not at all.
    Stay,
    /// Joins their queues, or keeps its place there.
    Join,
}

/// How locks are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Take {
    pub(crate) share: Share,
    pub(crate) queue: Queue,
}

/// What became of one ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The owner holds it, from now for the ttl; also when it held it already.
    Ours { fence: Option<Fence> },
    /// Not taken; free after this long at most, unless it is renewed. Zero: free, but another of
    /// the batch was not.
    Busy { free_in: Duration },
}

/// One lock that is held.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) key: LockKey,
    pub(crate) token: Uuid,
    pub(crate) ttl: Duration,
}

/// Somebody who holds a lock, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The lock's logical name, e.g. `template_sync:connection:cnx_…`.
    pub key: String,
    /// The process, `service@host/pid`; empty when it is not one of ours.
    pub owner: String,
    /// The first characters of the owner's token.
    pub token_prefix: String,
    /// The latest fence of the key, if its class is fenced.
    pub fence: Option<Fence>,
    /// How long it has been held, by the holder's own clock when Redis keeps the lock.
    pub age: Option<Duration>,
    /// Until it runs out, unless it is renewed.
    pub ttl_left: Duration,
    /// How many wait for it.
    pub waiters: u64,
}

impl Holder {
    /// Characters of a token that operators see and name in a release. A token begins with the time
    /// at which it was made: fewer could be those of the next owner, too.
    pub const TOKEN_SHOWN: usize = 16;
}

/// What became of an operator's release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The lock was taken from its holder; the next waiter has it, or it is free.
    Released,
    /// Somebody else holds it by now: look again.
    OwnerChanged,
    /// Nobody held it.
    Free,
    /// No lock of the registry has such a name, or the prefix is empty.
    Unknown,
}

/// The backend did not do what it was asked; whether it will have done it is unknown, unless nothing
/// was sent.
#[derive(Debug, Error)]
pub enum StoreAway {
    /// Redis did not.
    #[error(transparent)]
    Redis(#[from] RedisAway),
    /// PostgreSQL did not.
    #[error(transparent)]
    Postgres(#[from] PostgresAway),
    /// The store in memory did not.
    #[error(transparent)]
    Memory(#[from] MemoryAway),
    /// The class's locks move to another backend, or the process can not tell where they are.
    #[error("the locks are on the move")]
    Moving,
}

impl StoreAway {
    /// Whether nothing was sent, so that nothing can have happened.
    pub(crate) const fn is_unasked(&self) -> bool {
        match self {
            Self::Redis(away) => matches!(away, RedisAway::NotConnected),
            Self::Postgres(away) => matches!(away, PostgresAway::LeftAlone),
            Self::Memory(_) => false,
            Self::Moving => true,
        }
    }
}

impl Retryable for StoreAway {
    fn is_transient(&self) -> bool {
        true
    }
}

/// The backend of a process's locks; cheap to clone.
#[derive(Clone)]
pub(crate) enum Store {
    Redis(RedisLocks),
    Postgres(PgLocks),
    /// On Redis, some classes in PostgreSQL while Redis is away.
    Switched(SwitchedLocks),
    Memory(MemoryLocks),
}

impl Store {
    /// Asks for locks: one round trip (one for each hash slot on a Redis Cluster; a second one for
    /// a single lock that somebody holds).
    pub(crate) async fn take(
        &self,
        owner: &Owner,
        asks: &[Ask],
        how: Take,
    ) -> Result<Vec<Taken>, StoreAway> {
        match self {
            Self::Redis(redis) => Ok(redis.take(owner, asks, how).await?),
            Self::Postgres(postgres) => Ok(postgres.take(owner, asks, how).await?),
            Self::Switched(switched) => switched.take(owner, asks, how).await,
            Self::Memory(memory) => Ok(memory.take(owner, asks, how).await?),
        }
    }

    /// Prolongs each lease by its ttl from now; the answer says of each whether it still was ours.
    pub(crate) async fn renew(&self, leases: &[Lease]) -> Result<Vec<bool>, StoreAway> {
        match self {
            Self::Redis(redis) => Ok(redis.renew(leases).await?),
            Self::Postgres(postgres) => Ok(postgres.renew(leases).await?),
            Self::Switched(switched) => switched.renew(leases).await,
            Self::Memory(memory) => Ok(memory.renew(leases).await?),
        }
    }

    /// Gives locks back, each to its next waiter in the same step; the answer says of each whether
    /// it still was ours.
    pub(crate) async fn release(&self, held: &[(LockKey, Uuid)]) -> Result<Vec<bool>, StoreAway> {
        match self {
            Self::Redis(redis) => Ok(redis.release(held).await?),
            Self::Postgres(postgres) => Ok(postgres.release(held).await?),
            Self::Switched(switched) => switched.release(held).await,
            Self::Memory(memory) => Ok(memory.release(held).await?),
        }
    }

    /// Leaves the queues; a lock that was handed to us meanwhile is handed on.
    pub(crate) async fn leave(&self, waiting: &[(LockKey, Uuid)]) -> Result<(), StoreAway> {
        match self {
            Self::Redis(redis) => Ok(redis.leave(waiting).await?),
            Self::Postgres(postgres) => Ok(postgres.leave(waiting).await?),
            Self::Switched(switched) => switched.leave(waiting).await,
            Self::Memory(memory) => Ok(memory.leave(waiting).await?),
        }
    }

    /// At most `limit` holders of a class's locks, or of all.
    pub(crate) async fn holders(
        &self,
        class: Option<LockClass>,
        limit: usize,
    ) -> Result<Vec<Holder>, StoreAway> {
        match self {
            Self::Redis(redis) => Ok(redis.holders(class, limit).await?),
            Self::Postgres(postgres) => Ok(postgres.holders(class, limit).await?),
            Self::Switched(switched) => switched.holders(class, limit).await,
            Self::Memory(memory) => Ok(memory.holders(class, limit).await?),
        }
    }

    /// Takes a lock from its holder if that one's token still begins with `token_prefix`.
    pub(crate) async fn break_lock(
        &self,
        key: &LockKey,
        token_prefix: &str,
    ) -> Result<Broken, StoreAway> {
        match self {
            Self::Redis(redis) => Ok(redis.break_lock(key, token_prefix).await?),
            Self::Postgres(postgres) => Ok(postgres.break_lock(key, token_prefix).await?),
            Self::Switched(switched) => switched.break_lock(key, token_prefix).await,
            Self::Memory(memory) => Ok(memory.break_lock(key, token_prefix).await?),
        }
    }

    /// Returns when the backend answers again.
    pub(crate) async fn available(&self) {
        match self {
            Self::Redis(redis) => redis.available().await,
            Self::Postgres(postgres) => postgres.available().await,
            Self::Switched(switched) => switched.available().await,
            Self::Memory(memory) => memory.available().await,
        }
    }
}
