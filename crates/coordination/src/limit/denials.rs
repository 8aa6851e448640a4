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
}

struct Denial {
    /// The limit that denied: another one for the same name is asked afresh.
    limit: Limit,
    /// What was too much; less may still fit.
    cost: u32,
    until: Instant,
}

impl Denials {
    /// The wait that still stands for one of `limits`.
    pub(super) fn find(
        &self,
        limits: &[Limit],
        cost: u32,
        now: Instant,
    ) -> Option<(Duration, Policy)> {
        let by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        limits.iter().find_map(|limit| {
            let denial = by_name.get(&limit.name)?;
            let holds = denial.limit == *limit && denial.cost <= cost && now < denial.until;
            holds.then(|| (denial.until - now, limit.name.policy()))
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

    pub(super) fn forget(&self, limits: &[Limit]) {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        for limit in limits {
            by_name.remove(&limit.name);
        }
    }
}
