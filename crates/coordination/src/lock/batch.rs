//! Locks being held, one or many, by name.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kernel::chain;
use tracing::{debug, warn};

use super::holding::{Hold, Holding};
use super::meters::{self, HoldMeter};
use super::{LockError, Locks};
use crate::link::RedisAway;
use crate::registry::key::{Kind, physical};
use crate::registry::{LockClass, LockName, WhenAway};

/// The first and the longest pause between two tries of a waiter.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));

/// Locks being held. Prefer [`BatchGuard::release`]; dropping it releases in the background.
#[must_use]
pub struct BatchGuard {
    locks: Locks,
    held: Vec<LockName>,
    busy: Vec<LockName>,
    holding: Holding,
    /// Some names run unlocked, because Redis is away.
    is_degraded: bool,
    meter: HoldMeter,
}

impl BatchGuard {
    pub(super) fn new(locks: Locks, names: impl IntoIterator<Item = LockName>) -> Self {
        let mut seen = HashSet::new();
        let busy = names.into_iter().filter(|name| seen.insert(name.clone())).collect();
        let holding = Holding::new(Arc::clone(&locks.shared));
        let meter = HoldMeter::default();
        Self { locks, held: Vec::new(), busy, holding, is_degraded: false, meter }
    }

    /// The locks that are held, or skipped where the registry allows that while Redis is away.
    pub fn held(&self) -> &[LockName] {
        &self.held
    }

    /// The locks that somebody else holds: their work is to be tried later, never dropped.
    pub fn busy(&self) -> &[LockName] {
        &self.busy
    }

    /// Whether Redis was away, so that names in [`BatchGuard::held`] are not locked.
    pub const fn is_degraded(&self) -> bool {
        self.is_degraded
    }

    /// Whether every lock is certainly still held; ask before committing.
    ///
    /// Decided by this process's own clock. Degraded guards are always valid: what they skipped is
    /// protected otherwise.
    pub fn is_valid(&self) -> bool {
        self.is_degraded || self.holding.is_valid()
    }

    /// Gives all locks back, in one round trip.
    ///
    /// When Redis does not answer, the release goes on in the background.
    pub async fn release(mut self) -> Hold {
        let released = self.holding.release().await;
        if self.is_degraded {
            return Hold::Kept;
        }
        let lost: Vec<&LockName> = match released {
            Ok(released) => {
                let pairs = self.held.iter().zip(released);
                pairs.filter(|(_, still_ours)| !still_ours).map(|(name, _)| name).collect()
            }
            Err(_) if self.holding.is_valid() => Vec::new(),
            Err(_) => self.held.iter().collect(),
        };
        for (class, count) in meters::by_class(lost.iter().copied()) {
            meters::lost(class, count);
            warn!(lock.class = class.spec().label, count, "locks were lost while their work ran");
        }
        if lost.is_empty() { Hold::Kept } else { Hold::Lost }
    }

    /// Asks once for everything that is not held yet.
    pub(super) async fn take_free(&mut self) -> Result<(), RedisAway> {
        let wanted = std::mem::take(&mut self.busy);
        let keys = wanted.iter().map(|name| {
            let class = name.class();
            let namespace = &self.locks.shared.namespace;
            let key = physical(namespace, Kind::Lock, class.spec().key, &name.ids());
            (key, self.locks.times(class).ttl)
        });
        match self.holding.take(keys.collect()).await {
            Ok(taken) => {
                for (name, taken) in wanted.into_iter().zip(taken) {
                    let list = if taken { &mut self.held } else { &mut self.busy };
                    list.push(name);
                }
                Ok(())
            }
            Err(away) => {
                self.busy = wanted;
                Err(away)
            }
        }
    }

    /// Redis is away: lets the rest run unlocked where the registry names a protection.
    pub(super) fn degrade(mut self, away: RedisAway) -> Result<Self, LockError> {
        let missing = meters::by_class(&self.busy);
        for (class, count) in &missing {
            meters::acquire(*class, "error", *count);
        }
        let refuses = |class: &LockClass| class.spec().when_away == WhenAway::Refuse;
        if let Some(class) = missing.iter().map(|(class, _)| *class).find(refuses) {
            return Err(LockError::Unavailable { class, source: away });
        }
        for (class, count) in missing {
            meters::degraded(class, count);
            let error = chain(&away);
            debug!(lock.class = class.spec().label, count, %error, "locks skipped");
        }
        self.held.append(&mut self.busy);
        self.is_degraded = true;
        Ok(self)
    }

    /// Counts what came of asking.
    pub(super) fn report(&mut self, waited: Duration, has_waited: bool) {
        let held = meters::by_class(&self.held);
        for (class, count) in &held {
            meters::acquire(*class, if has_waited { "contended" } else { "acquired" }, *count);
            meters::waited(*class, waited);
            debug!(event = "lock.acquired", lock.class = class.spec().label, count);
        }
        for (class, count) in meters::by_class(&self.busy) {
            meters::acquire(class, "timeout", count);
            meters::waited(class, waited);
            debug!(event = "lock.timeout", lock.class = class.spec().label, count);
        }
        self.meter = HoldMeter::start(held);
    }

    /// Returns when the lock is lost or was held for `max_hold`; never for a degraded one.
    pub(super) async fn lost(&mut self, ttl: Duration, max_hold: Option<Duration>) {
        if self.is_degraded {
            return std::future::pending().await;
        }
        self.holding.lost(ttl, max_hold).await;
    }

    /// The pause before the next try: doubling, and spread by a quarter either way.
    pub(super) fn pause(&self, attempt: u32) -> Duration {
        let pause = PAUSE.0.saturating_mul(1 << attempt.min(6)).min(PAUSE.1);
        pause * (192 + self.holding.rhythm() / 2) / 256
    }
}
