//! The questions to Redis. Nothing of a client's clock is in them.

use std::time::Duration;

use deadpool_redis::redis::{Script, ScriptInvocation};
use uuid::Uuid;

use super::inspect::Found;
use super::shape::{Ahead, Shape, microseconds};
use super::{Answer, Charge, Extent, Keeper, Limit, Permit, Shared};
use crate::redis::link::RedisAway;
use crate::registry::key::{Kind, physical};
use crate::registry::{Adaptive, Policy};

/// The scripts, each with what they share in front.
pub(super) struct Scripts {
    admit: Script,
    reserve: Script,
    refund: Script,
    feedback: Script,
    usage: Script,
    hottest: Script,
}

impl Scripts {
    /// The scripts of a server whose clock is read by `clock`.
    pub(super) fn on_clock(clock: &str) -> Self {
        let shared = include_str!("window.lua").replace("redis.call('TIME')", clock);
        let script = |body: &str| Script::new(&format!("{shared}{body}"));
        Self {
            admit: script(include_str!("admit.lua")),
            reserve: script(include_str!("reserve.lua")),
            refund: Script::new(include_str!("refund.lua")),
            feedback: script(include_str!("feedback.lua")),
            usage: script(include_str!("usage.lua")),
            hottest: script(include_str!("hottest.lua")),
        }
    }
}

impl Default for Scripts {
    fn default() -> Self {
        Self::on_clock("redis.call('TIME')")
    }
}

/// What Redis said to several messages of one connection.
pub(super) struct Reserved {
    /// One answer for each message.
    pub(super) answers: Vec<Reservation>,
    /// How much of the connection's limit is used, in thousandths.
    pub(super) used: u32,
    /// What Meta's throttling left of the connection's rate, in thousandths.
    pub(super) factor: u32,
}

/// What Redis said to one of them.
pub(super) enum Reservation {
    /// A slot, to be used after so long.
    Slot { delay: Duration, before: u64, after: u64 },
    /// None; `is_own` when the message's own limit binds.
    Denied { after: Duration, is_own: bool },
}

pub(super) async fn admit(
    shared: &Shared,
    limits: &[Limit],
    unit: Uuid,
    units: u32,
    extent: Extent,
) -> Result<Answer, RedisAway> {
    shared.processes.take_part(&shared.link, &shared.namespace);
    let mut call = shared.scripts.admit.prepare_invoke();
    call.arg(unit.as_bytes()).arg(units).arg(match extent {
        Extent::All => "all",
        Extent::Some => "some",
    });
    call.arg(limits.len());
    for limit in limits {
        describe(&mut call, shared, limit, Ahead::Now);
        call.arg(limit.most);
    }
    let answer: Vec<u64> = shared.link.invoke(&call).await?;
    let mut numbers = answer.into_iter();
    let mut next = || numbers.next().unwrap_or(0);
    let (granted, wait_ms, binding) = (next(), next(), next());
    if binding > 0 {
        let after = Duration::from_millis(wait_ms.max(1));
        let binding = usize::try_from(binding - 1).unwrap_or(0);
        return Ok(Answer::Denied { after, binding });
    }
    let charges = limits
        .iter()
        .map(|limit| Charge { limit: limit.clone(), before: next(), after: next() })
        .collect();
    let granted = u32::try_from(granted).unwrap_or(units);
    Ok(Answer::Granted(
        granted,
        Permit { charges, unit, first: 1, last: granted, keeper: Keeper::Redis },
    ))
}

/// Asks for one slot of `line` for each of `own`, the messages' own limits.
pub(super) async fn reserve(
    shared: &Shared,
    line: &Limit,
    own: &[Option<Limit>],
    unit: Uuid,
    ahead: Ahead,
) -> Result<Reserved, RedisAway> {
    shared.processes.take_part(&shared.link, &shared.namespace);
    let mut call = shared.scripts.reserve.prepare_invoke();
    call.arg(unit.as_bytes()).arg(own.len());
    describe(&mut call, shared, line, ahead);
    call.arg(line.most);
    for own in own {
        match own {
            Some(limit) => {
                call.arg("own");
                describe(&mut call, shared, limit, Ahead::Now);
            }
            None => {
                call.arg("-");
            }
        }
    }
    let answer: Vec<u64> = shared.link.invoke(&call).await?;
    let mut numbers = answer.into_iter();
    let mut next = || numbers.next().unwrap_or(0);
    let thousandths = |number: u64| u32::try_from(number).unwrap_or(0);
    let (used, factor) = (thousandths(next()), thousandths(next()));
    let answers = own.iter().map(|_| {
        let (granted, time, binding) = (next(), next(), next());
        let (before, after) = (next(), next());
        if granted == 1 {
            Reservation::Slot { delay: Duration::from_micros(time), before, after }
        } else {
            Reservation::Denied { after: Duration::from_millis(time.max(1)), is_own: binding == 2 }
        }
    });
    Ok(Reserved { answers: answers.collect(), used, factor })
}

