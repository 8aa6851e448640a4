//! Remembers a "wait" until it is over, so that a busy waiter costs Redis nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Limit;
use crate::registry::{LimitName, Policy};

/// Beyond this many, those that are over are thrown out.
const MANY: usize = 10_000;

#[derive(Default)]
pub(super) struct Denials {
    by_name: Mutex<HashMap<LimitName, Denial>>,
    /// What Meta throttled through this process, and until when nobody is admitted.
    paused: Mutex<HashMap<LimitName, Instant>>,
}

struct Denial {
    /// The limit that denied: another one for the same name is asked afresh.
    limit: Limit,
    /// What was too much; less may still fit.
    cost: u32,
    until: Instant,
}

impl Denial {
    /// Whether it also answers `limit`: never a lane above the denied one, nor bulk, whose turn it
    /// may be when the others have to wait.
    fn answers(&self, limit: &Limit, cost: u32, now: Instant) -> bool {
        let (denied, asked) = (self.limit.lane, limit.lane);
        let is_same = self.limit.most == limit.most && self.limit.per == limit.per;
        let is_at_most_as_high = denied.is_bulk() == asked.is_bulk() && denied <= asked;
        is_same && is_at_most_as_high && self.cost <= cost && now < self.until
    }
}

impl Denials {
    /// The wait that still stands for one of `limits`.
    pub(super) fn find(
        &self,
        limits: &[Limit],
        cost: u32,
        now: Instant,
    ) -> Option<(Duration, Policy)> {
        let paused = limits.iter().find_map(|limit| Some((self.pause(&limit.name, now)?, limit)));
        if let Some((left, limit)) = paused {
            return Some((left, limit.policy()));
        }
        let by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        limits.iter().find_map(|limit| {
            let denial = by_name.get(&limit.name)?;
            let answers = denial.answers(limit, cost, now);
            answers.then(|| (denial.until - now, limit.policy()))
        })
    }

    pub(super) fn note(&self, limit: &Limit, cost: u32, asked: Instant, after: Duration) {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if by_name.len() >= MANY {
            by_name.retain(|_, denial| asked < denial.until);
        }
        let denial = Denial { limit: limit.clone(), cost, until: asked + after };
        by_name.insert(limit.name.clone(), denial);
    }

    pub(super) fn forget<'a>(&self, names: impl IntoIterator<Item = &'a LimitName>) {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            by_name.remove(name);
        }
    }

    /// Nobody is admitted until then: slots that were reserved before the throttling, neither.
    pub(super) fn note_pause(&self, name: LimitName, asked: Instant, wait: Duration) {
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        paused.retain(|_, until| asked < *until);
        paused.insert(name, asked + wait);
    }

    /// How long nobody is admitted.
    pub(super) fn pause(&self, name: &LimitName, now: Instant) -> Option<Duration> {
        let paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        let until = paused.get(name)?;
        (now < *until).then(|| *until - now)
    }
}
