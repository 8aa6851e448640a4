//! Whether people want to hear from us, and how we know.

use actix_web::http::Method;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::world::{Who, World};

async fn ada(world: &World) -> String {
    format!("/v1/contacts/{}", world.writes("4915755512345").await)
}

/// What is written down, newest first: decision, source, text.
async fn proofs(world: &World, one: &str) -> Vec<(String, String, Value)> {
    let all = world.get(Who::Viewer, &format!("{one}/consents")).await.data();
    let text = |proof: &Value, key: &str| proof[key].as_str().unwrap().to_owned();
    all.iter().map(|p| (text(p, "decision"), text(p, "source"), p["text"].clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_and_where_stays_beside_what_holds() {
    let world = World::new().await;
    let one = ada(&world).await;
    let act = async |verb: &str, body: Value| {
        world.clock.advance(TimeDelta::minutes(1));
        let answer = world.post(Who::Admin, &format!("{one}/{verb}"), &body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["opted_out_at"].clone()
    };
    let form = json!({ "source": "web form", "text": "Yes, write to me about offers." });
    assert_eq!(act("opt-in", form.clone()).await, Value::Null);
    assert_eq!(act("opt-out", Value::Null).await, json!("2026-11-22T10:02:00.000Z"));
    // Said again, in other words: no other decision, but another proof.
    assert_eq!(act("opt-out", json!({ "text": "No!" })).await, json!("2026-11-22T10:02:00.000Z"));
    assert_eq!(act("opt-out", json!({ "text": "No!" })).await, json!("2026-11-22T10:02:00.000Z"));
    let yes = json!("Yes, write to me about offers.");
    let expected = [
        ("withdrawn".to_owned(), "api".to_owned(), json!("No!")),
        ("withdrawn".to_owned(), "api".to_owned(), Value::Null),
        ("given".to_owned(), "web form".to_owned(), yes),
    ];
    assert_eq!(proofs(&world, &one).await, expected);
    let first = world.get(Who::Viewer, &format!("{one}/consents?limit=1")).await.json();
    assert!(first["data"][0]["actor"].as_str().unwrap().starts_with("key_"), "{first}");
    assert_eq!(first["has_more"], json!(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_down_a_decision_in_the_person_s_own_name() {
    let world = World::new().await;
    let one = ada(&world).await;
    for body in [
        json!({ "source": "keyword" }),
        json!({ "source": "meta" }),
        json!({ "source": "" }),
        json!({ "text": "" }),
        json!({ "reason": "x" }),
    ] {
        let answer = world.post(Who::Admin, &format!("{one}/opt-out"), &body).await;
        assert_eq!(answer.status, 422, "{body}");
    }
    assert!(proofs(&world, &one).await.is_empty());
    let read = world.get(Who::Viewer, &one).await.json();
    assert_eq!(read["opted_out_at"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_and_the_news_of_it_commit_together() {
    let world = World::new().await;
    let one = ada(&world).await;
    let put = "/v1/contacts/by-phone/+4915700000001";
    for _ in 0..2 {
        world.send(Who::Admin, Method::PUT, put, &json!({ "name": "Bob" })).await;
        world.send(Who::Admin, Method::PUT, &format!("{one}/tags/vip"), &Value::Null).await;
        world.post(Who::Admin, &format!("{one}/opt-out"), &Value::Null).await;
    }
    world.post(Who::Admin, &format!("{one}/opt-in"), &Value::Null).await;
    world.send(Who::Admin, Method::PATCH, &one, &json!({ "name": "Ada" })).await;
    world.send(Who::Admin, Method::DELETE, &one, &Value::Null).await;
    let told = "SELECT string_agg(e.type, ' ' ORDER BY e.id) AS text FROM events e \
                JOIN outbox o ON o.event_id = e.id";
    let expected = "contact.created contact.updated contact.opted_out contact.updated contact.opted_in \
                    contact.updated contact.erased";
    assert_eq!(world.db.text(told).await.unwrap(), expected);
}
