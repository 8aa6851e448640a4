//! Sliding rate limits, asked in Redis (or in PostgreSQL, where there is none), shared out among the processes while Redis is away.
//!
//! Invariants:
//! - no window of a limit's length holds more admissions than the limit, whoever asked and whatever
//!   a client's clock says (Redis's own time decides; no client's time is sent);
//! - several limits are asked in one script: all admit, or none is charged;
//! - a unit that was admitted is admitted again, free of charge, while it still counts;
//! - the limiter never fails and never blocks: while Redis is away the registry says per policy what
//!   is answered.

mod denials;
mod each;
mod feedback;
mod in_force;
mod inspect;
mod kept;
mod lane;
mod local;
mod meters;
mod modes;
mod pacer;
mod processes;
mod script;
mod shape;
mod stock;

use std::sync::Arc;
use std::time::Duration;

use kernel::chain;
use tokio::time::Instant;
use tracing::{Instrument as _, debug, info_span};
use uuid::Uuid;

pub use self::feedback::Feedback;
pub use self::inspect::{Learnt, Usage};
pub use self::lane::Lane;
pub use self::pacer::{Pacer, Parked, Share, Slot};

use self::denials::Denials;
use self::local::LocalShare;
use self::meters::Meters;
use self::processes::Processes;
use self::script::Scripts;
use self::stock::Stock;
use crate::overrides::{Mode, Overrides};
use crate::postgres::limits::PgLimits;
use crate::redis::link::Link;
use crate::registry::{LimitAway, LimitName, Policy};

/// How soon a limit that is refused while Redis is away may be asked again.
const DENIED_FOR: Duration = Duration::from_secs(1);

/// A limit as it holds for one caller: the registry's default, unless set otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    name: LimitName,
    most: u32,
    per: Duration,
    lane: Lane,
    /// Set for this one thing, not by default.
    is_own: bool,
}

impl Limit {
    /// The registry's default, asked in the first lane.
    pub const fn of(name: LimitName) -> Self {
        let spec = name.policy().spec();
        Self { name, most: spec.most, per: spec.per, lane: Lane::Agent, is_own: false }
    }

    /// Another limit for the same window, e.g. what one connection was raised to. An operator's
    /// change of the policy's default leaves it alone.
    #[must_use]
    pub fn at_most(self, most: u32) -> Self {
        Self { most, is_own: true, ..self }
    }

    /// Another default for the same window: the installation's.
    #[must_use]
    pub fn by_default(self, most: u32) -> Self {
        Self { most, ..self }
    }

    /// Units that the window holds.
    pub const fn most(&self) -> u32 {
        self.most
    }

    /// The same limit counted over another window.
    #[must_use]
    pub fn per(self, per: Duration) -> Self {
        Self { per, ..self }
    }

    /// The same limit asked for work of another lane; only a connection's limit has lanes.
    #[must_use]
    pub fn lane(self, lane: Lane) -> Self {
        Self { lane, ..self }
    }

    const fn policy(&self) -> Policy {
        self.name.policy()
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
    charges: Vec<Charge>,
    unit: Uuid,
    /// The numbers of its first and last unit.
    first: u32,
    last: u32,
    keeper: Keeper,
}

impl Permit {
    /// What says which of several permits of a pace is the newest.
    fn newest(&self) -> u64 {
        self.charges.iter().map(|charge| charge.after).max().unwrap_or(0)
    }
}

/// What one limit was charged.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Charge {
    limit: Limit,
    /// What a paced limit was paid up to before and after, in us of Redis's clock; 0 for a log.
    before: u64,
    after: u64,
}

/// Who charged it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeper {
    Redis,
    Postgres,
    Process,
}

/// How a question for several units may be answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// All of them or none.
    All,
    /// As many as fit.
    Some,
}

/// What Redis, or this process in its place, said.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Granted(u32, Permit),
    Denied { after: Duration, binding: usize },
}

/// Asks limits; cheap to clone.
#[derive(Clone)]
pub struct Limiter {
    shared: Arc<Shared>,
}

struct Shared {
    link: Arc<Link>,
    /// Where limits are kept instead of on Redis.
    postgres: Option<PgLimits>,
    namespace: String,
    overrides: Arc<Overrides>,
    scripts: Scripts,
    local: LocalShare,
    processes: Processes,
    denials: Denials,
    stock: Stock,
    meters: Meters,
}

impl Limiter {
    /// On Redis, unless `postgres` is given.
    pub(crate) fn new(
        link: Arc<Link>,
        postgres: Option<PgLimits>,
        namespace: &str,
        overrides: Arc<Overrides>,
    ) -> Self {
        Self::with_scripts(link, postgres, namespace, overrides, Scripts::default())
    }

