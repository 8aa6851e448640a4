//! What is counted at the door. All series exist from the start, so that an alert sees the first one.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, describe_counter, describe_histogram, histogram};
use whatsapp::webhook::EventKind;

const RECEIVED: &str = "switchyard_webhook_received_total";
const DURATION: &str = "switchyard_webhook_ingest_duration_seconds";

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// At the broker.
    Accepted,
    /// At the broker, for a number that nobody has connected.
    UnknownConnection,
    /// Nobody we know has signed it.
    BadSignature,
    /// Not a webhook.
    Malformed,
    /// The connection refuses what is over R4.
    OverLimit,
    /// The sender has to come again.
    Unavailable,
}

impl Outcome {
    const ALL: [Self; 6] = [
        Self::Accepted,
        Self::UnknownConnection,
        Self::BadSignature,
        Self::Malformed,
        Self::OverLimit,
        Self::Unavailable,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::UnknownConnection => "unknown_connection",
            Self::BadSignature => "bad_signature",
            Self::Malformed => "malformed",
            Self::OverLimit => "over_limit",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The name of a kind, on labels and spans.
pub(crate) const fn label(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Message => "message",
        EventKind::Status => "status",
        EventKind::Echo => "echo",
        EventKind::Other => "other",
    }
}

/// One counter for each outcome.
struct Outcomes([Counter; Outcome::ALL.len()]);

impl Outcomes {
    fn register(kind: &'static str) -> Self {
        Self(Outcome::ALL.map(|outcome| {
            let counter = counter!(RECEIVED, "kind" => kind, "outcome" => outcome.label());
            counter.increment(0);
            counter
        }))
    }

    fn add(&self, outcome: Outcome, count: u64) {
        let position = Outcome::ALL.iter().position(|known| *known == outcome);
        if let Some(counter) = position.and_then(|at| self.0.get(at)) {
            counter.increment(count);
        }
    }
}

/// Handles that cost nothing to find.
pub(crate) struct Meters {
    messages: Outcomes,
    statuses: Outcomes,
    echoes: Outcomes,
    others: Outcomes,
    /// POSTs refused before anybody knew what is in them.
    unread: Outcomes,
    duration: Histogram,
}

impl Meters {
    pub(crate) fn register() -> Self {
        describe_counter!(RECEIVED, "Webhook events received, or POSTs refused unread");
        describe_histogram!(DURATION, "From the head of a POST to the broker's confirm");
        Self {
            messages: Outcomes::register(label(EventKind::Message)),
            statuses: Outcomes::register(label(EventKind::Status)),
            echoes: Outcomes::register(label(EventKind::Echo)),
            others: Outcomes::register(label(EventKind::Other)),
            unread: Outcomes::register("unread"),
            duration: histogram!(DURATION),
        }
    }

    /// `count` events of a kind.
    pub(crate) fn events(&self, kind: EventKind, outcome: Outcome, count: u64) {
        let outcomes = match kind {
            EventKind::Message => &self.messages,
            EventKind::Status => &self.statuses,
            EventKind::Echo => &self.echoes,
            EventKind::Other => &self.others,
        };
        outcomes.add(outcome, count);
    }

    /// One POST whose events are not known.
    pub(crate) fn unread(&self, outcome: Outcome) {
        self.unread.add(outcome, 1);
    }

    /// A POST was answered 200 after `took`.
    pub(crate) fn took(&self, took: Duration) {
        self.duration.record(took);
    }
}