/// Takes an admission back; answers how many of its limits took it.
pub(super) async fn refund(shared: &Shared, permit: &Permit) -> Result<u32, RedisAway> {
    let mut call = shared.scripts.refund.prepare_invoke();
    call.arg(permit.unit.as_bytes()).arg(permit.first).arg(permit.last);
    for charge in &permit.charges {
        call.key(key(shared, &charge.limit)).arg(charge.before).arg(charge.after);
    }
    shared.link.invoke(&call).await
}

/// Tells what Meta answered; returns the connection's factor in thousandths, and the wait.
pub(super) async fn feedback(
    shared: &Shared,
    limit: &Limit,
    what: &'static str,
    asked: Duration,
) -> Result<(u32, Duration), RedisAway> {
    let mut call = shared.scripts.feedback.prepare_invoke();
    call.key(learnt_key(shared, limit)).arg(what).arg(microseconds(asked));
    let (factor, wait_ms): (u32, u64) = shared.link.invoke(&call).await?;
    Ok((factor, Duration::from_millis(wait_ms)))
}

/// How much of a limit is used; see `usage.lua`.
pub(super) async fn usage(shared: &Shared, limit: &Limit) -> Result<[u64; 6], RedisAway> {
    let mut call = shared.scripts.usage.prepare_invoke();
    describe(&mut call, shared, limit, Ahead::Horizon);
    shared.link.invoke(&call).await
}

/// One step through a policy's keys.
pub(super) struct Page {
    pub(super) cursor: String,
    pub(super) keys: Vec<Found>,
}

pub(super) async fn hottest(
    shared: &Shared,
    policy: Policy,
    cursor: &str,
) -> Result<Page, RedisAway> {
    let spec = policy.spec();
    // One letter stands for the kind: a log or a pace.
    let key = physical(&shared.namespace, Kind::Log, spec.key, &[]);
    let at = shared.namespace.len() + 1;
    let (before, after) = (key.get(..at).unwrap_or(""), key.get(at + 1..).unwrap_or(""));
    let mut call = shared.scripts.hottest.prepare_invoke();
    call.arg(cursor).arg(format!("{before}[rg]{after}*")).arg(at + 1);
    call.arg(microseconds(spec.per));
    let mut answer = shared.link.invoke::<Vec<String>>(&call).await?.into_iter();
    let cursor = answer.next().unwrap_or_else(|| "0".to_owned());
    let mut keys = Vec::new();
    while let Some(key) = answer.next() {
        let is_paced = answer.next().is_some_and(|kind| kind == "pace");
        let mut number = || answer.next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let (used, free_ms, most) = (number(), number(), number());
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        keys.push(Found { key, is_paced, used, free_ms, most });
    }
    Ok(Page { cursor, keys })
}

fn describe(call: &mut ScriptInvocation<'_>, shared: &Shared, limit: &Limit, ahead: Ahead) {
    let shape = Shape::of(limit, ahead);
    call.key(key(shared, limit));
    let spec = limit.name.policy().spec();
    if spec.adaptive != Adaptive::No {
        call.key(learnt_key(shared, limit));
    }
    call.arg(if shape.interval.is_some() { "pace" } else { "log" });
    call.arg(shape.ceiling).arg(shape.top).arg(microseconds(shape.window));
    call.arg(shape.interval.map_or(0, microseconds)).arg(microseconds(shape.horizon));
    call.arg(match spec.adaptive {
        Adaptive::No => "plain",
        Adaptive::Connection => "lanes",
        Adaptive::Pair => "pair",
    });
    call.arg(if spec.adaptive == Adaptive::Connection { limit.lane.number() } else { 0 });
    call.arg(shape.part);
}

/// Where a limit keeps its admissions.
pub(super) fn key(shared: &Shared, limit: &Limit) -> String {
    let is_paced = Shape::of(limit, Ahead::Now).interval.is_some();
    let kind = if is_paced { Kind::Pace } else { Kind::Log };
    physical(&shared.namespace, kind, limit.name.policy().spec().key, &limit.name.ids())
}

fn learnt_key(shared: &Shared, limit: &Limit) -> String {
    physical(&shared.namespace, Kind::Lanes, limit.name.policy().spec().key, &limit.name.ids())
}
