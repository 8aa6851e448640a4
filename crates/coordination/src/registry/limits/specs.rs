//! The lines of the rate-limit registry.

use std::time::Duration;

use super::{Adaptive, Algorithm, LimitAway, Over, PolicySpec};

const MINUTE: Duration = Duration::from_mins(1);

pub(super) const WHATSAPP_API: PolicySpec = PolicySpec {
    id: "R1",
    label: "whatsapp_api",
    key: "whatsapp_api_rate_limit:connection:{connection_id}",
    most: 100,
    per: MINUTE,
    algorithm: Algorithm::Lanes,
    adaptive: Adaptive::Connection,
    is_leased: false,
    when_away: LimitAway::LocalShare,
    over: Over::Delayed,
    then: "the caller is told how long to wait; the job is parked for that long",
};

pub(super) const TEMPLATE_SYNC: PolicySpec = PolicySpec {
    id: "R2",
    label: "template_sync",
    key: "template_sync_rate_limit:connection:{connection_id}",
    most: 10,
    per: MINUTE,
    algorithm: Algorithm::Sliding,
    adaptive: Adaptive::No,
    is_leased: false,
    when_away: LimitAway::Deny,
    over: Over::Delayed,
    then: "the sync pauses between pages; a new request is refused with a retry-after",
};

pub(super) const BOT: PolicySpec = PolicySpec {
    id: "R3",
    label: "bot",
    key: "bot_rate_limit:{conversation_id}",
    most: 5,
    per: MINUTE,
    algorithm: Algorithm::Sliding,
    adaptive: Adaptive::No,
    is_leased: false,
    when_away: LimitAway::LocalWhole,
    over: Over::Suppressed,
    then: "the bot stays silent and says so; the message is kept",
};

pub(super) const WEBHOOK: PolicySpec = PolicySpec {
    id: "R4",
    label: "webhook",
    key: "webhook_rate_limit:connection:{connection_id}",
    most: 100,
    per: MINUTE,
    algorithm: Algorithm::Sliding,
    adaptive: Adaptive::No,
    is_leased: true,
    when_away: LimitAway::LocalShare,
    over: Over::Delayed,
    then: "the surplus is made durable and worked off in a slow lane",
};

// Meta takes one message every 6 s to one person and lends a burst of 45 (Cloud API, pair rate limit);
// what goes beyond is answered 131056 and makes the pair wait.
pub(super) const PAIR: PolicySpec = PolicySpec {
    id: "R5",
    label: "whatsapp_pair",
    key: "whatsapp_pair_rate_limit:{connection_id}:{phone_number}",
    most: 30,
    per: MINUTE,
    algorithm: Algorithm::Sliding,
    adaptive: Adaptive::Pair,
    is_leased: false,
    when_away: LimitAway::Allow,
    over: Over::Delayed,
    then: "the message waits",
};

pub(super) const RESPONSE: PolicySpec = PolicySpec {
    id: "R6",
    label: "response",
    key: "response_rate_limit:{contact_id}",
    most: 5,
    per: Duration::from_secs(30),
    algorithm: Algorithm::Sliding,
    adaptive: Adaptive::No,
    is_leased: false,
    when_away: LimitAway::Allow,
    over: Over::Suppressed,
    then: "the message is stored without automatic action",
};

pub(super) const REMINDER: PolicySpec = PolicySpec {
    id: "R7",
    label: "reminder",
    key: "reminder_rate_limit",
    most: 100,
    per: MINUTE,
    algorithm: Algorithm::Sliding,
    adaptive: Adaptive::No,
    is_leased: true,
    when_away: LimitAway::LocalShare,
    over: Over::Delayed,
    then: "the reminder waits for its turn",
};
