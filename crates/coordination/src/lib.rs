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
mod overrides;
mod redis;
pub mod registry;

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub use self::adjust::AdjustError;
pub use self::limit::{
    Decision, Feedback, Lane, Learnt, Limit, Limiter, Pacer, Parked, Permit, Share, Slot, Usage,
};
pub use self::lock::{
    BatchGuard, Broken, Fence, Held, Hold, Holder, LockError, LockLost, LockTimes, Locked, Locks,
    Loss, Patience, StoreAway,
};
pub use self::overrides::{Mode, Overrides, Overriding};
pub use self::redis::deployment::Deployment;
pub use self::redis::link::RedisAway;
pub use self::registry::{LimitName, LockClass, LockName, Policy};

use self::lock::Parts;
use self::lock::store::{ProcessId, Store};
use self::lock::waiters::Waiters;
use self::redis::link::{Link, Role};
use self::redis::locks::RedisLocks;
use self::redis::shards::Shards;
use self::registry::key::Spelling;

/// Everything a service needs to coordinate with its copies; cheap to clone.
#[derive(Clone)]
pub struct Coordination {
    link: Arc<Link>,
    locks: Locks,
    limiter: Limiter,
    overrides: Arc<Overrides>,
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
}

impl Options {
    /// One Redis, keys of our own spelling.
    pub fn new(url: &str, namespace: &str) -> Self {
        let label = format!("switchyard/{}", std::process::id());
        let (deployment, namespace) = (url.into(), namespace.to_owned());
        let (lock_times, overriding) = (HashMap::new(), Overriding::default());
        Self { deployment, namespace, laravel_prefix: None, label, lock_times, overriding }
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
        let Options { deployment, namespace, laravel_prefix, label, lock_times, overriding } =
            options;
        if !is_namespace(&namespace) {
            return Err(ConnectError::Namespace);
        }
        if laravel_prefix.as_ref().is_some_and(|prefix| prefix.contains(['{', '}', ' '])) {
            return Err(ConnectError::LaravelPrefix);
        }
        let spelling = Arc::new(Spelling::new(namespace.clone(), laravel_prefix));
        let process = ProcessId(Uuid::now_v7());
        let waiters = Arc::new(Waiters::default());
        let link = Arc::new(Link::open(&deployment, &namespace, Role::Calls).await?);
        let shards = match &deployment {
            Deployment::Cluster { urls } => Some(Arc::new(Shards::new(urls.clone()))),
            Deployment::Single { .. } | Deployment::Sentinel { .. } => None,
        };
        let calls = Arc::clone(&link);
        let store = RedisLocks::new(calls, Arc::clone(&spelling), &label, shards.clone());
        let store = Store::Redis(store);
        let background = redis::Background { deployment, shards, process, label, spelling };
        let keeper = background.start(Arc::clone(&waiters), tasks)?;
        let overrides = Arc::new(Overrides::default());
        overrides.replace(overriding);
        let keeper = Arc::new(keeper);
        let shared = Arc::clone(&overrides);
        let parts = Parts { store, process, waiters, keeper, overrides: shared };
        Ok(Self {
            locks: Locks::new(parts, lock_times),
            limiter: Limiter::new(Arc::clone(&link), &namespace, Arc::clone(&overrides)),
            overrides,
            link,
        })
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

    /// Whether Redis answers now; costs no round trip.
    pub fn health(&self) -> Health {
        if self.link.is_available() { Health::Available } else { Health::Away }
    }
}

fn is_namespace(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
    (1..=40).contains(&text.len()) && text.bytes().all(allowed)
}
