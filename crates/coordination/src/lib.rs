//! Distributed locks and rate limits on Redis, both named in one typed [`registry`].
//!
//! Invariants:
//! - nothing here carries correctness: the database's keys and ledgers decide, and every lock names
//!   what protects the data when it is skipped;
//! - Redis may be away, frozen or flushed at any moment: a caller waits 150 ms at most, then every
//!   call is decided in process within a millisecond until Redis answers again;
//! - limits are sliding windows on Redis's clock, so neither a window's edge nor a skewed client
//!   clock admits more than the limit.

mod adjust;
mod limit;
mod lock;
mod memory;
mod overrides;
mod postgres;
mod redis;
pub mod registry;
mod start;
mod switch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio_util::task::TaskTracker;

pub use self::adjust::AdjustError;
pub use self::limit::{
    Decision, Feedback, Lane, Learnt, Limit, Limiter, Pacer, Parked, Permit, Share, Slot, Usage,
};
pub use self::lock::{
    BatchGuard, Broken, Fence, Held, Hold, Holder, LockError, LockLost, LockTimes, Locked, Locks,
    Loss, Patience, StoreAway,
};
pub use self::memory::{MemoryAway, MemoryServer};
pub use self::overrides::{Change, InForce, Mode, Override, Overrides, Overriding};
pub use self::postgres::{PgPool, PostgresAway};
pub use self::redis::deployment::Deployment;
pub use self::redis::link::RedisAway;
pub use self::registry::{LimitName, LockClass, LockName, Policy};
pub use self::start::PgConnect;

use self::lock::Parts;
use self::postgres::Postgres;
use self::postgres::limits::PgLimits;
use self::redis::link::Link;
use self::start::Started;

/// Everything a service needs to coordinate with its copies; cheap to clone.
#[derive(Clone)]
pub struct Coordination {
    link: Arc<Link>,
    locks: Locks,
    limiter: Limiter,
    overrides: Arc<Overrides>,
    postgres: Option<Arc<Postgres>>,
    backend: Backend,
}

/// What coordination is told at start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where Redis is.
    pub deployment: Deployment,
    /// Stands before every key: `sw` unless several installations share a Redis.
    pub namespace: String,
    /// The prefix of a Laravel connection and its cache, e.g. `laravel_database_laravel_cache:`;
    /// locks then have the keys and values of `Cache::lock`, so that both exclude each other.
    pub laravel_prefix: Option<String>,
    /// Who holds a lock, for operators, without spaces: `service@host/pid`.
    pub label: String,
    /// Times of lock classes that are not the registry's; all processes must use the same.
    pub lock_times: HashMap<LockClass, LockTimes>,
    /// Modes to begin with.
    pub overriding: Overriding,
    /// The database of [`Backend::Postgres`], and of the classes that go on there without Redis.
    pub postgres: Option<PgConnect>,
    /// Where locks and limits are kept.
    pub backend: Backend,
    /// How long Redis must have answered every process before locks go back there.
    pub back_after: Duration,
}

/// Where locks and limits are kept. All processes of an installation must use the same: stop all of
/// them to change it, for as long as the longest ttl.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// On Redis; classes that the registry says so go on in PostgreSQL while Redis is away.
    #[default]
    Redis,
    /// In PostgreSQL; no Redis is needed.
    Postgres,
}

impl Options {
    /// One Redis, keys of our own spelling.
    pub fn new(url: &str, namespace: &str) -> Self {
        let label = format!("switchyard/{}", std::process::id());
        let (deployment, namespace) = (url.into(), namespace.to_owned());
        let (lock_times, overriding) = (HashMap::new(), Overriding::default());
        Self {
            deployment,
            namespace,
            laravel_prefix: None,
            label,
            lock_times,
            overriding,
            postgres: None,
            backend: Backend::default(),
            back_after: Duration::from_secs(30),
        }
    }
}

