//! What locks count.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tokio::time::Instant;

use super::term::Loss;
use crate::registry::{LockClass, LockName};

const ACQUIRE: &str = "switchyard_lock_acquire_total";
const WAIT: &str = "switchyard_lock_wait_duration_seconds";
const HOLD: &str = "switchyard_lock_hold_duration_seconds";
const LOST: &str = "switchyard_lock_lost_total";
const DEGRADED: &str = "switchyard_lock_degraded_total";
const HELD: &str = "switchyard_lock_held";
const WAITING: &str = "switchyard_lock_waiting";
const DROPPED: &str = "switchyard_lock_dropped_total";
const FENCED_OFF: &str = "switchyard_fence_rejected_total";
pub(super) const RENEW_LAG: &str = "switchyard_lock_renew_lag_seconds";

/// Describes the metrics and touches every label set at zero.
pub(super) fn register() {
    describe_counter!(ACQUIRE, "Locks asked for; contended: had after waiting.");
    describe_histogram!(WAIT, "Time from asking for a lock to having it or giving up.");
    describe_histogram!(HOLD, "Time a lock was held.");
    describe_counter!(LOST, "Locks that expired, were taken or cut off while their work ran.");
    describe_counter!(DEGRADED, "Locks skipped because their backend was away.");
    describe_gauge!(HELD, "Locks held now.");
    describe_gauge!(WAITING, "Locks waited for now.");
    describe_counter!(
        DROPPED,
        "Locks given back because their work failed, panicked or was cancelled."
    );
    describe_counter!(FENCED_OFF, "Writes of a lost lock's holder that the fence refused.");
    describe_histogram!(RENEW_LAG, "How much later than planned locks were renewed.");
    counter!(DROPPED).increment(0);
    for class in LockClass::ALL {
        for outcome in ["acquired", "contended", "timeout", "observed", "error"] {
            acquire(class, outcome, 0);
        }
        for why in [Loss::Expired, Loss::Taken, Loss::MaxHold] {
            lost(class, why, 0);
        }
        degraded(class, 0);
        fence_rejected(class, 0);
        held(class).set(0.0);
        waiting(class).set(0.0);
    }
}

pub(super) fn acquire(class: LockClass, outcome: &'static str, count: u32) {
    let label = class.spec().label;
    counter!(ACQUIRE, "lock_class" => label, "outcome" => outcome).increment(u64::from(count));
}

pub(super) fn waited(class: LockClass, waited: Duration) {
    histogram!(WAIT, "lock_class" => class.spec().label).record(waited);
}

pub(super) fn lost(class: LockClass, why: Loss, count: u64) {
    let why = match why {
        Loss::Expired => "expired",
        Loss::Taken => "taken",
        Loss::MaxHold => "max_hold",
    };
    counter!(LOST, "lock_class" => class.spec().label, "why" => why).increment(count);
}

pub(super) fn fence_rejected(class: LockClass, count: u64) {
    counter!(FENCED_OFF, "lock_class" => class.spec().label).increment(count);
}

pub(super) fn dropped(count: usize) {
    counter!(DROPPED).increment(u64::try_from(count).unwrap_or(u64::MAX));
}

pub(super) fn degraded(class: LockClass, count: u32) {
    counter!(DEGRADED, "lock_class" => class.spec().label).increment(u64::from(count));
}

fn held(class: LockClass) -> metrics::Gauge {
    gauge!(HELD, "lock_class" => class.spec().label)
}

fn waiting(class: LockClass) -> metrics::Gauge {
    gauge!(WAITING, "lock_class" => class.spec().label)
}

/// Counts waiting, whatever the way out.
pub(super) struct Waiter(Vec<(LockClass, u32)>);

impl Waiter {
    pub(super) fn start(names: &[LockName]) -> Self {
        let classes = by_class(names);
        for (class, count) in &classes {
            waiting(*class).increment(f64::from(*count));
        }
        Self(classes)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        for (class, count) in &self.0 {
            waiting(*class).decrement(f64::from(*count));
        }
    }
}

/// How many locks of each class are among `names`: few classes, so a list.
pub(super) fn by_class<'n>(names: impl IntoIterator<Item = &'n LockName>) -> Vec<(LockClass, u32)> {
    let mut counts: Vec<(LockClass, u32)> = Vec::new();
    for name in names {
        match counts.iter_mut().find(|(class, _)| *class == name.class()) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => counts.push((name.class(), 1)),
        }
    }
    counts
}

/// Measures from taking to giving back, whatever the way out.
#[derive(Default)]
pub(super) struct HoldMeter(Option<(Instant, Vec<(LockClass, u32)>)>);

impl HoldMeter {
    pub(super) fn start(classes: Vec<(LockClass, u32)>) -> Self {
        for (class, count) in &classes {
            held(*class).increment(f64::from(*count));
        }
        Self(Some((Instant::now(), classes)))
    }
}

impl Drop for HoldMeter {
    fn drop(&mut self) {
        let Some((since, classes)) = self.0.take() else { return };
        for (class, count) in classes {
            held(class).decrement(f64::from(count));
            histogram!(HOLD, "lock_class" => class.spec().label).record(since.elapsed());
        }
    }
}
