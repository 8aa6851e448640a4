//! Whether a process says rightly how it is.

use std::future::pending;

use actix_web::test::TestRequest;
use anyhow::anyhow;
use serde_json::Value;
use service::{Health, Life, Need};

use crate::api::{Answer, call_on};

async fn ask(health: &Health, uri: &str) -> Answer {
    call_on(&|config| health.routes(config), TestRequest::get().uri(uri)).await
}

async fn ready(health: &Health) -> (u16, String, Vec<String>) {
    let answer = ask(health, "/readyz").await;
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    let checks = body["checks"].as_array().unwrap().iter();
    let checks = checks.map(|check| format!("{}: {}", check["name"], check["status"])).collect();
    (answer.status, body["status"].as_str().unwrap().to_owned(), checks)
}

#[actix_web::test]
async fn what_is_required_decides_and_what_is_optional_is_shown() {
    let health = Health::new(&Life::default())
        .check("postgres", Need::Required, async || Ok(()))
        .check("redis", Need::Optional, async || Err(anyhow!("hidden")));
    let (status, shown, checks) = ready(&health).await;
    assert_eq!((status, shown.as_str()), (200, "ready"));
    assert_eq!(checks, ["\"postgres\": \"ok\"", "\"redis\": \"failed\""]);

    let health = health.check("rabbitmq", Need::Required, async || Err(anyhow!("hidden")));
    let (status, shown, _) = ready(&health).await;
    assert_eq!((status, shown.as_str()), (503, "not_ready"));
    assert!(!ask(&health, "/readyz").await.body.contains("hidden"));
}

#[actix_web::test]
async fn a_check_that_hangs_counts_as_failed_within_a_second_and_life_goes_on() {
    let health = Health::new(&Life::default())
        .check("postgres", Need::Required, || async { pending().await })
        .check("rabbitmq", Need::Required, || async { pending().await });
    let begin = std::time::Instant::now();
    let (status, _, checks) = ready(&health).await;
    assert_eq!(status, 503);
    assert_eq!(checks, ["\"postgres\": \"timeout\"", "\"rabbitmq\": \"timeout\""]);
    assert!(begin.elapsed().as_millis() < 1_900, "checks run beside each other");
    assert_eq!(ask(&health, "/livez").await.status, 200);
}

#[actix_web::test]
async fn a_stopping_process_is_alive_and_not_ready() {
    let life = Life::default();
    let health = Health::new(&life).check("postgres", Need::Required, async || Ok(()));
    life.stop();
    let (status, shown, _) = ready(&health).await;
    assert_eq!((status, shown.as_str()), (503, "draining"));
    assert_eq!(ask(&health, "/livez").await.body, "{\"status\":\"alive\"}");
}

#[actix_web::test]
async fn metrics_are_served_as_text() {
    telemetry::metrics::install();
    let answer = ask(&Health::new(&Life::default()), "/metrics").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(answer.body.contains("process_threads"), "{}", answer.body);
}
