//! Taking, holding and giving back locks.
//!
//! Invariants:
//! - only the owner token that took a lock can renew or release it (compare in the same script);
//! - a lock is released when the work returns, fails, panics or is cancelled;
//! - a holder learns of a loss no later than its own monotonic deadline, without any answer from
//!   Redis; work that was under way is cancelled, and a loss is never reported as [`Locked::Ran`].

mod batch;
mod holding;
mod meters;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use kernel::Retryable;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, info_span, warn};

pub use self::batch::BatchGuard;
pub use self::holding::Hold;

use crate::link::{Link, RedisAway};
use crate::registry::{LockClass, LockName};

/// Takes locks; cheap to clone.
#[derive(Clone)]
pub struct Locks {
    shared: Arc<Shared>,
    times: Arc<HashMap<LockClass, Times>>,
}

struct Shared {
    link: Arc<Link>,
    namespace: String,
    /// Runs the releases that a dropped guard could not await; shutdown waits for it.
    tasks: TaskTracker,
    /// Where they run: a guard may be dropped where no runtime is entered.
    runtime: Handle,
}

/// A class's times when they are not the registry's.
#[derive(Clone, Copy)]
struct Times {
    ttl: Duration,
    max_hold: Option<Duration>,
}

/// How long a caller waits for a lock that somebody else holds.
#[derive(Clone, Copy, Debug)]
pub enum Patience {
    /// Give up at once.
    None,
    /// Give up after this long.
    UpTo(Duration),
}

impl Patience {
    /// The wait that the registry gives this class.
    pub const fn of(class: LockClass) -> Self {
        Self::UpTo(class.spec().wait)
    }

    const fn as_duration(self) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::UpTo(wait) => wait,
        }
    }
}

/// What came of asking for a lock.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Locked<T> {
    /// The work ran while the lock was held, or unlocked where the registry allows that.
    Ran(T),
    /// Somebody else held the lock for longer than the caller's [`Patience`]; the work did not start.
    Busy,
    /// The lock was lost: the work was cancelled at its next await (`None`), or it had finished
    /// when the loss was noticed (`Some`). What it committed is protected as the registry says.
    Lost(Option<T>),
}

/// The lock could not be asked for; the work did not start.
#[derive(Debug, Error)]
pub enum LockError {
    /// Redis is away, and the registry does not let this class run unlocked.
    #[error("no {} lock can be had", .class.spec().label)]
    Unavailable {
        /// The class that must not run unlocked.
        class: LockClass,
        /// Why Redis did not answer.
        source: RedisAway,
    },
}

impl Retryable for LockError {
    fn is_transient(&self) -> bool {
        true
    }
}

impl Locks {
    pub(crate) fn new(link: Arc<Link>, namespace: &str, tasks: TaskTracker) -> Self {
        meters::register();
        let namespace = namespace.to_owned();
        let shared = Shared { link, namespace, tasks, runtime: Handle::current() };
        Self { shared: Arc::new(shared), times: Arc::default() }
    }

    /// The same locks with other times for one class; all processes must use the same.
    #[must_use]
    pub fn with_times(
        mut self,
        class: LockClass,
        ttl: Duration,
        max_hold: Option<Duration>,
    ) -> Self {
        Arc::make_mut(&mut self.times).insert(class, Times { ttl, max_hold });
        self
    }

    /// Runs `work` while holding `name`, and releases it on every way out.
    ///
    /// A class with a `max_hold` is renewed meanwhile. When the lock is lost, `work` is dropped at
    /// its next await.
    ///
    /// # Errors
    ///
    /// [`LockError`] when Redis is away and the class must not run unlocked. A release that fails
    /// is repeated in the background, not returned: the work is done by then.
    pub async fn with_lock<T>(
        &self,
        name: LockName,
        patience: Patience,
        work: impl AsyncFnOnce() -> T,
    ) -> Result<Locked<T>, LockError> {
        let class = name.class();
        let mut guard = self.lock_many([name], patience).await?;
        if !guard.busy().is_empty() {
            return Ok(Locked::Busy);
        }
        let times = self.times(class);
        let finished = {
            let mut work = pin!(work());
            tokio::select! {
                biased;
                () = guard.lost(times.ttl, times.max_hold) => None,
                result = &mut work => Some(result),
            }
        };
        let hold = guard.release().await;
        Ok(match (finished, hold) {
            (Some(result), Hold::Kept) => Locked::Ran(result),
            (Some(result), Hold::Lost) => Locked::Lost(Some(result)),
            (None, Hold::Kept) => {
                // Still ours, but held for as long as one holder may.
                meters::lost(class, 1);
                warn!(
                    lock.class = class.spec().label,
                    "work cancelled: held its lock for too long"
                );
                Locked::Lost(None)
            }
            (None, Hold::Lost) => Locked::Lost(None),
        })
    }

    /// Takes as many of `names` as are free, in one round trip; a name given twice counts once.
    ///
    /// With patience the busy ones are asked for again until they are had or it ends, while the
    /// others are held: two batches may then wait for each other, but no longer than that. Batches
    /// are not renewed: check [`BatchGuard::is_valid`] before committing what they protect. A batch
    /// spreads over hash slots, which a Redis Cluster would refuse: use a single primary.
    ///
    /// # Errors
    ///
    /// [`LockError`] when Redis is away and one of the classes must not run unlocked.
    pub async fn lock_many(
        &self,
        names: impl IntoIterator<Item = LockName>,
        patience: Patience,
    ) -> Result<BatchGuard, LockError> {
        let guard = BatchGuard::new(self.clone(), names);
        let class = guard.busy().first().map(|name| name.class().spec().label);
        let span = info_span!("lock acquire", lock.class = class, lock.count = guard.busy().len());
        acquire(guard, patience.as_duration()).instrument(span).await
    }

    fn times(&self, class: LockClass) -> Times {
        let spec = class.spec();
        let registry = Times { ttl: spec.ttl, max_hold: spec.max_hold };
        self.times.get(&class).copied().unwrap_or(registry)
    }
}

/// Asks until everything is held or `wait` is over.
async fn acquire(mut guard: BatchGuard, wait: Duration) -> Result<BatchGuard, LockError> {
    let asked = Instant::now();
    for attempt in 0.. {
        if let Err(away) = guard.take_free().await {
            return guard.degrade(away);
        }
        let left = wait.saturating_sub(asked.elapsed());
        if guard.busy().is_empty() || left.is_zero() {
            guard.report(asked.elapsed(), attempt > 0);
            break;
        }
        sleep(guard.pause(attempt).min(left)).await;
    }
    Ok(guard)
}