    fn with_scripts(
        link: Arc<Link>,
        postgres: Option<PgLimits>,
        namespace: &str,
        overrides: Arc<Overrides>,
        scripts: Scripts,
    ) -> Self {
        let shared = Shared {
            processes: Processes::new(),
            link,
            postgres,
            namespace: namespace.to_owned(),
            overrides,
            scripts,
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
        let limits = &*self.all_in_force(limits);
        if let Some(sorted) = self.sorted(limits) {
            return self.decide_sorted(sorted, Uuid::new_v4(), cost).await;
        }
        let now = Instant::now();
        if let Some((after, by)) = self.shared.denials.find(limits, cost, now) {
            self.shared.meters.over(by, cost);
            return Decision::Wait { after, by };
        }
        let decision = self.decide(limits, Uuid::new_v4(), cost).await;
        if let Decision::Wait { after, by } = decision
            && let Some(limit) = limits.iter().find(|limit| limit.policy() == by)
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
        let limits = std::slice::from_ref(limit);
        let limits = &*self.all_in_force(limits);
        match self.sorted(limits) {
            Some(sorted) => self.decide_sorted(sorted, unit, 1).await,
            None => self.decide(limits, unit, 1).await,
        }
    }

    /// Admits as many of `units` as a leased limit has room for, from a block that this process took
    /// in advance; for hot and for global keys.
    ///
    /// Blocks grow with demand up to a hundredth of the limit (256 at most) and are valid for a
    /// second, by which the window is lengthened, so that the limit holds for the use, too.
    pub async fn admit_up_to(&self, limit: &Limit, units: u32) -> u32 {
        let limit = &*self.in_force(limit);
        let policy = limit.policy();
        match self.shared.overrides.limit_mode(policy) {
            Mode::Enforce => (),
            Mode::Off => return units,
            Mode::Observe => {
                self.observe(limit, Uuid::new_v4(), units).await;
                return units;
            }
        }
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
        let (asked, unit, now) = (std::slice::from_ref(limit), Uuid::new_v4(), Instant::now());
        match kept::admit(shared, asked, unit, order.block, Extent::Some).await {
            Ok(Answer::Granted(granted, _)) => {
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
                match shared.decide_alone(asked, unit, missing, Extent::Some) {
                    Answer::Granted(granted, _) => (granted, true),
                    Answer::Denied { .. } => (0, true),
                }
            }
        }
    }

    /// Takes an admission back that was not used.
    ///
    /// Of a limit above 1,000 units only the newest admission can be taken back: the limit is
    /// otherwise stricter than it need be until the window has passed, as it is when Redis is away.
    pub async fn refund(&self, permit: Permit) {
        let shared = &self.shared;
        shared.denials.forget(permit.charges.iter().map(|charge| &charge.limit.name));
        if permit.keeper == Keeper::Process {
            shared.local.refund(&permit);
        } else if let Err(away) = kept::refund(shared, &permit).await {
            debug!(error = %chain(&away), "refund lost");
        }
    }

    /// How many processes ask limits: what this one's share is when Redis is away. The number last
    /// seen, counted every five seconds.
    pub fn processes(&self) -> u32 {
        self.shared.processes.alive()
    }

    /// Counts slots that were reserved and not used.
    fn count_unused(&self, slots: usize) {
        self.shared.meters.unused(slots);
    }

    async fn decide(&self, limits: &[Limit], unit: Uuid, units: u32) -> Decision {
        let shared = &self.shared;
        let span = info_span!("ratelimit", limit.count = limits.len());
        let asked = kept::admit(shared, limits, unit, units, Extent::All).instrument(span);
        let (answer, is_fallback) = match asked.await {
            Ok(answer) => (answer, false),
            Err(away) => {
                debug!(error = %chain(&away), "limit kept in process");
                (shared.decide_alone(limits, unit, units, Extent::All), true)
            }
        };
        let decision = answer.into_decision(limits);
        shared.meters.decided(limits, units, &decision, is_fallback);
        debug!(event = "ratelimit.checked", is_admitted = matches!(decision, Decision::Go(_)));
        decision
    }
}

impl Answer {
    fn into_decision(self, limits: &[Limit]) -> Decision {
        match self {
            Self::Granted(_, permit) => Decision::Go(permit),
            Self::Denied { after, binding } => {
                // What binds is one of `limits`.
                let by = limits.get(binding).map_or(Policy::WhatsAppApi, Limit::policy);
                Decision::Wait { after, by }
            }
        }
    }
}

impl Shared {
    /// What this process answers while Redis is away, as the registry says.
    fn decide_alone(&self, limits: &[Limit], unit: Uuid, units: u32, extent: Extent) -> Answer {
        let away = |limit: &Limit| limit.policy().spec().when_away;
        if let Some(binding) = limits.iter().position(|limit| away(limit) == LimitAway::Deny) {
            return Answer::Denied { after: DENIED_FOR, binding };
        }
        let (positions, shares): (Vec<usize>, Vec<Limit>) = limits
            .iter()
            .enumerate()
            .filter_map(|(position, limit)| match away(limit) {
                LimitAway::LocalShare => Some((position, self.processes.share(limit))),
                LimitAway::LocalWhole => Some((position, limit.clone())),
                LimitAway::Deny | LimitAway::Allow => None,
            })
            .unzip();
        match self.local.admit(&shares, unit, units, extent, Instant::now()) {
            Answer::Denied { after, binding } => {
                let binding = positions.get(binding).copied().unwrap_or(binding);
                Answer::Denied { after, binding }
            }
            granted @ Answer::Granted(..) => granted,
        }
    }
}

#[cfg(test)]
mod tests;
