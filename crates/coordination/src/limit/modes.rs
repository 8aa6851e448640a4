//! Limits that do not bind: switched off, or only observed.

use kernel::chain;
use tracing::{debug, info};
use uuid::Uuid;

use super::{Decision, Extent, Keeper, Limit, Limiter, Permit, script};
use crate::overrides::Mode;

/// A question's limits by what their answer is worth.
pub(super) struct Sorted {
    pub(super) binding: Vec<Limit>,
    pub(super) observed: Vec<Limit>,
}

impl Limiter {
    fn binds(&self, limit: &Limit) -> bool {
        self.shared.overrides.limit_mode(limit.policy()) == Mode::Enforce
    }

    /// Sorts the limits of a question; `None` when all of them bind, as they do unless an operator
    /// said otherwise.
    pub(super) fn sorted<'a>(
        &self,
        limits: impl IntoIterator<Item = &'a Limit> + Clone,
    ) -> Option<Sorted> {
        if limits.clone().into_iter().all(|limit| self.binds(limit)) {
            return None;
        }
        let mut sorted = Sorted { binding: Vec::new(), observed: Vec::new() };
        for limit in limits {
            match self.shared.overrides.limit_mode(limit.policy()) {
                Mode::Off => (),
                Mode::Observe => sorted.observed.push(limit.clone()),
                Mode::Enforce => sorted.binding.push(limit.clone()),
            }
        }
        Some(sorted)
    }

    /// Decides by those that bind; asks the observed ones for the record.
    pub(super) async fn decide_sorted(&self, sorted: Sorted, unit: Uuid, units: u32) -> Decision {
        for limit in &sorted.observed {
            self.observe(limit, unit, units).await;
        }
        if sorted.binding.is_empty() {
            let keeper = Keeper::Process;
            return Decision::Go(Permit {
                charges: Vec::new(),
                unit,
                first: 1,
                last: units,
                keeper,
            });
        }
        self.decide(&sorted.binding, unit, units).await
    }

    /// Charges an observed limit, and says what it would have answered.
    pub(super) async fn observe(&self, limit: &Limit, unit: Uuid, units: u32) {
        let asked = std::slice::from_ref(limit);
        let answer = match script::admit(&self.shared, asked, unit, units, Extent::All).await {
            Ok(answer) => answer,
            Err(away) => return debug!(error = %chain(&away), "limit not observed"),
        };
        let decision = answer.into_decision(asked);
        self.shared.meters.decided(asked, units, &decision, false);
        if let Decision::Wait { after, .. } = decision {
            let (policy, wait_ms) = (limit.policy().spec().label, after.as_millis());
            info!(policy, units, wait_ms, "limit reached, only observed");
        }
    }
}
