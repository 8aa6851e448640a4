//! Every body an error can have.

use actix_web::http::Method;
use actix_web::test::TestRequest;
use insta::assert_snapshot;

use crate::api::{KEY, call};

const JSON: (&str, &str) = ("content-type", "application/json");

fn post(body: &'static str) -> TestRequest {
    TestRequest::post().uri("/v1/orders").insert_header(JSON).set_payload(body)
}

fn get(uri: &str) -> TestRequest {
    TestRequest::get().uri(uri)
}

#[actix_web::test]
async fn addresses_and_methods_that_do_not_exist() {
    assert_snapshot!("unknown_address", call(get("/v1/nothing?x=1")).await.shown());
    assert_snapshot!("ill_formed_id", call(get("/v1/connections/ctc_1")).await.shown());
    let put = TestRequest::put().uri("/v1/numbers");
    assert_snapshot!("wrong_method", call(put).await.shown());
    let invented = TestRequest::default().method(Method::from_bytes(b"BREW").unwrap());
    assert_snapshot!("invented_method", call(invented.uri("/v1/orders")).await.shown());
}

#[actix_web::test]
async fn bodies_that_cannot_be_read() {
    assert_snapshot!("not_json", call(post("{\"lines\": [}")).await.shown());
    assert_snapshot!("broken_off", call(post("{\"lines\": [")).await.shown());
    assert_snapshot!("more_than_json", call(post("{\"lines\": []} x")).await.shown());
    assert_snapshot!("empty", call(post("")).await.shown());
    let deep: &'static str = "[".repeat(100_000).leak();
    assert_snapshot!("deeply_nested", call(post(deep)).await.shown());
    let not_utf8 = TestRequest::post()
        .uri("/v1/orders")
        .insert_header(JSON)
        .set_payload(&b"{\"lines\": [], \"\xff\": 1}"[..]);
    assert_snapshot!("not_utf8", call(not_utf8).await.shown());
}

#[actix_web::test]
async fn bodies_that_are_not_read() {
    let form = TestRequest::post().uri("/v1/orders").set_payload("{\"lines\": []}");
    assert_snapshot!("no_content_type", call(form).await.shown());
    let packed = post("{\"lines\": []}").insert_header(("content-encoding", "gzip"));
    assert_snapshot!("compressed", call(packed).await.shown());
    let declared = post("{}").insert_header(("content-length", "99999999"));
    assert_snapshot!("too_large_as_declared", call(declared).await.shown());
    let large: &'static str = " ".repeat(service::http::json::LIMIT_BYTES + 1).leak();
    let large = call(post(large)).await;
    assert_eq!((large.status, large.body.contains("\"too_large\"")), (413, true));
}

#[actix_web::test]
async fn values_that_cannot_be_used_are_pointed_at() {
    let unknown = post("{\"lines\": [{\"amount\": 1}, {\"amount\": 1, \"pice\": 2}]}");
    assert_snapshot!("unknown_field", call(unknown).await.shown());
    let wrong = post("{\"lines\": [{\"amount\": 300}]}");
    assert_snapshot!("invalid_value", call(wrong).await.shown());
    assert_snapshot!("missing_field", call(post("{}")).await.shown());
    let right = call(post("{\"lines\": [{\"amount\": 2}, {\"amount\": 3}]}")).await;
    assert_eq!((right.status, right.body.as_str()), (201, "5"));
}

#[actix_web::test]
async fn parameters_that_cannot_be_used_are_named() {
    assert_snapshot!("unknown_parameter", call(get("/v1/numbers?limt=5")).await.shown());
    assert_snapshot!("limit_too_high", call(get("/v1/numbers?limit=201")).await.shown());
    assert_snapshot!("cursor_invented", call(get("/v1/numbers?cursor=abc")).await.shown());
}

#[actix_web::test]
async fn callers_without_a_right() {
    let unauthorized = call(get("/v1/mine")).await;
    assert_snapshot!("no_key", unauthorized.shown());
    let wrong = "Bearer swk_live_00000000000000000000000000000000_guess";
    let wrong = get("/v1/mine").insert_header(("authorization", wrong));
    assert_snapshot!("wrong_key", call(wrong).await.shown());
    let agent = get("/v1/api-keys").insert_header(("authorization", KEY));
    assert_snapshot!("scope_missing", call(agent).await.shown());
    let agent = get("/v1/mine").insert_header(("authorization", KEY));
    assert_eq!(call(agent).await.body, "agent");
}

#[actix_web::test]
async fn failures_of_ours_tell_no_cause() {
    for kind in ["internal", "unavailable", "transient", "running", "fields", "panic"] {
        let answer = call(get(&format!("/v1/fail/{kind}"))).await;
        assert!(!answer.body.contains("hunter2") && !answer.body.contains("hidden"));
        assert_snapshot!(kind, answer.shown());
    }
}
