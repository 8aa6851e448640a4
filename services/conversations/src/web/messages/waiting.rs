//! Whether a message would have to wait for a limit, as far as can be seen before it is queued.

use chrono::{DateTime, TimeDelta, Utc};
use coordination::{Limit, LimitName, Limiter, Usage};
use futures_util::future::join;
use kernel::WaId;
use service::{Code, Problem};
use storage::connections::Connection;

/// Shown while nothing else is known: a message waits this long at least.
const SHORTEST: TimeDelta = TimeDelta::seconds(1);

/// Until when a message waits for the connection's limit (R1) or its person's (R5), by what both hold
/// now; `None` when it need not wait, or nobody can tell. Asked outside of transactions; the sender asks again and decides.
pub(super) async fn until(
    limiter: &Limiter,
    connection: &Connection,
    default_per_minute: u32,
    person: Option<&WaId>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let name = LimitName::WhatsAppApi(connection.id());
    let own = connection.whatsapp_api_per_minute.and_then(|own| u32::try_from(own).ok());
    let line = match own {
        Some(own) => Limit::of(name).at_most(own),
        None => Limit::of(name).by_default(default_per_minute),
    };
    let line = limiter.in_force(&line).into_owned();
    let pair = person.map(|person| Limit::of(LimitName::Pair(connection.id(), person.clone())));
    let pair = async {
        let usage = limiter.show(pair.as_ref()?).await.ok()?;
        wait(&usage)
    };
    let (line, pair) = join(limiter.show(&line), pair).await;
    let longest = line.ok().as_ref().and_then(wait).max(pair)?;
    now.checked_add_signed(longest)
}

fn wait(usage: &Usage) -> Option<TimeDelta> {
    let resets_in = TimeDelta::from_std(usage.resets_in).unwrap_or(SHORTEST);
    (usage.used >= usage.limit).then_some(resets_in.max(SHORTEST))
}

/// The answer to whoever would rather be refused than wait.
pub(super) fn refusal(until: DateTime<Utc>, now: DateTime<Utc>) -> Problem {
    let seconds = u64::try_from((until - now).num_seconds()).unwrap_or(0).max(1);
    let detail = "A limit of this number or this person is used up, and the request said `on_limit: reject`.";
    Problem::new(Code::RateLimited, detail).retry_after_seconds(seconds)
}
