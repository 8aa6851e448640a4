//! What happens around every request.

use actix_web::test::TestRequest;
use tracing::subscriber::set_global_default;

use crate::api::call;

fn get(uri: &str) -> TestRequest {
    TestRequest::get().uri(uri)
}

#[actix_web::test]
async fn a_well_formed_request_id_is_kept_and_any_other_is_replaced() {
    let kept = call(get("/v1/request-id").insert_header(("request-id", "req_01J9Z0K7T3"))).await;
    assert_eq!(kept.header("request-id"), Some("req_01J9Z0K7T3"));
    assert_eq!(kept.body, "req_01J9Z0K7T3");
    for foreign in ["", "01J9Z0K7T3", "req_short", "req_with space", "req_<script>alert"] {
        let answer = call(get("/v1/request-id").insert_header(("request-id", foreign))).await;
        assert_ne!(answer.body, foreign);
        assert_eq!(answer.header("request-id"), Some(answer.body.as_str()));
        assert!(answer.body.starts_with("req_") && answer.body.len() == 36, "{}", answer.body);
    }
}

#[actix_web::test]
async fn a_callers_trace_goes_on_inside_and_is_named_in_the_answer() {
    // For the whole process: what other threads made of a call site must not decide here. A second
    // one is refused, which is as good.
    drop(set_global_default(tracing_subscriber::registry()));
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = call(get("/v1/trace").insert_header(("traceparent", parent))).await;
    assert!(answer.body.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{}", answer.body);
    assert_eq!(answer.header("traceparent"), Some(answer.body.as_str()));

    let alone = call(get("/v1/trace")).await;
    assert!(alone.body.starts_with("00-") && !alone.body.contains("4bf92f35"), "{}", alone.body);
    assert_eq!(alone.header("traceparent"), None, "nobody keeps that trace");
}

#[actix_web::test]
async fn requests_are_measured_by_route_and_never_by_address() {
    telemetry::metrics::install();
    call(get("/v1/connections/cnx_00000000000000000000000000000000")).await;
    call(get("/v1/connections/nonsense")).await;
    call(get("/secret-address")).await;
    call(get("/v1/fail/internal")).await;
    call(get("/v1/fail/panic")).await;
    let metrics = telemetry::metrics::render();
    for (route, status) in [
        ("/v1/connections/{id}", 200),
        ("/v1/connections/{id}", 404),
        ("none", 404),
        ("/v1/fail/{kind}", 500),
    ] {
        let line = format!(
            "http_server_request_duration_seconds_count{{route=\"{route}\",method=\"GET\",\
             status=\"{status}\"}}"
        );
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }
    assert!(!metrics.contains("secret-address"));
}
