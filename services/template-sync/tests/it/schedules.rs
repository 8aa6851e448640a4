//! Syncs by the clock.

use std::time::Duration;

use actix_web::http::Method;
use serde_json::json;
use template_sync::Options;
use testkit::eventually_within;

use super::world::{FAST, MARKETER, PATIENCE, VIEWER, WABA, World, connect, templates};

#[tokio::test(flavor = "multi_thread")]
async fn when_a_connection_is_due_one_of_four_processes_syncs_it_once() {
    let every = Duration::from_secs(3_600);
    let world = World::with(Options { sync_every: every, ..FAST }).await;
    let sibling = connect(world.db.database(), world.workspace).await;
    world.meta.set_templates(WABA, templates(5));
    let mut processes = Vec::new();
    for _ in 0..4 {
        processes.push(world.process().await);
    }
    let planned = "template_schedules WHERE next_at BETWEEN now() AND now() + interval '1 hour'";
    eventually_within(PATIENCE, "each connection has a plan", async || {
        (world.count(planned).await == 3).then_some(())
    })
    .await;
    assert_eq!(world.count("template_syncs").await, 0, "none is due yet");
    let home = [world.connection, sibling].map(|id| format!("'{}'", id.as_uuid())).join(", ");
    world
        .execute(&format!(
            "UPDATE template_schedules SET next_at = now() WHERE connection_id IN ({home})"
        ))
        .await;
    eventually_within(PATIENCE, "the templates are there", async || {
        (world.count("templates").await == 5).then_some(())
    })
    .await;
    // Longer than the sweep takes: whoever would start a second one has had its chance.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let runs = world.get("/v1/template-syncs").await;
    assert_eq!(runs.data().len(), 1, "one for the account: {}", runs.body);
    assert_eq!(runs.data()[0]["trigger"], "schedule");
    assert_eq!(runs.data()[0]["requested_by"], "template-sync");
    let later = format!(
        "template_schedules WHERE connection_id IN ({home}) AND next_at BETWEEN \
         now() + interval '53 minutes' AND now() + interval '67 minutes'"
    );
    assert_eq!(world.count(&later).await, 2, "both are due again in an hour, give or take a tenth");
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_may_have_its_own_interval() {
    let world = World::new().await;
    let path = format!("/v1/template-syncs/schedules/{}", world.connection);
    let by_default = world.get(&path).await.body;
    assert_eq!(
        (&by_default["every_seconds"], &by_default["source"]),
        (&json!(0), &json!("default"))
    );
    let set = |every| world.call(MARKETER, Method::PUT, &path, json!({ "every": every }));
    let own = set(json!("2h")).await.body;
    assert_eq!((&own["every_seconds"], &own["source"]), (&json!(7_200), &json!("connection")));
    assert!(own["next_at"].is_string());
    for wrong in [json!("5s"), json!("99d"), json!("often"), json!(7)] {
        assert_eq!(set(wrong.clone()).await.status, 422, "{wrong}");
    }
    assert_eq!(set(json!(null)).await.body["source"], "default");
    let answer = world.call(VIEWER, Method::PUT, &path, json!({ "every": "2h" })).await;
    assert_eq!(answer.outcome(), (403, "scope_missing"));
    let foreign = format!("/v1/template-syncs/schedules/{}", world.foreign_connection);
    assert_eq!(world.get(&foreign).await.status, 404);
    world.end(Vec::new()).await;
}
