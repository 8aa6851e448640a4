//! One request is one message, whoever sends it how often.

use actix_web::test::TestRequest;
use chrono::TimeDelta;
use coordination::{Limit, LimitName};
use diesel_async::SimpleAsyncConnection;
use futures_util::future::join_all;
use insta::assert_snapshot;
use kernel::Clock;
use serde_json::{Value, json};
use storage::idempotency;
use storage::messages::Direction;

use super::threads::{Thread, thread};
use super::world::{Answer, Who, World};

const LENA: &str = "4915755512345";

/// A person who wrote just now, and the body that answers them.
async fn lena(world: &World) -> (Thread, Value) {
    let thread = thread(world, LENA, &[Direction::Inbound]).await;
    let body = json!({
        "connection": thread.connection, "to": format!("+{LENA}"),
        "text": { "body": "It left our house today." }, "metadata": { "order": "8841" },
    });
    (thread, body)
}

async fn send(world: &World, key: &str, body: &Value) -> Answer {
    world.keyed(Who::Admin, "/v1/messages", key, body).await
}

/// Messages that will be sent.
async fn sent(world: &World) -> i64 {
    let in_ledger = world.count("outbound_messages").await;
    assert_eq!(world.count("messages WHERE direction = 'outbound'").await, in_ledger);
    assert_eq!(world.count("message_requests").await, in_ledger);
    assert_eq!(world.count("events WHERE type = 'message.queued'").await, in_ledger);
    assert_eq!(world.count("outbox").await, world.count("events").await);
    in_ledger
}

