//! Locks being held, one or many, by name.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kernel::chain;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::fence::Fence;
use super::held::Held;
use super::holding::Holding;
use super::meters::{self, HoldMeter};
use super::store::{Ask, Queue, Share, StoreAway, Take, Taken};
use super::term::Loss;
use super::{LockError, Locks};
use crate::overrides::Mode;
use crate::registry::key::LockKey;
use crate::registry::{LockClass, LockName, WhenAway};

/// What a release found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The locks were held to the end.
    Kept,
    /// At least one had expired, was flushed or taken over.
    Lost,
}

/// Locks being held. Prefer [`BatchGuard::release`]; dropping it releases in the background.
#[must_use]
pub struct BatchGuard {
    pub(super) locks: Locks,
    held: Vec<LockName>,
    fences: Vec<(LockName, Fence)>,
    pub(super) busy: Vec<LockName>,
    pub(super) holding: Holding,
    /// Some names run unlocked: the backend is away, or their class is not enforced.
    is_degraded: bool,
    /// Nothing depends on what is held: all of it is only observed, or the backend was away.
    is_unbound: bool,
    meter: HoldMeter,
}

impl BatchGuard {
    pub(super) fn new(locks: Locks, names: impl IntoIterator<Item = LockName>) -> Self {
        let mut busy: Vec<LockName> = names.into_iter().collect();
        if busy.len() > 1 && busy.iter().collect::<HashSet<_>>().len() < busy.len() {
            let mut seen = HashSet::new();
            busy.retain(|name| seen.insert(name.clone()));
        }
        let is_off = |name: &LockName| locks.mode(name.class()) == Mode::Off;
        let off = busy.extract_if(.., |name| is_off(name)).collect::<Vec<_>>();
        let holding = Holding::new(Arc::clone(&locks.shared));
        let is_degraded = !off.is_empty();
        let (fences, meter) = (Vec::new(), HoldMeter::default());
        let is_unbound = false;
        Self { locks, held: off, fences, busy, holding, is_degraded, is_unbound, meter }
    }

    /// The locks that are held, or skipped where the registry or the class's mode allows that.
    pub fn held(&self) -> &[LockName] {
        &self.held
    }

    /// The locks that somebody else holds: their work is to be tried later, never dropped.
    pub fn busy(&self) -> &[LockName] {
        &self.busy
    }

    /// Whether names in [`BatchGuard::held`] are not locked, because the backend was away or the
    /// class is not enforced.
    pub const fn is_degraded(&self) -> bool {
        self.is_degraded
    }

    /// Whether every lock is certainly still held; ask before committing.
    ///
    /// Decided by this process's own clock. What was skipped counts as valid: it is protected
    /// otherwise.
    pub fn is_valid(&self) -> bool {
        self.holding.term().is_valid()
    }

    /// The number of `name`'s grant; `None` when its class is not fenced or it is not locked.
    pub fn fence(&self, name: &LockName) -> Option<Fence> {
        self.fences.iter().find(|(held, _)| held == name).map(|(_, fence)| *fence)
    }

    /// Something to hand to the work: its `lost` token fires though nobody awaits this guard.
    /// Its fence is that of the first fenced name.
    pub fn watch(&mut self) -> Held {
        if let Some(until) = self.holding.term().until() {
            self.holding.keep(Vec::new(), until + Duration::from_secs(1));
        }
        self.as_held()
    }

    /// Gives all locks back, in one round trip; two when somebody waits for one of them.
    ///
    /// When the backend does not answer, the release goes on in the background.
    pub async fn release(mut self) -> Hold {
        let was_valid = self.is_valid();
        let released = self.holding.release().await;
        if self.is_unbound {
            return Hold::Kept;
        }
        let lost: Vec<LockClass> = match released {
            Ok(released) => {
                let gone: Vec<_> = released.into_iter().filter(|(_, is_ours)| !is_ours).collect();
                let is_gone = |name: &&LockName| gone.iter().any(|(key, _)| *key == name.key());
                let lost = self.held.iter().filter(|name| self.is_enforced(name)).filter(is_gone);
                lost.map(LockName::class).collect()
            }
            Err(_) if was_valid => Vec::new(),
            Err(_) => self.held.iter().map(LockName::class).collect(),
        };
        let has_lost = !was_valid || !lost.is_empty();
        self.report_loss(lost);
        if has_lost { Hold::Lost } else { Hold::Kept }
    }

    pub(super) fn as_held(&self) -> Held {
        let fence = self.fences.first().map(|(_, fence)| *fence);
        let class = self.held.first().map(LockName::class);
        Held::new(class, fence, Arc::clone(self.holding.term()))
    }

    /// Returns when the locks are lost or were held for `max_hold`; never when nothing is locked.
    pub(super) async fn lost(&self) {
        self.holding.lost().await;
    }

    /// Asks once for everything that is not held yet.
    pub(super) async fn take(&mut self, how: Take) -> Result<Vec<Taken>, StoreAway> {
        let asks = self.asks(&self.busy);
        let taken = self.holding.take(&asks, how).await?;
        let mut answers = taken.iter();
        for name in std::mem::take(&mut self.busy) {
            match answers.next() {
                Some(Taken::Ours { fence }) => self.note(name, *fence),
                _ => self.busy.push(name),
            }
        }
        Ok(taken)
    }

