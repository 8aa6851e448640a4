//! Making, changing and deleting templates.

use actix_web::http::Method;
use graph_simulator::{Answer as Given, Faults, TemplateCall, TemplateRule};
use serde_json::{Value, json};
use testkit::eventually_within;

use super::world::{MARKETER, PATIENCE, WABA, World, template};

fn fresh(world: &World) -> Value {
    json!({
        "connection": world.connection, "name": "hello_there", "language": "en",
        "category": "UTILITY", "components": [{ "type": "BODY", "text": "Hi {{1}}",
            "example": { "body_text": [["Lena"]] } }],
    })
}

fn fails(call: TemplateCall, answer: Given) -> Faults {
    Faults { templates: vec![TemplateRule::new(answer).on(call)], ..Faults::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_made_changed_and_deleted_at_meta() {
    let world = World::new().await;
    let raw = fresh(&world).to_string();
    // The white space of a caller's components goes to Meta and into the table as it is.
    let raw = raw.replace("[{\"example\"", "[ {\"example\"");
    let made = world.call_raw(MARKETER, Method::POST, "/v1/templates", Some(raw)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(
        (&made.body["status"], &made.body["name"]),
        (&json!("PENDING"), &json!("hello_there"))
    );
    assert_eq!(made.body["parameters"][0]["example"], "Lena");
    let stored = world.text("SELECT components::text FROM templates").await;
    assert!(stored.starts_with("[ {"), "{stored}");
    assert_eq!(world.meta.templates(WABA).len(), 1);
    let path = made.header("location").to_owned();
    assert_eq!(world.get(&path).await.body["id"], made.body["id"]);

    let change = json!({ "components": [{ "type": "BODY", "text": "Bye {{1}}" }] });
    let changed = world.call(MARKETER, Method::PATCH, &path, change).await;
    assert_eq!((changed.status, &changed.body["status"]), (200, &json!("PENDING")));
    assert_eq!(world.meta.templates(WABA)[0]["components"][0]["text"], "Bye {{1}}");
    let nothing = world.call(MARKETER, Method::PATCH, &path, json!({})).await;
    assert_eq!(nothing.outcome(), (422, "validation_failed"));

    let deleted = world.call(MARKETER, Method::DELETE, &path, Value::Null).await;
    assert_eq!(deleted.status, 200, "{}", deleted.body);
    assert!(deleted.body["deleted_at"].is_string());
    assert!(world.meta.templates(WABA).is_empty());
    let again = world.call(MARKETER, Method::DELETE, &path, Value::Null).await;
    assert_eq!(again.outcome(), (409, "state_conflict"));
    assert_eq!(world.get("/v1/templates").await.data().len(), 0);
    world.end(Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_meta_says_no_to_is_explained() {
    let world = World::new().await;
    world.meta.set_templates(
        WABA,
        vec![{
            let mut known = template(1, "APPROVED");
            known["name"] = "hello_there".into();
            known["language"] = "en".into();
            known
        }],
    );
    let exists = world.post("/v1/templates", fresh(&world)).await;
    assert_eq!(exists.outcome(), (422, "validation_failed"));
    assert_eq!(exists.body["upstream"]["code"], 2_388_024);
    assert!(exists.body["detail"].as_str().unwrap().contains("already content in this language"));
    for (code, status, words) in [
        (190, 409, "renew the access token"),
        (80_008, 503, "slows down by itself"),
        (2_388_019, 422, "delete unused templates"),
    ] {
        let answer = Given::Graph { code, http_status: None, retry_after: Some(7) };
        world.meta.set_faults(fails(TemplateCall::Create, answer));
        let refused = world.post("/v1/templates", fresh(&world)).await;
        assert_eq!(refused.status, status, "{}", refused.body);
        assert!(refused.body["detail"].as_str().unwrap().contains(words), "{}", refused.body);
    }
    assert_eq!(world.count("templates").await, 0);
    world.end(Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_of_which_nobody_knows_whether_it_was_made_is_found_by_a_sync() {
    let world = World::new().await;
    let process = world.process().await;
    // Meta makes it, and its answer is lost on the way.
    let mut made = template(1, "PENDING");
    made["name"] = "hello_there".into();
    world.meta.set_templates(WABA, vec![made]);
    world.meta.set_faults(fails(TemplateCall::Create, Given::Unreadable));
    let lost = world.post("/v1/templates", fresh(&world)).await;
    assert_eq!(lost.outcome(), (503, "dependency_unavailable"));
    assert!(lost.body["detail"].as_str().unwrap().contains("look before you try again"));
    eventually_within(PATIENCE, "a sync has found it", async || {
        (world.count("templates WHERE name = 'hello_there'").await == 1).then_some(())
    })
    .await;
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_waits_for_a_person_is_lifted() {
    let world = World::new().await;
    let process = world.process().await;
    world.meta.set_templates(WABA, vec![template(1, "PAUSED")]);
    world.sync().await;
    let path = format!("/v1/templates/{}/unpause", world.named("template_1").await);
    assert_eq!(world.post(&path, Value::Null).await.status, 200);
    eventually_within(PATIENCE, "it is known to be approved", async || {
        (world.status("template_1").await == "APPROVED").then_some(())
    })
    .await;
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_template_can_be_is_refused_before_meta_is_asked() {
    let world = World::new().await;
    for (member, value) in [
        ("name", json!("Hello There")),
        ("language", json!("x")),
        ("category", json!("NEWS")),
        ("components", json!([])),
        ("components", json!([7])),
        ("components", json!([{ "type": "BODY", "text": "a\u{0}b" }])),
        ("connection", json!(world.foreign_connection)),
        ("surprise", json!(1)),
    ] {
        let mut body = fresh(&world);
        body[member] = value;
        let answer = world.post("/v1/templates", body).await;
        assert_eq!(answer.status, 422, "{member}: {}", answer.body);
        let pointed = answer.body["errors"][0]["pointer"].as_str().unwrap_or_default();
        assert!(pointed.starts_with(&format!("/{member}")), "{member}: {}", answer.body);
    }
    assert_eq!(world.meta.stats().template_calls, 0);
    world.end(Vec::new()).await;
}
