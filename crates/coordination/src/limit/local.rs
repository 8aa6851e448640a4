//! The same limits, kept in process while Redis is away.
//!
//! It does not know what Redis admitted just before, nor what other processes admit now: the whole
//! may reach the limit times the number of processes, and twice a limit once at each switch.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::script::{Pace, pace};
use super::{Answer, Limit, Permit, Share};
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
        share: Share,
        now: Instant,
    ) -> Answer {
        let need = if share == Share::All { units } else { units.min(1) };
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
        Answer::Granted(granted)
    }

    pub(super) fn refund(&self, permit: &Permit) {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        for limit in &permit.limits {
            if let Some(window) = by_name.get_mut(&limit.name) {
                window.log.retain(|(_, unit)| *unit != permit.unit);
            }
        }
    }
}

impl Window {
    /// How many units have room; all of them when this unit counts already.
    fn free(&mut self, limit: &Limit, unit: Uuid, units: u32, now: Instant) -> u32 {
        if let Some(Pace { burst, interval_us }) = pace(limit) {
            let interval = Duration::from_micros(interval_us);
            let debt = self.paid.map_or(Duration::ZERO, |paid| paid.saturating_duration_since(now));
            let owed = debt.as_micros().div_ceil(interval.as_micros());
            return u32::try_from(owed).map_or(0, |owed| burst.saturating_sub(owed));
        }
        while self.log.front().is_some_and(|(admitted, _)| *admitted + limit.per <= now) {
            self.log.pop_front();
        }
        if self.knows(unit) {
            return units;
        }
        limit.most.saturating_sub(u32::try_from(self.log.len()).unwrap_or(u32::MAX))
    }

    fn wait(&self, limit: &Limit, need: u32, free: u32, now: Instant) -> Duration {
        if let Some(Pace { burst, interval_us }) = pace(limit) {
            if need > burst {
                return limit.per;
            }
            return Duration::from_micros(interval_us).saturating_mul(need - free);
        }
        let leaver = usize::try_from(need - free - 1).ok().and_then(|at| self.log.get(at));
        leaver.map_or(limit.per, |(admitted, _)| *admitted + limit.per - now)
    }

    fn charge(&mut self, limit: &Limit, unit: Uuid, units: u32, now: Instant) {
        if let Some(Pace { interval_us, .. }) = pace(limit) {
            let from = self.paid.map_or(now, |paid| paid.max(now));
            self.paid = Some(from + Duration::from_micros(interval_us).saturating_mul(units));
        } else if !self.knows(unit) {
            self.log.extend((0..units).map(|_| (now, unit)));
        }
        self.idle_from = Some(now + limit.per);
    }

    fn knows(&self, unit: Uuid) -> bool {
        self.log.iter().any(|(_, admitted)| *admitted == unit)
    }
}

#[cfg(test)]
mod tests;
