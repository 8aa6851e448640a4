//! What the client counts.

use std::collections::HashMap;
use std::time::Duration;

use metrics::{Counter, counter, describe_counter, describe_histogram, histogram};

const DURATION: &str = "http_client_request_duration_seconds";
const ERRORS: &str = "switchyard_send_upstream_errors_total";

/// The codes that have a series of their own: those an operator acts on. All others are `other`.
const CODES: &[i32] = &[
    0, 1, 2, 4, 10, 100, 190, 368, 80_007, 130_429, 130_472, 130_497, 131_000, 131_016, 131_026,
    131_030, 131_031, 131_042, 131_047, 131_048, 131_049, 131_050, 131_056, 131_064, 132_000,
    132_001, 132_015, 132_016, 133_010,
];

/// The series of one client.
pub(super) struct Metrics {
    server: String,
    by_code: HashMap<i32, Counter>,
    other: Counter,
}

impl Metrics {
    /// Registers every series at zero, so that an alert sees the first error of a kind.
    pub(super) fn register(server: String) -> Self {
        describe_histogram!(DURATION, metrics::Unit::Seconds, "Time of an HTTP request to another");
        describe_counter!(ERRORS, "Error answers of Meta to sends, by Meta's code");
        let registered = |code: String| {
            let series = counter!(ERRORS, "code" => code);
            series.increment(0);
            series
        };
        let by_code = CODES.iter().map(|code| (*code, registered(code.to_string()))).collect();
        Self { server, by_code, other: registered("other".to_owned()) }
    }

    /// Counts one error answer.
    pub(super) fn error(&self, code: i32) {
        self.by_code.get(&code).unwrap_or(&self.other).increment(1);
    }

    /// Records one request; `status` is `None` when there was no answer.
    pub(super) fn request(&self, status: Option<u16>, took: Duration) {
        let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        histogram!(DURATION, "server_address" => self.server.clone(), "status" => status)
            .record(took);
    }
}
