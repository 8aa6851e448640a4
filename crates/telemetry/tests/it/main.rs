//! Setting up the whole process: one test, because a process does it once.

use telemetry::{LogFormat, Options, TelemetryError, init};

fn options(log_filter: &str) -> Options {
    Options {
        service: "test",
        version: "1.2.3",
        log_format: LogFormat::Json,
        log_filter: log_filter.to_owned(),
        otlp_endpoint: None,
    }
}

#[test]
fn a_process_is_set_up_once_and_nonsense_is_refused() {
    assert!(matches!(init(&options("info,messaging=loud")), Err(TelemetryError::Filter(_))));
    let mut telemetry = init(&options("info,messaging=debug")).unwrap();
    assert!(matches!(init(&options("info")), Err(TelemetryError::Taken(_))));

    let trace = tracing::info_span!("work").in_scope(telemetry::trace::current_traceparent);
    assert_eq!(trace.map(|parent| parent.len()), Some(55));
    let build = "switchyard_build_info{service=\"test\",version=\"1.2.3\"} 1";
    assert!(telemetry::metrics::render().contains(build));
    telemetry.shutdown();
    telemetry.shutdown();
}
