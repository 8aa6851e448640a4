//! Test messages: a few, once per key, counted nowhere.

use actix_web::http::Method;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::world::{Answer, Extra, MARKETER, VIEWER, World, with_api};

async fn send(world: &World, path: &str, key: &str, to: &[&str]) -> Answer {
    let headers = vec![("idempotency-key", key.to_owned())];
    let extra = Extra { json: json!({ "to": to }), headers, ..Extra::default() };
    world.call(MARKETER, Method::POST, &format!("{path}/test-send"), extra).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_sends_nothing_twice() {
    with_api(async |world| {
        let path = world.drafted().await;
        let numbers = ["+49 157 55512345", "+4915755512346", "004915755512345"];
        let clicks = (0..8).map(|_| send(world, &path, "click-1", &numbers));
        let answers = join_all(clicks).await;
        let first = send(world, &path, "click-1", &numbers).await;
        assert_eq!(first.status, 202, "{}", first.body);
        for answer in &answers {
            match answer.status {
                202 => assert_eq!(answer.body, first.body),
                _ => assert_eq!(answer.outcome(), (409, "idempotency_in_progress")),
            }
        }
        let other = send(world, &path, "click-1", &["+4915755512345"]).await;
        assert_eq!(other.outcome(), (422, "idempotency_key_reused"));
        let messages = first.body["messages"].as_array().unwrap();
        assert_eq!(messages.len(), 2, "a number given twice gets one message");
        assert_eq!(messages[0]["to"], "+4915755512345");
        let ledger = "outbound_messages WHERE state = 'ready' AND source = 'campaign' \
                      AND campaign_id IS NULL";
        assert_eq!(world.count(ledger).await, 2);
        assert_eq!(world.count("messages WHERE kind = 'template'").await, 2);
        assert_eq!(world.count("events WHERE type = 'message.queued'").await, 2);
        assert_eq!(world.count("contacts WHERE source = 'campaign'").await, 2);
        assert_eq!(world.get(&path).await.body["counts"]["total"], 0);

        let more = send(world, &path, "click-2", &["+4915755512345"]).await;
        assert_eq!(more.status, 202, "{}", more.body);
        assert_eq!(world.count("outbound_messages").await, 3, "another key is another test");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_says_what_the_contact_would_read() {
    with_api(async |world| {
        let path = world.drafted().await;
        world
            .execute(&format!(
                "INSERT INTO contacts (id, workspace_id, wa_id, name, source, created_at, updated_at) \
                 VALUES (gen_random_uuid(), '{}', '4915755512345', 'Ada', 'api', now(), now())",
                world.workspace.as_uuid()
            ))
            .await;
        send(world, &path, "k", &["+4915755512345", "+4915755512346"]).await;
        let bodies = "SELECT string_agg(body, ',' ORDER BY body) AS text FROM messages";
        assert_eq!(world.db.text(bodies).await.unwrap(), "Ada,name");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_without_key_or_to_too_many_or_to_whom_it_must_not_is_refused() {
    with_api(async |world| {
        let path = world.drafted().await;
        let test = format!("{path}/test-send");
        let keyless = world.post(MARKETER, &test, json!({ "to": ["+4915755512345"] })).await;
        assert_eq!(keyless.outcome(), (400, "idempotency_key_missing"));
        let many: Vec<String> = (0..6).map(|n| format!("+491575551234{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for numbers in [&many[..], &[], &["hello"]] {
            let answer = send(world, &path, "k", numbers).await;
            assert_eq!(answer.outcome(), (422, "validation_failed"), "{numbers:?}");
        }
        world
            .execute(&format!(
                "INSERT INTO contacts (id, workspace_id, wa_id, source, created_at, updated_at, \
                 opted_out_at) VALUES (gen_random_uuid(), '{}', '4915755512345', 'api', now(), \
                 now(), now())",
                world.workspace.as_uuid()
            ))
            .await;
        let answer = send(world, &path, "k", &["+4915755512345"]).await;
        assert_eq!(answer.outcome(), (422, "contact_opted_out"));
        assert_eq!(world.count("outbound_messages").await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_counts_who_would_be_reached_and_how_long_it_takes() {
    with_api(async |world| {
        let mut body = world.draft();
        let numbers: Vec<String> = (0..300).map(|n| format!("+49157555{n:05}")).collect();
        body["audience"] = json!({ "phones": numbers });
        body["template"]["params"] = json!({ "body": ["{{name|friend}}"] });
        let preview = preview(world, body).await;
        assert_eq!((&preview.body["total"], &preview.body["sendable"]), (&json!(300), &json!(300)));
        assert_eq!(preview.body["estimate"]["limit_per_minute"], 100);
        assert_eq!(preview.body["estimate"]["seconds"], 180);
        assert_eq!(preview.body["sample"].as_array().unwrap().len(), 5);
        assert_ne!(preview.body["estimate"]["finished_at"], Value::Null);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_counts_whoever_lacks_what_the_template_needs() {
    with_api(async |world| {
        world
            .execute(&format!(
                "INSERT INTO contacts (id, workspace_id, wa_id, name, source, created_at, updated_at) \
                 SELECT gen_random_uuid(), '{}', '4915755500' || n, name, 'api', now(), now() FROM \
                 (VALUES ('001', 'Ada'), ('002', ' 	'), ('003', NULL)) AS c (n, name)",
                world.workspace.as_uuid()
            ))
            .await;
        let mut body = world.draft();
        let numbers: Vec<String> = (1..=4).map(|n| format!("+4915755500{n:03}")).collect();
        body["audience"] = json!({ "phones": numbers });
        let preview = preview(world, body).await;
        assert_eq!((&preview.body["total"], &preview.body["sendable"]), (&json!(4), &json!(1)));
        let skipped = &preview.body["skipped"];
        assert_eq!((&skipped["invalid_params"], &skipped["no_address"]), (&json!(3), &json!(0)));
        assert_eq!(preview.body["sample"][0]["name"], "Ada");
    })
    .await;
}

/// The preview of a campaign that is made of `body`.
async fn preview(world: &World, body: Value) -> Answer {
    let made = world.post(MARKETER, "/v1/campaigns", body).await;
    let path = format!("{}/audience/preview", made.header("location"));
    let preview = world.call(VIEWER, Method::POST, &path, Extra::default()).await;
    assert_eq!(preview.status, 200, "{}", preview.body);
    preview
}
