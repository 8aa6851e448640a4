//! What an answer of Meta's means for the limits that come next.
//!
//! A throttled connection is cut to 0.7 of its rate, at most once a second, pauses for half a second
//! and comes back cubically; a throttled pair waits 4^n seconds. Both are decided in Redis by its own
//! clock, and hold for every process; no send costs an extra call for it.

use std::time::Duration;

use kernel::ids::ConnectionId;
use kernel::{WaId, chain};
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::{Limit, Limiter, script};
use crate::registry::LimitName;

/// Meta refused to take a message now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// The connection sends too fast: 4, 80007, 130429 or HTTP 429.
    Throttled {
        /// Meta's code; 0 when there was only a status.
        code: i32,
        /// How long Meta asked to wait, if it did; an hour is believed at most.
        retry_after: Option<Duration>,
    },
    /// Too much to this person: 131056.
    PairThrottled {
        /// The person, as in [`LimitName::Pair`].
        person: WaId,
        /// Meta's code.
        code: i32,
        /// How long Meta asked to wait, if it did; an hour is believed at most.
        retry_after: Option<Duration>,
    },
    /// Marked as spam or blocked for a violation: 131048 or 368. Campaigns stop for ten minutes.
    Blocked {
        /// Meta's code.
        code: i32,
    },
}

/// The longest wait that is believed.
const BELIEVED: Duration = Duration::from_hours(1);

impl Limiter {
    /// Tells what Meta answered to a message of `connection`. Lost when Redis is away.
    pub async fn feedback(&self, connection: ConnectionId, feedback: Feedback) {
        let line = Limit::of(LimitName::WhatsAppApi(connection));
        let (what, limit, code, asked) = match feedback {
            Feedback::Throttled { code, retry_after } => ("slow", line, code, retry_after),
            Feedback::PairThrottled { person, code, retry_after } => {
                ("pair", Limit::of(LimitName::Pair(connection, person)), code, retry_after)
            }
            Feedback::Blocked { code } => ("stop", line, code, None),
        };
        self.shared.meters.throttled(code);
        let asked = asked.unwrap_or_default().min(BELIEVED);
        let now = Instant::now();
        let (factor, wait) = match script::feedback(&self.shared, &limit, what, asked).await {
            Ok(learnt) => learnt,
            Err(away) => return debug!(error = %chain(&away), "throttling not learnt"),
        };
        match what {
            "slow" => {
                self.shared.denials.note_pause(limit.name, now, wait);
                self.shared.meters.factor(connection, factor);
                let wait_ms = wait.as_millis();
                warn!(connection.id = %connection, code, factor, wait_ms, "connection slowed down");
            }
            "pair" => {
                self.shared.denials.note_pause(limit.name, now, wait);
                debug!(connection.id = %connection, code, "pair has to wait");
            }
            _ => {
                self.shared.meters.campaigns_stopped(code);
                error!(connection.id = %connection, code, "campaigns of a connection stopped");
            }
        }
    }
}