/// Coordination can never work with these settings.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Not a `redis://` or `rediss://` address.
    #[error("the Redis address can not be read")]
    Address(#[source] deadpool_redis::redis::RedisError),
    /// The connection's pool could not be set up.
    #[error("the Redis connection can not be set up")]
    Pool(#[from] deadpool_redis::BuildError),
    /// Locks are to be kept in PostgreSQL, and no database is given.
    #[error("locks in PostgreSQL need a database")]
    NoDatabase,
    /// The namespace is not 1 to 40 of `a-z`, `0-9`, `_` and `-`.
    #[error("a Redis namespace is 1 to 40 of a-z, 0-9, _ and -")]
    Namespace,
    /// A brace in the prefix of Laravel's keys would move a lock's queue to another cluster slot.
    #[error("a prefix of Laravel's keys has no braces and no spaces")]
    LaravelPrefix,
    /// The thread that renews locks could not be started.
    #[error("the thread that renews locks can not be started")]
    Thread(#[from] std::io::Error),
}

/// An override could not be written.
#[derive(Debug, Error)]
pub enum OverrideError {
    /// The process has no database for it.
    #[error("overrides need a database")]
    NoDatabase,
    /// The database did not take it; it may have all the same.
    #[error(transparent)]
    Away(#[from] PostgresAway),
}

/// Whether Redis answers, for `/readyz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The last call or probe was answered.
    Available,
    /// Redis is away: locks and limits are degraded as the registry says.
    Away,
}

impl Coordination {
    /// Connects to the Redis at `url` and keeps connecting for as long as this value lives.
    ///
    /// Succeeds when Redis is down, after one try of at most a second. All keys start with
    /// `namespace` (`sw` unless several installations share a Redis). `tasks` runs the releases
    /// that a panic or a cancellation left over; shutdown waits for it.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] when the address or the namespace is malformed.
    pub async fn connect(
        url: &str,
        namespace: &str,
        tasks: TaskTracker,
    ) -> Result<Self, ConnectError> {
        Self::start(Options::new(url, namespace), tasks).await
    }

    /// [`Self::connect`] with everything that can be chosen.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`].
    pub async fn start(options: Options, tasks: TaskTracker) -> Result<Self, ConnectError> {
        if !is_namespace(&options.namespace) {
            return Err(ConnectError::Namespace);
        }
        let prefix = &options.laravel_prefix;
        if prefix.as_ref().is_some_and(|prefix| prefix.contains(['{', '}', ' '])) {
            return Err(ConnectError::LaravelPrefix);
        }
        let (namespace, backend) = (options.namespace.clone(), options.backend);
        let lock_times = options.lock_times.clone();
        let started = start::start(options, tasks).await?;
        Ok(Self::of(started, &namespace, backend, lock_times))
    }

    /// A process of its own whose locks are on `server`, for tests: on the current runtime and its
    /// clock, which may be paused. Limits are kept in process.
    pub fn in_memory(server: &MemoryServer, tasks: TaskTracker) -> Self {
        Self::of(
            start::in_memory(server.clone(), tasks),
            "memory",
            Backend::default(),
            HashMap::new(),
        )
    }

    fn of(
        started: Started,
        namespace: &str,
        backend: Backend,
        lock_times: HashMap<LockClass, LockTimes>,
    ) -> Self {
        let Started { store, keeper, process, waiters, overrides, link, postgres } = started;
        let (keeper, shared) = (Arc::new(keeper), Arc::clone(&overrides));
        let parts = Parts { store, process, waiters, keeper, overrides: shared };
        let limits = match (backend, &postgres) {
            (Backend::Postgres, Some(postgres)) => Some(PgLimits::new(Arc::clone(postgres))),
            _ => None,
        };
        let shared = Arc::clone(&overrides);
        let limiter = Limiter::new(Arc::clone(&link), limits, namespace, shared);
        Self { locks: Locks::new(parts, lock_times), limiter, overrides, link, postgres, backend }
    }

    /// Overrides a mode or a limit for every process, within seconds, until it is cleared.
    ///
    /// # Errors
    ///
    /// [`OverrideError`] when there is no database or it does not answer.
    pub async fn set_override(&self, what: &Override, change: Change) -> Result<(), OverrideError> {
        let postgres = self.postgres.as_ref().ok_or(OverrideError::NoDatabase)?;
        let what = what.clone();
        Ok(postgres.run(async move |conn| what.write(conn, &change).await).await?)
    }

    /// Ends what was overridden under the name of `what`.
    ///
    /// # Errors
    ///
    /// As [`Self::set_override`].
    pub async fn clear_override(&self, what: &Override) -> Result<(), OverrideError> {
        let postgres = self.postgres.as_ref().ok_or(OverrideError::NoDatabase)?;
        let what = what.clone();
        Ok(postgres.run(async move |conn| what.clear(conn).await).await?)
    }

    /// What operators changed; a change acts on the next decision.
    pub fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    /// The locks of the registry.
    pub const fn locks(&self) -> &Locks {
        &self.locks
    }

    /// The rate limits of the registry.
    pub const fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// Whether the backend answered last; costs no round trip.
    pub fn health(&self) -> Health {
        let is_available = match (self.backend, &self.postgres) {
            (Backend::Postgres, Some(postgres)) => postgres.is_available(),
            _ => self.link.is_available(),
        };
        if is_available { Health::Available } else { Health::Away }
    }
}

fn is_namespace(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
    (1..=40).contains(&text.len()) && text.bytes().all(allowed)
}