    /// A hand-off made one of the busy ones ours.
    /// `false` when whose it is must be asked.
    pub(super) fn granted(&mut self, key: &LockKey, fence: Option<Fence>) -> bool {
        let place = self.busy.iter().position(|name| name.key() == *key);
        let Some(name) = place.and_then(|place| self.busy.get(place)).cloned() else { return true };
        if !self.holding.granted(&self.ask(&name)) {
            return false;
        }
        self.busy.retain(|busy| *busy != name);
        self.note(name, fence);
        true
    }

    fn note(&mut self, name: LockName, fence: Option<Fence>) {
        self.fences.extend(fence.map(|fence| (name.clone(), fence)));
        self.held.push(name);
    }

    /// Leaves only the one at `place` among those asked for.
    pub(super) fn set_aside(&mut self, place: usize) -> Vec<LockName> {
        let mut others = std::mem::take(&mut self.busy);
        if place < others.len() {
            self.busy.push(others.remove(place));
        }
        others
    }

    /// Asks for `others` again; what is held is asked for with them, which changes nothing.
    pub(super) fn restore(&mut self, others: Vec<LockName>) {
        self.busy.extend(others);
    }

    /// Gives everything back and puts it among those asked for.
    pub(super) async fn give_up(&mut self) -> Result<(), StoreAway> {
        self.holding.release().await?;
        // A new token: a late wake-up for the old one must not pass for a new grant.
        self.holding = Holding::new(Arc::clone(&self.locks.shared));
        self.fences.clear();
        self.busy.append(&mut self.held);
        Ok(())
    }

    fn asks(&self, names: &[LockName]) -> Vec<Ask> {
        names.iter().map(|name| self.ask(name)).collect()
    }

    pub(super) fn ask(&self, name: &LockName) -> Ask {
        let class = name.class();
        let is_fenced = class.spec().is_fenced;
        Ask { key: name.key(), ttl: self.locks.times(class).ttl, is_fenced }
    }

    /// Whether anything asked for is enforced.
    pub(super) fn is_bound(&self) -> bool {
        self.busy.iter().any(|name| self.is_enforced(name))
    }

    fn is_enforced(&self, name: &LockName) -> bool {
        self.locks.mode(name.class()) == Mode::Enforce
    }

    /// Busy ones of classes that are only observed run all the same.
    pub(super) fn observe(&mut self) {
        let (observed, busy): (Vec<_>, Vec<_>) = std::mem::take(&mut self.busy)
            .into_iter()
            .partition(|name| self.locks.mode(name.class()) == Mode::Observe);
        self.busy = busy;
        for (class, count) in meters::by_class(&observed) {
            meters::acquire(class, "observed", count);
            debug!(event = "lock.observed", lock.class = class.spec().label, count);
        }
        self.is_degraded |= !observed.is_empty();
        self.held.extend(observed);
    }

    /// The backend is away: lets the rest run unlocked where the registry names a protection.
    pub(super) fn degrade(mut self, away: StoreAway) -> Result<Self, LockError> {
        let missing = meters::by_class(&self.busy);
        for (class, count) in &missing {
            meters::acquire(*class, "error", *count);
        }
        let refuses = |class: &LockClass| {
            self.locks.mode(*class) == Mode::Enforce
                && !matches!(class.spec().when_away, WhenAway::Skip(_))
        };
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
        self.unbind();
        Ok(self)
    }

    /// Counts what came of asking, and starts to renew what is renewed.
    pub(super) fn settle(&mut self, waited: Duration, has_waited: bool) {
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
        if self.held.iter().any(|name| self.is_enforced(name)) {
            self.keep();
        } else {
            self.unbind();
        }
    }

    fn unbind(&mut self) {
        self.is_unbound = true;
        self.holding.unbind();
    }

    /// Renews the batch when all of its classes are renewed.
    fn keep(&mut self) {
        let longest = self.held.iter().map(|name| self.locks.times(name.class()).max_hold);
        let Some(Some(max_hold)) = longest.reduce(|one, other| Some(one?.min(other?))) else {
            return;
        };
        if self.is_degraded {
            return;
        }
        let leases = self.asks(&self.held).into_iter().map(|ask| (ask.key, ask.ttl)).collect();
        self.holding.keep(leases, Instant::now() + max_hold);
    }

    fn report_loss(&self, mut lost: Vec<LockClass>) {
        let why = self.holding.term().loss();
        if lost.is_empty() && why.is_some() {
            lost = self.held.iter().map(LockName::class).collect();
        }
        let why = why.unwrap_or(Loss::Taken);
        let mut counted = HashSet::new();
        for class in lost.iter().filter(|class| counted.insert(**class)) {
            let count = lost.iter().filter(|other| *other == class).count();
            meters::lost(*class, why, u64::try_from(count).unwrap_or(u64::MAX));
            warn!(
                lock.class = class.spec().label,
                count,
                ?why,
                "locks were lost while their work ran"
            );
        }
    }
}

/// How a whole batch asks.
pub(super) const STAY: Take = Take { share: Share::Each, queue: Queue::Stay };
