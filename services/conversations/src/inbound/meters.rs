//! What is counted of inbound events; every series exists from the start.

use chrono::{DateTime, Utc};
use metrics::{Counter, Histogram, counter, histogram};

use super::read::{Item, What};

struct KindMeters {
    handled: Counter,
    duplicate: Counter,
    suppressed: Counter,
    latency: Histogram,
}

impl KindMeters {
    fn register(kind: &'static str, stage: &'static str) -> Self {
        let handled = |outcome: &'static str| counter!("switchyard_inbound_handled_total", "kind" => kind, "outcome" => outcome);
        Self {
            handled: handled("handled"),
            duplicate: handled("duplicate"),
            suppressed: counter!("switchyard_duplicate_suppressed_total", "stage" => stage),
            latency: histogram!("switchyard_inbound_latency_seconds", "kind" => kind),
        }
    }
}

pub(super) struct Meters {
    message: KindMeters,
    status: KindMeters,
    other: KindMeters,
    committed: Counter,
    failed: Counter,
}

impl Meters {
    pub(super) fn register() -> Self {
        let transactions = |outcome: &'static str| counter!("switchyard_db_transactions_total", "unit" => "inbound", "outcome" => outcome);
        // Born with 1, a series would page nobody.
        counter!("switchyard_duplicate_escaped_total", "stage" => "send").increment(0);
        Self {
            message: KindMeters::register("message", "message"),
            status: KindMeters::register("status", "status"),
            other: KindMeters::register("other", "webhook"),
            committed: transactions("committed"),
            failed: transactions("error"),
        }
    }

    pub(super) fn transaction(&self, is_committed: bool) {
        if is_committed { &self.committed } else { &self.failed }.increment(1);
    }

    pub(super) fn handled(&self, item: &Item, is_first: bool, now: DateTime<Utc>) {
        let kind = match &item.what {
            What::Message(_) => &self.message,
            What::Status(_) => &self.status,
            What::Record { .. } => &self.other,
        };
        if !is_first {
            kind.duplicate.increment(1);
            kind.suppressed.increment(1);
            return;
        }
        kind.handled.increment(1);
        if let Some(received_at) = item.received_at {
            let latency = (now - received_at).to_std().unwrap_or_default();
            kind.latency.record(latency.as_secs_f64());
        }
    }
}
