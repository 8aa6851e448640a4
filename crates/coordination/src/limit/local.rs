//! This process's share of the limits, kept in process while Redis is away.
//!
//! Invariant: the shares of all processes that were last seen alive add up to the limit at most. What
//! Redis admitted just before is not known here: at each switch a limit may be used twice, once.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::shape::{Ahead, Shape};
use super::{Answer, Charge, Extent, Keeper, Limit, Permit};
use crate::registry::LimitName;

/// Beyond this many, those that hold nothing are thrown out.
const MANY: usize = 10_000;

#[derive(Default)]
pub(super) struct LocalShare {
    by_name: Mutex<HashMap<LimitName, Window>>,
}

#[derive(Default)]
struct Window {
    /// Admissions, oldest first; empty for a paced limit.
    log: VecDeque<(Instant, Uuid)>,
    /// When a paced limit's debt is paid.
    paid: Option<Instant>,
    /// After this nothing in here counts any more.
    idle_from: Option<Instant>,
}

impl LocalShare {
    pub(super) fn admit(
        &self,
        limits: &[Limit],
        unit: Uuid,
        units: u32,
        extent: Extent,
        now: Instant,
    ) -> Answer {
        let need = if extent == Extent::All { units } else { units.min(1) };
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if by_name.len() >= MANY {
            by_name.retain(|_, window| window.idle_from.is_some_and(|from| now < from));
        }
        let mut granted = units;
        let mut longest: Option<(Duration, usize)> = None;
        for (position, limit) in limits.iter().enumerate() {
            let window = by_name.entry(limit.name.clone()).or_default();
            let free = window.free(limit, unit, units, now);
            granted = granted.min(free);
            if free < need {
                let after = window.wait(limit, need, free, now);
                longest = longest.max(Some((after, position)));
            }
        }
        if let Some((after, binding)) = longest {
            return Answer::Denied { after, binding };
        }
        for limit in limits {
            by_name.entry(limit.name.clone()).or_default().charge(limit, unit, granted, now);
        }
        let charge = |limit: &Limit| Charge { limit: limit.clone(), before: 0, after: 0 };
        let charges = limits.iter().map(charge).collect();
        Answer::Granted(
            granted,
            Permit { charges, unit, first: 1, last: granted, keeper: Keeper::Process },
        )
    }

    pub(super) fn refund(&self, permit: &Permit) {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        for charge in &permit.charges {
            if let Some(window) = by_name.get_mut(&charge.limit.name) {
                window.log.retain(|(_, unit)| *unit != permit.unit);
            }
        }
    }
}

impl Window {
    /// How many units have room; all of them when this unit counts already.
    fn free(&mut self, limit: &Limit, unit: Uuid, units: u32, now: Instant) -> u32 {
        let shape = Shape::of(limit, Ahead::Now);
        if let Some(interval) = shape.interval {
            let debt = self.paid.map_or(Duration::ZERO, |paid| paid.saturating_duration_since(now));
            let owed = debt.as_nanos().div_ceil(interval.as_nanos());
            return u32::try_from(owed).map_or(0, |owed| shape.burst().saturating_sub(owed));
        }
        while self.log.front().is_some_and(|(admitted, _)| *admitted + shape.window <= now) {
            self.log.pop_front();
        }
        if self.knows(unit) {
            return units;
        }
        shape.ceiling.saturating_sub(u32::try_from(self.log.len()).unwrap_or(u32::MAX))
    }

    fn wait(&self, limit: &Limit, need: u32, free: u32, now: Instant) -> Duration {
        let shape = Shape::of(limit, Ahead::Now);
        if let Some(interval) = shape.interval {
            return if need > shape.burst() { shape.window } else { interval * (need - free) };
        }
        if need > shape.ceiling {
            return shape.window;
        }
        // More may be in the log than this lane's ceiling.
        let used = u32::try_from(self.log.len()).unwrap_or(u32::MAX);
        let over = used.saturating_add(need) - shape.ceiling;
        let leaver = usize::try_from(over - 1).ok().and_then(|at| self.log.get(at));
        leaver.map_or(shape.window, |(admitted, _)| *admitted + shape.window - now)
    }

    fn charge(&mut self, limit: &Limit, unit: Uuid, units: u32, now: Instant) {
        let shape = Shape::of(limit, Ahead::Now);
        if let Some(interval) = shape.interval {
            let from = self.paid.map_or(now, |paid| paid.max(now));
            self.paid = Some(from + interval * units);
        } else if !self.knows(unit) {
            self.log.extend((0..units).map(|_| (now, unit)));
        }
        self.idle_from = Some(now + shape.window);
    }

    fn knows(&self, unit: Uuid) -> bool {
        self.log.iter().any(|(_, admitted)| *admitted == unit)
    }
}

#[cfg(test)]
mod tests;
