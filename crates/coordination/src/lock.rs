//! Taking, holding and giving back locks.
//!
//! Invariants:
//! - only the owner token that took a lock can renew or release it (compare in the same step);
//! - a lock is released when the work returns, fails, panics or is cancelled;
//! - a holder learns of a loss no later than its own monotonic deadline, without any answer from
//!   the backend; work that was under way is cancelled, and a loss is never reported as
//!   [`Locked::Ran`];
//! - a lock that is given back goes to whoever has waited longest and still listens.

mod acquire;
pub(crate) mod fence;
mod guard;
mod held;
mod holding;
pub(crate) mod keeper;
pub(crate) mod meters;
mod operate;
pub(crate) mod store;
mod term;
mod token;
pub(crate) mod waiters;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use kernel::Retryable;
use thiserror::Error;
use tracing::{Instrument as _, info_span};

pub use self::fence::Fence;
pub use self::guard::{BatchGuard, Hold};
pub use self::held::{Held, LockLost};
pub use self::store::{Broken, Holder, StoreAway};
pub use self::term::Loss;

use self::keeper::Keeper;
use self::store::{ProcessId, Store};
use self::token::Tokens;
use self::waiters::Waiters;
use crate::overrides::{Mode, Overrides};
use crate::registry::{LockClass, LockName};

/// Takes locks; cheap to clone.
#[derive(Clone)]
pub struct Locks {
    shared: Arc<Shared>,
    times: Arc<HashMap<LockClass, LockTimes>>,
}

struct Shared {
    store: Store,
    process: ProcessId,
    tokens: Tokens,
    waiters: Arc<Waiters>,
    keeper: Arc<Keeper>,
    overrides: Arc<Overrides>,
}

/// What locks are made of.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) process: ProcessId,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) overrides: Arc<Overrides>,
}

/// A lock class's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockTimes {
    /// How long the backend keeps the lock of a holder that died.
    pub ttl: Duration,
    /// Renewed up to this long in all; `None`: never renewed.
    pub max_hold: Option<Duration>,
    /// How long a caller usually waits.
    pub wait: Duration,
}

impl LockTimes {
    /// The registry's.
    pub const fn of(class: LockClass) -> Self {
        let spec = class.spec();
        Self { ttl: spec.ttl, max_hold: spec.max_hold, wait: spec.wait }
    }
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
    /// The backend is away, and the registry does not let this class run unlocked.
    #[error("no {} lock can be had", .class.spec().label)]
    Unavailable {
        /// The class that must not run unlocked.
        class: LockClass,
        /// Why the backend did not answer.
        source: StoreAway,
    },
}

impl Retryable for LockError {
    fn is_transient(&self) -> bool {
        true
    }
}

impl Locks {
    pub(crate) fn new(parts: Parts, times: HashMap<LockClass, LockTimes>) -> Self {
        meters::register();
        let Parts { store, process, waiters, keeper, overrides } = parts;
        let tokens = Tokens::new(process.0);
        let shared = Shared { store, process, tokens, waiters, keeper, overrides };
        Self { shared: Arc::new(shared), times: Arc::new(times) }
    }

    /// The same locks with other times for one class; all processes must use the same.
    #[must_use]
    pub fn with_times(
        mut self,
        class: LockClass,
        ttl: Duration,
        max_hold: Option<Duration>,
    ) -> Self {
        let wait = self.times(class).wait;
        Arc::make_mut(&mut self.times).insert(class, LockTimes { ttl, max_hold, wait });
        self
    }

    /// Runs `work` while holding `name`, and releases it on every way out.
    ///
    /// A class with a `max_hold` is renewed meanwhile. When the lock is lost, `work` is dropped at
    /// its next await.
    ///
    /// # Errors
    ///
    /// [`LockError`] when the backend is away and the class must not run unlocked. A release that
    /// fails is repeated in the background, not returned: the work is done by then.
    pub async fn with_lock<T>(
        &self,
        name: LockName,
        patience: Patience,
        work: impl AsyncFnOnce() -> T,
    ) -> Result<Locked<T>, LockError> {
        let guard = self.lock_many([name], patience).await?;
        run(guard, work()).await
    }