#[tokio::test(flavor = "multi_thread")]
async fn a_double_click_is_one_message_with_one_answer() {
    let world = World::new().await;
    let (_, body) = lena(&world).await;
    let first = send(&world, "order-8841-shipped", &body).await;
    assert_snapshot!("message_queued", first.shown());
    let second = send(&world, "\"order-8841-shipped\"", &body).await;
    assert_snapshot!("message_replayed", second.shown());
    assert_eq!(second.body, first.body);
    assert_eq!(sent(&world).await, 1);
    assert_eq!(world.count("idempotency_keys WHERE replays = 1").await, 1);

    let third = send(&world, "order-8841-late", &body).await;
    assert_eq!((third.status, sent(&world).await), (202, 2), "another key is another message");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_at_once_with_one_key_are_one_message() {
    let world = World::new().await;
    let (_, body) = lena(&world).await;
    let answers = join_all((0..50).map(|_| send(&world, "k", &body))).await;
    let mut accepted = Vec::new();
    for answer in &answers {
        match answer.status {
            202 => accepted.push(answer),
            // No connection became free in time: nothing was done.
            503 => answer.assert(503, Some("dependency_unavailable"), "the others"),
            _ => {
                answer.assert(409, Some("idempotency_in_progress"), "the others");
                assert_eq!(answer.header("retry-after"), Some("1"));
            }
        }
    }
    let fresh = accepted.iter().filter(|a| a.header("idempotency-replayed").is_none());
    assert_eq!(fresh.count(), 1, "one of them did it");
    assert!(accepted.iter().all(|answer| answer.body == accepted[0].body));
    assert_eq!(send(&world, "k", &body).await.body, accepted[0].body);
    assert_eq!(sent(&world).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_request_runs_its_copy_is_told_to_come_back() {
    let world = World::new().await;
    let (_, body) = lena(&world).await;
    let mut conn = world.db.database().connection().await.unwrap();
    conn.batch_execute("BEGIN").await.unwrap();
    let recalled = idempotency::recall(&mut conn, world.home, "k", b"", world.clock.now()).await;
    assert_eq!(recalled.unwrap(), idempotency::Recall::New);
    let copy = send(&world, "k", &body).await;
    assert_snapshot!("message_in_progress", copy.shown());
    conn.batch_execute("ROLLBACK").await.unwrap();
    let after = send(&world, "k", &body).await;
    assert_eq!(after.status, 202, "what ended without an effect is no obstacle: {}", after.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stands_for_one_request_and_for_no_other() {
    let world = World::new().await;
    let (thread, body) = lena(&world).await;
    assert_eq!(send(&world, "k", &body).await.status, 202);
    let mut other = body.clone();
    other["text"]["body"] = json!("It left our house yesterday.");
    assert_snapshot!("message_key_reused", send(&world, "k", &other).await.shown());
    let uri = format!("/v1/conversations/{}/messages", thread.conversation);
    let elsewhere = world.keyed(Who::Admin, &uri, "k", &json!({ "text": body["text"] })).await;
    elsewhere.assert(422, Some("idempotency_key_reused"), "another path");

    let keyless = TestRequest::post().uri("/v1/messages").set_json(&body);
    let keyless = world.call(Who::Admin, keyless).await;
    keyless.assert(400, Some("idempotency_key_missing"), "no key");
    send(&world, "a b", &body).await.assert(422, Some("validation_failed"), "no key's form");
    assert_eq!(sent(&world).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_may_be_mended_under_the_same_key() {
    let world = World::new().await;
    let (thread, mut body) = lena(&world).await;
    world.clock.advance(TimeDelta::hours(24));
    let closed = send(&world, "k", &body).await;
    assert_snapshot!("message_outside_window", closed.shown());
    let never =
        json!({ "connection": thread.connection, "to": "+4915700000000", "text": body["text"] });
    send(&world, "k", &never).await.assert(422, Some("outside_service_window"), "wrote never");
    assert_eq!(world.count("contacts").await, 1, "what is refused leaves nothing behind");
    assert_eq!(world.count("idempotency_keys").await, 0);

    let members = body.as_object_mut().unwrap();
    members.remove("text");
    members.insert("template".into(), json!({ "name": "order_shipped", "language": "en" }));
    assert_eq!(send(&world, "k", &body).await.status, 202, "a template may be sent at any time");
    assert_eq!(sent(&world).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_remembered_for_a_week() {
    let world = World::new().await;
    let (thread, _) = lena(&world).await;
    let template = json!({ "name": "order_shipped", "language": "en" });
    let body =
        json!({ "connection": thread.connection, "to": "+4915755512345", "template": template });
    let first = send(&world, "k", &body).await;
    world.clock.advance(TimeDelta::days(7) - TimeDelta::seconds(1));
    assert_eq!(send(&world, "k", &body).await.body, first.body);
    let mut conn = world.db.database().connection().await.unwrap();
    assert_eq!(idempotency::forget(&mut conn, world.clock.now(), 10).await.unwrap(), 0);
    world.clock.advance(TimeDelta::seconds(1));
    let second = send(&world, "k", &body).await;
    assert_eq!((second.status, second.header("idempotency-replayed")), (202, None));
    assert_eq!(sent(&world).await, 2);
    let later = world.clock.now() + TimeDelta::days(7);
    assert_eq!(idempotency::forget(&mut conn, later, 10).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_two_workspaces_know_nothing_of_each_other() {
    let world = World::new().await;
    let (_, body) = lena(&world).await;
    assert_eq!(send(&world, "k", &body).await.status, 202);
    let theirs = world.keyed(Who::Stranger, "/v1/messages", "k", &body).await;
    let errors = theirs.json()["errors"].clone();
    theirs.assert(422, Some("validation_failed"), "the connection is not theirs");
    assert_eq!(errors[0]["code"], "unknown_connection");
    let uri = "/v1/messages?idempotency_key=k";
    assert_eq!(world.get(Who::Viewer, uri).await.data().len(), 1);
    assert!(world.get(Who::Stranger, uri).await.data().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_new_becomes_one_contact_with_one_thread() {
    let world = World::new().await;
    let connection = world.connect(Who::Admin).await;
    let template = json!({ "name": "welcome", "language": "en" });
    let body = json!({ "connection": connection, "to": "+49 157 000-00000", "template": template });
    let keys: Vec<String> = (0..8).map(|n| format!("k{n}")).collect();
    let answers = join_all(keys.iter().map(|key| send(&world, key, &body))).await;
    assert!(answers.iter().all(|answer| answer.status == 202));
    assert_eq!(world.count("contacts WHERE source = 'api' AND wa_id = '4915700000000'").await, 1);
    assert_eq!(world.count("conversations WHERE last_sequence = 8").await, 1);
    for (event, count) in
        [("contact.created", 1), ("conversation.opened", 1), ("message.queued", 8)]
    {
        assert_eq!(world.count(&format!("events WHERE type = '{event}'")).await, count, "{event}");
    }
    assert_eq!(sent(&world).await, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_in_a_thread_leaves_in_that_order() {
    let world = World::new().await;
    let (thread, body) = lena(&world).await;
    let uri = format!("/v1/conversations/{}/messages", thread.conversation);
    let agents = (0..10).map(async |n| {
        let text = json!({ "text": { "body": format!("agent {n}") } });
        world.keyed(Who::Admin, &uri, &format!("agent-{n}"), &text).await.status
    });
    let programs = (0..10).map(async |n| send(&world, &format!("program-{n}"), &body).await.status);
    let (agents, programs) = tokio::join!(join_all(agents), join_all(programs));
    assert!(agents.iter().chain(&programs).all(|status| *status == 202));
    let disorder = "(SELECT m.sequence, lag(o.position) OVER (ORDER BY m.sequence) > o.position AS is_late \
                    FROM messages m JOIN outbound_messages o ON o.id = m.id) AS line WHERE is_late";
    assert_eq!(world.count(disorder).await, 0);
    assert_eq!(world.count("outbound_messages WHERE source = 'agent'").await, 10);
    assert_eq!(world.count("outbound_messages WHERE source = 'api'").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_opted_out_gets_answers_and_nothing_else() {
    let world = World::new().await;
    let (thread, body) = lena(&world).await;
    let out = format!("/v1/contacts/{}/opt-out", thread.contact);
    assert_eq!(world.post(Who::Admin, &out, &Value::Null).await.status, 200);
    let template = json!({ "name": "spring_sale", "language": "en" });
    let offer =
        json!({ "connection": thread.connection, "contact": thread.contact, "template": template });
    send(&world, "offer", &offer).await.assert(422, Some("contact_opted_out"), "a template");
    assert_eq!(send(&world, "answer", &body).await.status, 202);
    assert_eq!(sent(&world).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_would_wait_says_so_or_is_refused() {
    let world = World::new().await;
    let (thread, mut body) = lena(&world).await;
    let limits = json!({ "whatsapp_api_per_minute": 2 });
    let uri = format!("/v1/connections/{}/limits", thread.connection);
    let put = actix_web::http::Method::PUT;
    assert_eq!(world.send(Who::Admin, put, &uri, &limits).await.status, 200);
    assert_eq!(send(&world, "k0", &body).await.json()["queued_reason"], Value::Null);
    let line = Limit::of(LimitName::WhatsAppApi(thread.connection)).at_most(2);
    for _ in 0..2 {
        assert!(matches!(
            world.limiter().check(std::slice::from_ref(&line), 1).await,
            coordination::Decision::Go(_)
        ));
    }
    let waits = send(&world, "k1", &body).await.json();
    assert_eq!(waits["queued_reason"], "rate_limited");
    assert!(waits["not_before"].as_str().unwrap() > super::world::START);
    body["on_limit"] = json!("reject");
    let refused = send(&world, "k2", &body).await;
    refused.assert(429, Some("rate_limited"), "on_limit: reject");
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(sent(&world).await, 2);
}
