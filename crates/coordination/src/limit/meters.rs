//! What limits count. The handles are kept: a hot path counts for less than a microsecond.

use metrics::{Counter, counter, describe_counter};

use crate::registry::Policy;

const DECISIONS: &str = "switchyard_ratelimit_decisions_total";

pub(super) struct Meters(Vec<(Policy, PolicyMeters)>);

struct PolicyMeters {
    allowed: Counter,
    over: Counter,
    fallback: Counter,
}

impl Meters {
    /// Describes the metric and touches every label set at zero.
    pub(super) fn register() -> Self {
        describe_counter!(DECISIONS, "Units asked of a limit; fallback: decided without Redis.");
        let meter = |policy: Policy, outcome: &'static str| {
            let counter =
                counter!(DECISIONS, "policy" => policy.spec().label, "outcome" => outcome);
            counter.increment(0);
            counter
        };
        let meters = Policy::ALL.map(|policy| {
            let allowed = meter(policy, "allowed");
            let over = meter(policy, policy.spec().over.label());
            (policy, PolicyMeters { allowed, over, fallback: meter(policy, "fallback") })
        });
        Self(meters.into())
    }

    pub(super) fn allowed(&self, policy: Policy, units: u32) {
        self.count(policy, units, |meters| &meters.allowed);
    }

    pub(super) fn over(&self, policy: Policy, units: u32) {
        self.count(policy, units, |meters| &meters.over);
    }

    pub(super) fn fallback(&self, policy: Policy, units: u32) {
        self.count(policy, units, |meters| &meters.fallback);
    }

    fn count(&self, policy: Policy, units: u32, which: impl Fn(&PolicyMeters) -> &Counter) {
        if let Some((_, meters)) = self.0.iter().find(|(known, _)| *known == policy) {
            which(meters).increment(u64::from(units));
        }
    }
}
