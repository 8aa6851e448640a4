//! What locks count.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tokio::time::Instant;

use crate::registry::{LockClass, LockName};

const ACQUIRE: &str = "switchyard_lock_acquire_total";
const WAIT: &str = "switchyard_lock_wait_duration_seconds";
const HOLD: &str = "switchyard_lock_hold_duration_seconds";
const LOST: &str = "switchyard_lock_lost_total";
const DEGRADED: &str = "switchyard_lock_degraded_total";
const HELD: &str = "switchyard_lock_held";

/// Describes the metrics and touches every label set at zero.
pub(super) fn register() {
    describe_counter!(ACQUIRE, "Locks asked for; contended: had after waiting.");
    describe_histogram!(WAIT, "Time from asking for a lock to having it or giving up.");
    describe_histogram!(HOLD, "Time a lock was held.");
    describe_counter!(LOST, "Locks that expired, were flushed or cut off while their work ran.");
    describe_counter!(DEGRADED, "Locks skipped because Redis was away.");
    describe_gauge!(HELD, "Locks held now.");
    for class in LockClass::ALL {
        for outcome in ["acquired", "contended", "timeout", "error"] {
            acquire(class, outcome, 0);
        }
        lost(class, 0);
        degraded(class, 0);
        held(class).set(0.0);
    }
}

pub(super) fn acquire(class: LockClass, outcome: &'static str, count: u32) {
    let label = class.spec().label;
    counter!(ACQUIRE, "lock_class" => label, "outcome" => outcome).increment(u64::from(count));
}

pub(super) fn waited(class: LockClass, waited: Duration) {
    histogram!(WAIT, "lock_class" => class.spec().label).record(waited);
}

pub(super) fn lost(class: LockClass, count: u32) {
    counter!(LOST, "lock_class" => class.spec().label).increment(u64::from(count));
}

pub(super) fn degraded(class: LockClass, count: u32) {
    counter!(DEGRADED, "lock_class" => class.spec().label).increment(u64::from(count));
}

fn held(class: LockClass) -> metrics::Gauge {
    gauge!(HELD, "lock_class" => class.spec().label)
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
