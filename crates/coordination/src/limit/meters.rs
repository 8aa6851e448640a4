//! What limits count. The handles are kept: a hot path counts for less than a microsecond.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kernel::ids::ConnectionId;
use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use tokio::time::Instant;

use super::{Decision, Lane, Limit};
use crate::registry::{LimitName, Policy};

const DECISIONS: &str = "switchyard_ratelimit_decisions_total";
const DELAY: &str = "switchyard_ratelimit_delay_seconds";
const LANES: &str = "switchyard_ratelimit_lane_decisions_total";
const USAGE: &str = "switchyard_ratelimit_usage_ratio";
const FACTOR: &str = "switchyard_ratelimit_rate_factor";
const THROTTLED: &str = "switchyard_ratelimit_provider_throttled_total";
const STOPPED: &str = "switchyard_ratelimit_campaigns_stopped_total";
const UNUSED: &str = "switchyard_ratelimit_slots_unused_total";

/// Codes with a series of their own; every other is `other`.
const CODES: [(i32, &str); 7] = [
    (4, "4"),
    (368, "368"),
    (429, "429"),
    (80_007, "80007"),
    (130_429, "130429"),
    (131_048, "131048"),
    (131_056, "131056"),
];
/// Connections with a series of their own.
const HOTTEST: usize = 20;
/// A connection that was quiet this long gives its place up.
const QUIET: Duration = Duration::from_mins(10);

pub(super) struct Meters {
    by_policy: Vec<(Policy, PolicyMeters)>,
    lanes: Vec<(Lane, [Counter; 2])>,
    unused: Counter,
    hottest: Mutex<Vec<Hot>>,
}

struct PolicyMeters {
    allowed: Counter,
    over: Counter,
    fallback: Counter,
    delay: Histogram,
}

struct Hot {
    connection: ConnectionId,
    usage: Gauge,
    factor: Gauge,
    seen: Instant,
}

