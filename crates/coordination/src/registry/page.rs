//! Writes the registry as a page of Markdown.

use std::time::Duration;

use super::{Adaptive, Algorithm, LockClass, Policy, PolicySpec, WhenAway};

/// The locks and limits as `docs/registry.md` shows them, up to the section on queues.
pub fn page() -> String {
    let mut page = String::from(
        "# Registry\n\n\
         Every lock, rate limit and queue by name. Locks and limits are written from \
         `crates/coordination/src/registry`; a test compares them\n\
         (`UPDATE_REGISTRY=1 cargo nextest run -p coordination registry` writes them anew).\n\n\
         Redis keys: `{namespace}:{kind}:` and the key below with its first id in braces, e.g. \
         `sw:l:webhook_message:{wamid…}`. Kinds: `l` lock, `q` its waiters, `f` its last fence, `r` exact limit, `g` paced limit, \
         `a` what a limit has learnt, `p` the processes that ask.\n\n\
         ## Locks\n\n\
         A lock saves work and never carries correctness: \"protected by\" holds at any concurrency.\n\n\
         | id | key | ttl | renewed up to | waits | fenced | when it is taken | protected by | Redis away |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for class in LockClass::ALL {
        page.push_str(&lock_line(class));
    }
    page.push_str(
        "\n## Rate limits\n\n\
         Sliding windows on Redis's clock: an exact log up to 1,000 units, above it strict GCRA; no \
         window ever holds more than the limit. Defaults; each can be set per connection.\n\n\
         | id | key | default | kept as | over the limit | Redis away |\n\
         |---|---|---|---|---|---|\n",
    );
    for policy in Policy::ALL {
        page.push_str(&limit_line(policy));
    }
    page
}

fn lock_line(class: LockClass) -> String {
    let spec = class.spec();
    let away = match spec.when_away {
        WhenAway::Skip(_) => "runs unlocked",
        WhenAway::Deny => "refused",
        WhenAway::Postgres => "kept in PostgreSQL",
    };
    let renewed = spec.max_hold.map_or_else(|| "–".to_owned(), seconds);
    format!(
        "| {} | `{}` | {} | {renewed} | {} | {} | {} | {} | {away} |\n",
        spec.id,
        spec.key,
        seconds(spec.ttl),
        seconds(spec.wait),
        if spec.is_fenced { "yes" } else { "–" },
        spec.when_taken,
        spec.protection,
    )
}

fn limit_line(policy: Policy) -> String {
    let spec = policy.spec();
    format!(
        "| {} | `{}` | {} per {} | {} | {} | {} |\n",
        spec.id,
        spec.key,
        spec.most,
        seconds(spec.per),
        kept_as(spec),
        spec.then,
        spec.when_away.as_str(),
    )
}

fn kept_as(spec: PolicySpec) -> String {
    let mut words = vec![match spec.algorithm {
        Algorithm::Sliding => "sliding window",
        Algorithm::Lanes => "sliding window in lanes",
    }];
    match spec.adaptive {
        Adaptive::No => (),
        Adaptive::Connection => words.push("slowed by Meta's throttling"),
        Adaptive::Pair => words.push("pushed back by 131056"),
    }
    if spec.is_leased {
        words.push("taken in blocks");
    }
    words.join(", ")
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}
