//! Sliding rate limits, asked in Redis, kept in process while Redis is away.
//!
//! Invariants:
//! - no window of a limit's length holds more admissions than the limit, whoever asked and whatever
//!   a client's clock says (Redis's own time decides);
//! - several limits are asked in one script: all admit, or none is charged;
//! - a unit that was admitted is admitted again, free of charge, while it still counts;
//! - the limiter never fails and never blocks: while Redis is away each process keeps the same
//!   limit by itself, so the whole may reach the limit times the number of processes.

mod denials;
mod local;
mod meters;
mod script;
mod stock;

use std::sync::Arc;
use std::time::Duration;

use kernel::chain;
use tokio::time::Instant;
use tracing::{Instrument as _, debug, info_span};
use uuid::Uuid;

use self::denials::Denials;
use self::local::LocalShare;
use self::meters::Meters;
use self::stock::Stock;
use crate::redis::link::Link;
use crate::registry::{LimitName, Policy};

/// A limit as it holds for one caller: the registry's default, unless set otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    name: LimitName,
    most: u32,
    per: Duration,
}

impl Limit {
    /// The registry's default.
    pub const fn of(name: LimitName) -> Self {
        let spec = name.policy().spec();
        Self { name, most: spec.most, per: spec.per }
    }

    /// Another limit for the same window, e.g. what one connection was raised to.
    #[must_use]
    pub fn at_most(self, most: u32) -> Self {
        Self { most, ..self }
    }

    /// The same limit counted over another window.
    #[must_use]
    pub fn per(self, per: Duration) -> Self {
        Self { per, ..self }
    }
}

impl From<LimitName> for Limit {
    fn from(name: LimitName) -> Self {
        Self::of(name)
    }
}

/// Whether something may happen now.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// It may, and it counts.
    Go(Permit),
    /// It may not; nothing was charged.
    Wait {
        /// When to ask again, rounded up to the millisecond.
        after: Duration,
        /// The limit that binds.
        by: Policy,
    },
}

/// An admission; give it to [`Limiter::refund`] when it was not used.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    limits: Vec<Limit>,
    unit: Uuid,
    units: u32,
}

/// How a question for several units may be answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Share {
    /// All of them or none.
    All,
    /// As many as fit.
    Some,
}

/// What Redis, or this process in its place, said.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Granted(u32),
    Denied { after: Duration, binding: usize },
}

/// Asks limits; cheap to clone.
#[derive(Clone)]
pub struct Limiter {
    shared: Arc<Shared>,
}

struct Shared {
    link: Arc<Link>,
    namespace: String,
    local: LocalShare,
    denials: Denials,
    stock: Stock,
    meters: Meters,
}