impl Meters {
    /// Describes the metrics and touches every label set at zero.
    pub(super) fn register() -> Self {
        describe();
        for (_, code) in CODES.into_iter().chain([(0, "other")]) {
            counter!(THROTTLED, "code" => code).increment(0);
        }
        for code in ["368", "131048"] {
            counter!(STOPPED, "code" => code).increment(0);
        }
        let unused = counter!(UNUSED);
        unused.increment(0);
        let lanes = Lane::ALL.map(|lane| {
            let meter = |decision: &'static str| {
                let counter = counter!(LANES, "lane" => lane.label(), "decision" => decision);
                counter.increment(0);
                counter
            };
            (lane, [meter("allowed"), meter("delayed")])
        });
        Self {
            by_policy: Policy::ALL.map(|policy| (policy, PolicyMeters::register(policy))).into(),
            lanes: lanes.into(),
            unused,
            hottest: Mutex::default(),
        }
    }

    pub(super) fn allowed(&self, policy: Policy, units: u32) {
        self.count(policy, |meters| meters.allowed.increment(u64::from(units)));
    }

    pub(super) fn over(&self, policy: Policy, units: u32) {
        self.count(policy, |meters| meters.over.increment(u64::from(units)));
    }

    pub(super) fn fallback(&self, policy: Policy, units: u32) {
        self.count(policy, |meters| meters.fallback.increment(u64::from(units)));
    }

    /// Counts a decision about all of `limits`.
    pub(super) fn decided(
        &self,
        limits: &[Limit],
        units: u32,
        decision: &Decision,
        is_fallback: bool,
    ) {
        for limit in limits {
            let policy = limit.policy();
            match decision {
                _ if is_fallback => self.fallback(policy, units),
                Decision::Go(_) => self.allowed(policy, units),
                Decision::Wait { by, after } if *by == policy => {
                    self.over(policy, units);
                    self.count(policy, |meters| meters.delay.record(after.as_secs_f64()));
                }
                Decision::Wait { .. } => (),
            }
            if policy == Policy::WhatsAppApi {
                self.in_lane(limit.lane, matches!(decision, Decision::Go(_)));
            }
        }
    }

    pub(super) fn in_lane(&self, lane: Lane, is_allowed: bool) {
        if let Some((_, [allowed, delayed])) = self.lanes.iter().find(|(known, _)| *known == lane) {
            if is_allowed { allowed } else { delayed }.increment(1);
        }
    }

    pub(super) fn throttled(&self, code: i32) {
        counter!(THROTTLED, "code" => label(code)).increment(1);
    }

    pub(super) fn campaigns_stopped(&self, code: i32) {
        counter!(STOPPED, "code" => label(code)).increment(1);
    }

    pub(super) fn unused(&self, slots: usize) {
        self.unused.increment(u64::try_from(slots).unwrap_or(u64::MAX));
    }

    /// How much of a connection's limit is used, and of its rate left, both in thousandths.
    pub(super) fn usage(&self, line: &Limit, used: u32, factor: u32) {
        if let LimitName::WhatsAppApi(connection) = line.name {
            self.hot(connection, |hot| {
                hot.usage.set(f64::from(used) / 1_000.0);
                hot.factor.set(f64::from(factor) / 1_000.0);
            });
        }
    }

    pub(super) fn factor(&self, connection: ConnectionId, factor: u32) {
        self.hot(connection, |hot| hot.factor.set(f64::from(factor) / 1_000.0));
    }

    /// The first twenty connections have series; a quiet one gives its place up.
    fn hot(&self, connection: ConnectionId, set: impl FnOnce(&Hot)) {
        let now = Instant::now();
        let mut hottest = self.hottest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hot) = hottest.iter_mut().find(|hot| hot.connection == connection) {
            hot.seen = now;
            return set(hot);
        }
        if hottest.len() >= HOTTEST {
            let quiet = hottest.iter().position(|hot| now.duration_since(hot.seen) > QUIET);
            let Some(quiet) = quiet else { return };
            hottest.swap_remove(quiet).usage.set(0.0);
        }
        let id = connection.to_string();
        let hot = Hot {
            connection,
            usage: gauge!(USAGE, "policy" => "whatsapp_api", "connection" => id.clone()),
            factor: gauge!(FACTOR, "connection" => id),
            seen: now,
        };
        set(&hot);
        hottest.push(hot);
    }

    fn count(&self, policy: Policy, count: impl FnOnce(&PolicyMeters)) {
        if let Some((_, meters)) = self.by_policy.iter().find(|(known, _)| *known == policy) {
            count(meters);
        }
    }
}

impl PolicyMeters {
    fn register(policy: Policy) -> Self {
        let spec = policy.spec();
        let meter = |outcome: &'static str| {
            let counter = counter!(DECISIONS, "policy" => spec.label, "outcome" => outcome);
            counter.increment(0);
            counter
        };
        Self {
            allowed: meter("allowed"),
            over: meter(spec.over.label()),
            fallback: meter("fallback"),
            delay: histogram!(DELAY, "policy" => spec.label),
        }
    }
}

fn label(code: i32) -> &'static str {
    CODES.iter().find(|(known, _)| *known == code).map_or("other", |(_, label)| label)
}

fn describe() {
    describe_counter!(DECISIONS, "Units asked of a limit; fallback: decided without Redis.");
    describe_histogram!(DELAY, "How long those have to wait whom a limit turned away.");
    describe_counter!(LANES, "Messages that asked a connection's limit, by lane.");
    describe_gauge!(USAGE, "How much of its limit a connection has used; twenty connections.");
    describe_gauge!(FACTOR, "What Meta's throttling left of a connection's rate, 0.05 to 1.");
    describe_counter!(THROTTLED, "Messages that Meta refused to take now, by code.");
    describe_counter!(STOPPED, "Times that a connection's campaigns were stopped: look at once.");
    describe_counter!(UNUSED, "Slots that were reserved and given back.");
}
