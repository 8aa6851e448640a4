//! Metrics of this process, in Prometheus' text form.
//!
//! Names ending in `_seconds` get buckets for times, every other histogram gets buckets for counts.

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Times of requests, statements and locks, in seconds.
const TIMES: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Times a message may wait for a limit, in seconds: 0.1 s to 6 h.
const WAITS: [f64; 11] = [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 10800.0, 21600.0];
/// Sizes of batches.
const COUNTS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];
/// How often recorded values are folded into their buckets, so that they do not pile up in a
/// process that nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

struct Recorded {
    handle: Option<PrometheusHandle>,
    process: metrics_process::Collector,
}

static RECORDED: OnceLock<Recorded> = OnceLock::new();

/// Begins to record; only the first call does something. [`crate::init`] calls it, tests may.
pub fn install() {
    recorded();
}

/// Everything recorded so far, and what the process uses right now.
pub fn render() -> String {
    let Recorded { handle, process } = recorded();
    process.collect();
    handle.as_ref().map(PrometheusHandle::render).unwrap_or_default()
}

/// Says which build runs.
pub(crate) fn build_info(service: &'static str, version: &'static str) {
    metrics::describe_gauge!("switchyard_build_info", "Always 1; the labels tell the build");
    metrics::gauge!("switchyard_build_info", "service" => service, "version" => version).set(1.0);
}

fn recorded() -> &'static Recorded {
    RECORDED.get_or_init(|| {
        let handle = match recorder() {
            Ok(handle) => Some(handle),
            Err(error) => {
                tracing::error!(error = %error, "metrics are not recorded");
                None
            }
        };
        if let Some(handle) = handle.clone() {
            keep_up(handle);
        }
        let process = metrics_process::Collector::default();
        process.describe();
        Recorded { handle, process }
    })
}

fn recorder() -> Result<PrometheusHandle, BuildError> {
    let wait = Matcher::Full("switchyard_send_wait_seconds".to_owned());
    PrometheusBuilder::new()
        .set_buckets(&COUNTS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &TIMES)?
        .set_buckets_for_metric(wait, &WAITS)?
        .install_recorder()
}

fn keep_up(handle: PrometheusHandle) {
    let upkeep = move || {
        loop {
            thread::sleep(UPKEEP);
            handle.run_upkeep();
        }
    };
    if let Err(error) = thread::Builder::new().name("metrics".to_owned()).spawn(upkeep) {
        tracing::error!(error = %error, "metrics are only folded when scraped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_counts_get_their_own_buckets_and_the_process_is_measured() {
        install();
        install();
        metrics::histogram!("test_work_seconds").record(0.003);
        metrics::histogram!("test_batch_events").record(30.0);
        metrics::histogram!("switchyard_send_wait_seconds").record(600.0);
        build_info("test", "0.0.0");
        let text = render();
        for line in [
            "test_work_seconds_bucket{le=\"0.005\"} 1",
            "test_work_seconds_bucket{le=\"0.0025\"} 0",
            "test_batch_events_bucket{le=\"50\"} 1",
            "switchyard_send_wait_seconds_bucket{le=\"900\"} 1",
            "switchyard_build_info{service=\"test\",version=\"0.0.0\"} 1",
            "process_resident_memory_bytes",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
