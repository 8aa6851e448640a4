//! Distributed locks and rate limits on Redis, both named in one typed [`registry`].
//!
//! Invariants:
//! - nothing here carries correctness: the database's keys and ledgers decide, and every lock names
//!   what protects the data when it is skipped;
//! - Redis may be away, frozen or flushed at any moment: a caller waits 150 ms at most, then every
//!   call is decided in process within a millisecond until Redis answers again;
//! - limits are sliding windows on Redis's clock, so neither a window's edge nor a skewed client
//!   clock admits more than the limit.

mod limit;
mod link;
mod lock;
pub mod registry;

use std::sync::Arc;

use thiserror::Error;
use tokio_util::task::TaskTracker;

pub use self::limit::{
    Decision, Feedback, Lane, Learnt, Limit, Limiter, Pacer, Parked, Permit, Share, Slot, Usage,
};
pub use self::link::RedisAway;
pub use self::lock::{BatchGuard, Hold, LockError, Locked, Locks, Patience};
pub use self::registry::{LimitName, LockClass, LockName, Policy};

use self::link::Link;

/// Everything a service needs to coordinate with its copies; cheap to clone.
#[derive(Clone)]
pub struct Coordination {
    link: Arc<Link>,
    locks: Locks,
    limiter: Limiter,
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
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
        if !(1..=40).contains(&namespace.len()) || !namespace.bytes().all(allowed) {
            return Err(ConnectError::Namespace);
        }
        let link = Arc::new(Link::open(url, namespace).await?);
        Ok(Self {
            locks: Locks::new(Arc::clone(&link), namespace, tasks),
            limiter: Limiter::new(Arc::clone(&link), namespace),
            link,
        })
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
