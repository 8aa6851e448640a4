//! Metrics of the broker path. Handles are made once: a look-up by label costs more than a publish.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, describe_counter, describe_histogram, histogram};

use crate::handler::Fault;
use crate::topology::Exchange;

const SENT: &str = "messaging_client_sent_messages_total";
const CONSUMED: &str = "messaging_client_consumed_messages_total";
const PROCESS: &str = "messaging_process_duration_seconds";
const DEAD: &str = "switchyard_deadletter_added_total";

/// Says once what the series mean.
pub(crate) fn describe() {
    describe_counter!(SENT, "messages published, by exchange and outcome");
    describe_counter!(CONSUMED, "deliveries settled, by family and outcome");
    describe_histogram!(PROCESS, metrics::Unit::Seconds, "time of one handler call");
    describe_counter!(DEAD, "messages given up and kept for a person");
}

/// Counts what the publisher sends.
pub(crate) struct SentMeter {
    exchanges: [Outcomes; 4],
}

/// How publishing one message ended.
struct Outcomes {
    confirmed: Counter,
    refused: Counter,
    lost: Counter,
}

/// How the broker answered a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Confirmed,
    Refused,
    Lost,
}

impl SentMeter {
    pub(crate) fn register() -> Self {
        Self { exchanges: ["events", "lanes", "wait", "dead"].map(Outcomes::register) }
    }

    pub(crate) fn count(&self, exchange: Exchange, sent: Sent, messages: usize) {
        let messages = u64::try_from(messages).unwrap_or(u64::MAX);
        let [events, lanes, wait, dead] = &self.exchanges;
        let outcomes = match exchange {
            Exchange::Events => events,
            Exchange::Lanes => lanes,
            Exchange::Wait(_) => wait,
            Exchange::Dead => dead,
        };
        match sent {
            Sent::Confirmed => outcomes.confirmed.increment(messages),
            Sent::Refused => outcomes.refused.increment(messages),
            Sent::Lost => outcomes.lost.increment(messages),
        }
    }
}

impl Outcomes {
    fn register(exchange: &'static str) -> Self {
        let outcome = |error: &'static str| {
            let counter =
                counter!(SENT, "messaging_destination_name" => exchange, "error_type" => error);
            counter.increment(0);
            counter
        };
        Self { confirmed: outcome(""), refused: outcome("refused"), lost: outcome("lost") }
    }
}

/// Counts what one consumer does.
pub(crate) struct ConsumedMeter {
    pub(crate) done: Counter,
    pub(crate) parked: Counter,
    pub(crate) retried: Counter,
    pub(crate) dead: Counter,
    dead_letters: Counter,
    ok: Histogram,
    transient: Histogram,
    permanent: Histogram,
}

impl ConsumedMeter {
    /// `family` is the label of the consumed queues.
    pub(crate) fn register(family: &'static str) -> Self {
        let settled = |error: &'static str| {
            let counter =
                counter!(CONSUMED, "messaging_destination_name" => family, "error_type" => error);
            counter.increment(0);
            counter
        };
        let call = |error: &'static str| histogram!(PROCESS, "messaging_destination_name" => family, "error_type" => error);
        let dead_letters = counter!(DEAD, "queue" => family);
        dead_letters.increment(0);
        Self {
            done: settled(""),
            parked: settled("parked"),
            retried: settled("retried"),
            dead: settled("dead"),
            dead_letters,
            ok: call(""),
            transient: call("transient"),
            permanent: call("permanent"),
        }
    }

    pub(crate) fn dead_letter(&self) {
        self.dead.increment(1);
        self.dead_letters.increment(1);
    }

    pub(crate) fn call<T>(&self, result: &Result<T, Fault>, took: Duration) {
        let histogram = match result {
            Ok(_) => &self.ok,
            Err(Fault::Transient(_)) => &self.transient,
            Err(Fault::Permanent(_)) => &self.permanent,
        };
        histogram.record(took);
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    /// An alert on an increase is blind to a series that is born with its first count.
    #[test]
    fn every_outcome_is_there_before_it_happens() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            drop(SentMeter::register());
            drop(ConsumedMeter::register("webhooks"));
        });
        let shown = recorder.handle().render();
        for series in [
            r#"messaging_client_sent_messages_total{messaging_destination_name="lanes",error_type="lost"} 0"#,
            r#"messaging_client_consumed_messages_total{messaging_destination_name="webhooks",error_type="dead"} 0"#,
            r#"switchyard_deadletter_added_total{queue="webhooks"} 0"#,
        ] {
            assert!(shown.contains(series), "{series} is not in:\n{shown}");
        }
    }
}
