//! Finds values that make no sense, alone or beside each other.

use std::fmt;
use std::time::Duration;

use crate::{ServerUrl, Settings, SettingsError};

/// Meta waits an undocumented time for a webhook's answer; reports go up to 20 s.
const WEBHOOK_PATIENCE: Duration = Duration::from_secs(20);
/// How long the lock on a person's pending message lasts (L12).
const SEND_LOCK: Duration = Duration::from_secs(30);
/// The largest body Meta announces.
const META_BODY_BYTES: usize = 3 * 1000 * 1000;
/// A longer wait for more events would be felt by everybody who writes.
const LONGEST_LINGER: Duration = Duration::from_secs(1);
/// More rows in one statement gain nothing and hold locks longer.
const LARGEST_BATCH: usize = 5_000;
/// Templates change a few times a month; Meta counts every call.
const SHORTEST_SYNC: Duration = Duration::from_mins(1);

/// One thing that is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub advice: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.advice)
    }
}

/// Everything that is wrong with `settings`.
pub(crate) fn problems(settings: &Settings) -> Vec<Problem> {
    let mut found = Findings(Vec::new());
    servers(settings, &mut found);
    sizes(settings, &mut found);
    times(settings, &mut found);
    found.0
}

struct Findings(Vec<Problem>);

impl Findings {
    fn refuse_if(&mut self, wrong: bool, what: impl Into<String>, advice: &str) {
        if wrong {
            self.0.push(Problem { what: what.into(), advice: advice.to_owned() });
        }
    }
}

fn servers(settings: &Settings, found: &mut Findings) {
    let Settings { database, redis, amqp, http, meta, security, .. } = settings;
    scheme(found, "database.url", database.url.as_ref(), &["postgres", "postgresql"]);
    scheme(found, "redis.url", redis.url.as_ref(), &["redis", "rediss"]);
    scheme(found, "amqp.url", amqp.url.as_ref(), &["amqp", "amqps"]);
    found.refuse_if(
        !matches!(meta.base_url.scheme(), "http" | "https"),
        format!("meta.base_url begins with {}", meta.base_url.scheme()),
        "write https://graph.facebook.com or a simulator's http address",
    );
    found.refuse_if(
        !is_api_version(&meta.api_version),
        format!("meta.api_version is `{}`", meta.api_version),
        "write it like v25.0",
    );
    found.refuse_if(
        http.admin_listen == Some(http.listen) && http.listen.port() != 0,
        "http.admin_listen is http.listen",
        "give it a port of its own, or leave it out to serve both on one",
    );
    found.refuse_if(
        !is_name(&redis.namespace) || redis.namespace.is_empty(),
        format!("redis.namespace is `{}`", redis.namespace),
        "use letters, digits, `_`, `-` and `.`",
    );
    found.refuse_if(
        !is_name(&amqp.prefix),
        format!("amqp.prefix is `{}`", amqp.prefix),
        "use letters, digits, `_`, `-` and `.`",
    );
    found.refuse_if(
        matches!(security.master_key(), Err(SettingsError::MasterKey)),
        "security.master_key is not the base64 of 32 bytes",
        "make one: openssl rand -base64 32",
    );
}

