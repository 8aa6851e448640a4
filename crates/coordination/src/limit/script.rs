//! The question to Redis, and the two forms of a limit.
//!
//! Up to [`EXACT_MOST`] units a limit is an exact log of admissions. Above, it is paced: a burst of
//! a tenth at once, the other nine tenths spread evenly over the window. Both never admit more than
//! the limit in any window; the pace trades a tenth of the rate for constant memory.

use std::sync::LazyLock;
use std::time::Duration;

use deadpool_redis::redis::Script;
use uuid::Uuid;

use super::{Answer, Limit, Permit, Share, Shared};
use crate::redis::link::RedisAway;
use crate::registry::key::{Kind, physical};

/// The largest limit that is kept as a log.
pub(super) const EXACT_MOST: u32 = 1_000;

static ADMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("admit.lua")));
static REFUND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("refund.lua")));

/// A paced limit's numbers.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// Units that may pass at once.
    pub(super) burst: u32,
    /// The time that one unit costs; rounded up, which only makes the limit stricter.
    pub(super) interval_us: u64,
}

/// The pace of `limit`; `None` for a limit that is kept as a log.
pub(super) fn pace(limit: &Limit) -> Option<Pace> {
    if limit.most <= EXACT_MOST {
        return None;
    }
    let burst = limit.most / 10;
    let interval_us = microseconds(limit.per).div_ceil(u64::from(limit.most - burst));
    Some(Pace { burst, interval_us: interval_us.max(1) })
}

pub(super) async fn admit(
    shared: &Shared,
    limits: &[Limit],
    unit: Uuid,
    units: u32,
    share: Share,
) -> Result<Answer, RedisAway> {
    let mut call = ADMIT.prepare_invoke();
    call.arg(unit.as_bytes()).arg(units).arg(match share {
        Share::All => "all",
        Share::Some => "some",
    });
    for limit in limits {
        let pace = pace(limit);
        call.key(key(shared, limit));
        call.arg(if pace.is_some() { "pace" } else { "log" });
        call.arg(limit.most).arg(microseconds(limit.per));
        call.arg(pace.map_or(0, |pace| pace.burst)).arg(pace.map_or(0, |pace| pace.interval_us));
    }
    let (granted, wait_ms, binding): (u32, u64, usize) = shared.link.invoke(&call).await?;
    Ok(if granted > 0 || units == 0 {
        Answer::Granted(granted)
    } else {
        let after = Duration::from_millis(wait_ms.max(1));
        Answer::Denied { after, binding: binding.saturating_sub(1) }
    })
}

pub(super) async fn refund(shared: &Shared, permit: &Permit) -> Result<(), RedisAway> {
    let mut call = REFUND.prepare_invoke();
    call.arg(permit.unit.as_bytes()).arg(permit.units);
    for limit in &permit.limits {
        call.key(key(shared, limit)).arg(pace(limit).map_or(0, |pace| pace.interval_us));
    }
    shared.link.invoke::<u32>(&call).await.map(|_| ())
}

fn key(shared: &Shared, limit: &Limit) -> String {
    let kind = if pace(limit).is_some() { Kind::Pace } else { Kind::Log };
    physical(&shared.namespace, kind, limit.name.policy().spec().key, &limit.name.ids())
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