    /// [`Self::with_lock`] for work that wants to know its [`Held`]: the fence for its writes, how
    /// long it is safe, and a token for what it starts elsewhere.
    ///
    /// # Errors
    ///
    /// As [`Self::with_lock`].
    pub async fn with_held<T>(
        &self,
        name: LockName,
        patience: Patience,
        work: impl AsyncFnOnce(Held) -> T,
    ) -> Result<Locked<T>, LockError> {
        let mut guard = self.lock_many([name], patience).await?;
        let held = guard.watch();
        run(guard, work(held)).await
    }

    /// Takes one lock for as long as the caller keeps the guard; `None` when somebody else holds it
    /// for longer than `wait`. A class with a `max_hold` is renewed meanwhile.
    ///
    /// # Errors
    ///
    /// [`LockError`] when the backend is away and the class must not run unlocked.
    pub async fn lock_for(
        &self,
        name: LockName,
        wait: Duration,
    ) -> Result<Option<BatchGuard>, LockError> {
        let guard = self.lock_many([name], Patience::UpTo(wait)).await?;
        Ok(guard.busy().is_empty().then_some(guard))
    }

    /// Takes as many of `names` as are free, in one round trip (one for each slot of a Redis
    /// Cluster); a name given twice counts once.
    ///
    /// With patience the busy ones are waited for while the others are held: two batches may then
    /// wait for each other, but no longer than that; [`Self::lock_all`] never does. Renewed when
    /// all of the classes are; else check [`BatchGuard::is_valid`] before committing what they
    /// protect.
    ///
    /// # Errors
    ///
    /// [`LockError`] when the backend is away and one of the classes must not run unlocked.
    pub async fn lock_many(
        &self,
        names: impl IntoIterator<Item = LockName>,
        patience: Patience,
    ) -> Result<BatchGuard, LockError> {
        let guard = BatchGuard::new(self.clone(), names);
        let class = guard.busy().first().map(|name| name.class().spec().label);
        let span = info_span!("lock acquire", lock.class = class, lock.count = guard.busy().len());
        acquire::each(guard, patience.as_duration()).instrument(span).await
    }

    /// Takes all of `names` or, when that is not possible within `patience`, none: `None`.
    ///
    /// # Errors
    ///
    /// As [`Self::lock_many`].
    pub async fn lock_all(
        &self,
        names: impl IntoIterator<Item = LockName>,
        patience: Patience,
    ) -> Result<Option<BatchGuard>, LockError> {
        let guard = BatchGuard::new(self.clone(), names);
        let class = guard.busy().first().map(|name| name.class().spec().label);
        let span = info_span!("lock acquire", lock.class = class, lock.count = guard.busy().len());
        let guard = acquire::all(guard, patience.as_duration()).instrument(span).await?;
        Ok(guard.busy().is_empty().then_some(guard))
    }

    /// The wait of `name`'s class: the registry's, unless it was overridden.
    pub fn patience(&self, class: LockClass) -> Patience {
        Patience::UpTo(self.times(class).wait)
    }

    fn times(&self, class: LockClass) -> LockTimes {
        self.times.get(&class).copied().unwrap_or_else(|| LockTimes::of(class))
    }

    fn mode(&self, class: LockClass) -> Mode {
        self.shared.overrides.lock_mode(class)
    }
}

/// Runs `work` until it returns or the lock is lost.
async fn run<T>(guard: BatchGuard, work: impl Future<Output = T>) -> Result<Locked<T>, LockError> {
    if !guard.busy().is_empty() {
        return Ok(Locked::Busy);
    }
    let finished = {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            () = guard.lost() => None,
            result = &mut work => Some(result),
        }
    };
    let hold = guard.release().await;
    Ok(match (finished, hold) {
        (Some(result), Hold::Kept) => Locked::Ran(result),
        (finished, Hold::Kept | Hold::Lost) => Locked::Lost(finished),
    })
}