fn sizes(settings: &Settings, found: &mut Findings) {
    let Settings { database, http, limits, conversations, sending, chatbot, .. } = settings;
    for (key, value) in [
        ("limits.whatsapp_api_per_minute", limits.whatsapp_api_per_minute),
        ("limits.webhook_per_minute", limits.webhook_per_minute),
        ("limits.bot_per_minute", limits.bot_per_minute),
        ("limits.template_sync_per_minute", limits.template_sync_per_minute),
        ("sending.min_probes", sending.min_probes),
    ] {
        found.refuse_if(value == 0, format!("{key} is 0"), "set it to 1 or more");
    }
    for (key, value) in [
        ("conversations.max_batch", conversations.max_batch),
        ("sending.claim_batch", sending.claim_batch),
        ("sending.in_flight", sending.in_flight),
        ("chatbot.max_batch", chatbot.max_batch),
    ] {
        found.refuse_if(
            value == 0 || value > LARGEST_BATCH,
            format!("{key} is {value}"),
            "set it between 1 and 5000",
        );
    }
    found.refuse_if(http.workers == Some(0), "http.workers is 0", "leave it out: one per core");
    found.refuse_if(
        conversations.workers == 0,
        "conversations.workers is 0",
        "set it to 1 or more",
    );
    // A batch holds a connection; without a spare one the API and the outbox relay starve.
    found.refuse_if(
        usize::try_from(database.pool_size).is_ok_and(|pool| pool <= conversations.workers),
        format!(
            "database.pool_size ({}) is not above conversations.workers ({})",
            database.pool_size, conversations.workers
        ),
        "raise the first or lower the second",
    );
    found.refuse_if(
        http.webhook_body_limit_bytes < META_BODY_BYTES,
        format!("http.webhook_body_limit_bytes is {}", http.webhook_body_limit_bytes),
        "Meta sends up to 3 MB: set at least 3000000, or its webhooks are refused for ever",
    );
}

fn times(settings: &Settings, found: &mut Findings) {
    let Settings { database, amqp, http, meta, conversations, sending, templates, .. } = settings;
    for (key, value) in [
        ("database.wait", database.wait),
        ("amqp.publish_timeout", amqp.publish_timeout),
        ("http.webhook_read_timeout", http.webhook_read_timeout),
        ("meta.connect_timeout", meta.connect_timeout),
        ("meta.timeout", meta.timeout),
        ("sending.attempt_deadline", sending.attempt_deadline),
        ("sending.poll", sending.poll),
    ] {
        found.refuse_if(value.is_zero(), format!("{key} is 0"), "nothing could ever succeed");
    }
    found.refuse_if(
        http.webhook_read_timeout + amqp.publish_timeout > WEBHOOK_PATIENCE,
        "http.webhook_read_timeout and amqp.publish_timeout exceed 20s together",
        "lower one: Meta gives up before it hears an answer",
    );
    found.refuse_if(
        meta.connect_timeout > meta.timeout,
        "meta.connect_timeout is above meta.timeout",
        "lower the first; it is part of the second",
    );
    found.refuse_if(
        sending.attempt_deadline + meta.timeout >= SEND_LOCK,
        "sending.attempt_deadline and meta.timeout reach 30s together",
        "lower one: the lock on a person's pending message lasts 30s (L12)",
    );
    found.refuse_if(
        sending.quiet_window <= sending.attempt_deadline + meta.timeout + sending.doubt_margin,
        "sending.quiet_window ends before an attempt can be in doubt",
        "raise it above attempt_deadline + meta.timeout + doubt_margin",
    );
    found.refuse_if(
        !templates.sync_every.is_zero() && templates.sync_every < SHORTEST_SYNC,
        "templates.sync_every is below 1m",
        "raise it, or set 0s: never by the clock",
    );
    found.refuse_if(
        conversations.linger > LONGEST_LINGER,
        "conversations.linger is above 1s",
        "lower it: every inbound message waits that long",
    );
}

fn scheme(found: &mut Findings, key: &str, url: Option<&ServerUrl>, wanted: &[&str]) {
    let Some(url) = url else { return };
    found.refuse_if(
        !wanted.contains(&url.scheme()),
        format!("{key} begins with {}", url.scheme()),
        &format!("write {}://…", wanted.join(":// or ")),
    );
}

fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn is_api_version(text: &str) -> bool {
    text.strip_prefix('v')
        .and_then(|rest| rest.split_once('.'))
        .is_some_and(|(major, minor)| major.parse::<u16>().is_ok() && minor.parse::<u16>().is_ok())
}