impl Limiter {
    pub(crate) fn new(link: Arc<Link>, namespace: &str) -> Self {
        let shared = Shared {
            link,
            namespace: namespace.to_owned(),
            local: LocalShare::default(),
            denials: Denials::default(),
            stock: Stock::default(),
            meters: Meters::register(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Asks all `limits` for `cost` units at once, in one round trip.
    ///
    /// The limits of one question must share their first id (all of one connection, say). A cost
    /// above a limit can never be admitted.
    pub async fn check(&self, limits: &[Limit], cost: u32) -> Decision {
        let now = Instant::now();
        if let Some((after, by)) = self.shared.denials.find(limits, cost, now) {
            self.shared.meters.over(by, cost);
            return Decision::Wait { after, by };
        }
        let decision = self.decide(limits, Uuid::now_v7(), cost).await;
        if let Decision::Wait { after, by } = decision
            && let Some(limit) = limits.iter().find(|limit| limit.name.policy() == by)
        {
            self.shared.denials.note(limit, cost, now, after);
        }
        decision
    }

    /// Asks for one unit that may be asked for again, e.g. the reply to a message that is
    /// delivered twice: while the first admission counts, the same `unit` goes free of charge.
    ///
    /// Limits above 1,000 units remember no units: there each question is charged.
    pub async fn check_unit(&self, limit: &Limit, unit: Uuid) -> Decision {
        self.decide(std::slice::from_ref(limit), unit, 1).await
    }

    /// Admits as many of `units` as the limit has room for, from a block that this process took in
    /// advance; for hot keys.
    ///
    /// Blocks grow with demand up to a hundredth of the limit (256 at most) and are valid for a
    /// second, by which the window is lengthened, so that the limit holds for the use, too.
    pub async fn admit_up_to(&self, limit: &Limit, units: u32) -> u32 {
        let policy = limit.name.policy();
        let order = match self.shared.stock.take(limit, units, Instant::now()) {
            stock::Taken::Enough => {
                self.shared.meters.allowed(policy, units);
                return units;
            }
            stock::Taken::Part(order) => order,
        };
        let missing = units.saturating_sub(order.in_hand);
        let (more, is_fallback) = self.lease(limit, &order, missing).await;
        let admitted = order.in_hand.saturating_add(more);
        if is_fallback {
            self.shared.meters.fallback(policy, units);
        } else {
            self.shared.meters.allowed(policy, admitted);
            self.shared.meters.over(policy, units.saturating_sub(admitted));
        }
        admitted
    }

    /// Asks Redis for a block; answers how many of the `missing` units it covers, and whether this
    /// process had to decide alone.
    async fn lease(&self, limit: &Limit, order: &stock::Order, missing: u32) -> (u32, bool) {
        let shared = &self.shared;
        if order.block == 0 {
            return (0, false);
        }
        let asked = std::slice::from_ref(&order.limit);
        let now = Instant::now();
        match script::admit(shared, asked, Uuid::now_v7(), order.block, Share::Some).await {
            Ok(Answer::Granted(granted)) => {
                let used = granted.min(missing);
                shared.stock.put(limit, granted.saturating_sub(used), now);
                (used, false)
            }
            Ok(Answer::Denied { after, .. }) => {
                shared.stock.dry(limit, now, after);
                (0, false)
            }
            Err(away) => {
                debug!(error = %chain(&away), "limit kept in process");
                let (limits, unit, now) =
                    (std::slice::from_ref(limit), Uuid::now_v7(), Instant::now());
                match shared.local.admit(limits, unit, missing, Share::Some, now) {
                    Answer::Granted(granted) => (granted, true),
                    Answer::Denied { .. } => (0, true),
                }
            }
        }
    }

    /// Takes an admission back that was not used. Lost when Redis is away: the limit is then
    /// stricter than it need be until the window has passed.
    pub async fn refund(&self, permit: Permit) {
        self.shared.denials.forget(&permit.limits);
        self.shared.local.refund(&permit);
        if let Err(away) = script::refund(&self.shared, &permit).await {
            debug!(error = %chain(&away), "refund lost");
        }
    }

    async fn decide(&self, limits: &[Limit], unit: Uuid, units: u32) -> Decision {
        let shared = &self.shared;
        let span = info_span!("ratelimit", limit.count = limits.len());
        let asked = script::admit(shared, limits, unit, units, Share::All).instrument(span);
        let (answer, is_fallback) = match asked.await {
            Ok(answer) => (answer, false),
            Err(away) => {
                debug!(error = %chain(&away), "limit kept in process");
                let now = Instant::now();
                (shared.local.admit(limits, unit, units, Share::All, now), true)
            }
        };
        let binding = |position: usize| limits.get(position).map(|limit| limit.name.policy());
        let decision = match answer {
            Answer::Denied { after, binding: position } if let Some(by) = binding(position) => {
                Decision::Wait { after, by }
            }
            Answer::Granted(_) | Answer::Denied { .. } => {
                Decision::Go(Permit { limits: limits.to_vec(), unit, units })
            }
        };
        for policy in limits.iter().map(|limit| limit.name.policy()) {
            match &decision {
                _ if is_fallback => shared.meters.fallback(policy, units),
                Decision::Go(_) => shared.meters.allowed(policy, units),
                Decision::Wait { by, .. } if *by == policy => shared.meters.over(policy, units),
                Decision::Wait { .. } => (),
            }
        }
        debug!(event = "ratelimit.checked", is_admitted = matches!(decision, Decision::Go(_)));
        decision
    }
}
