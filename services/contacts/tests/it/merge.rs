//! Several contacts that are one person become one: looked at first, then done once.

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::world::{Answer, Who, World};

const MERGE: &str = "/v1/contacts/merge";

struct Twins {
    keep: String,
    goes: String,
}

/// A person with two numbers and a thread under each.
async fn twins(world: &World) -> Twins {
    let keep = world.thread("4915755500001", 2).await.contact.to_string();
    let goes = world.thread("4915755500002", 3).await.contact.to_string();
    let note = format!("/v1/contacts/{goes}/notes");
    world.post(Who::Admin, &note, &json!({ "text": "Same as the other." })).await;
    world.post(Who::Admin, &format!("/v1/contacts/{goes}/opt-out"), &Value::Null).await;
    Twins { keep, goes }
}

async fn look(world: &World, twins: &Twins) -> Answer {
    let body = json!({ "keep": twins.keep, "merge": [twins.goes], "dry_run": true });
    let seen = world.post(Who::Admin, MERGE, &body).await;
    assert_eq!(seen.status, 200, "{}", seen.body);
    seen
}

async fn confirm(world: &World, who: Who, seen: &Answer) -> Answer {
    let token = seen.json()["confirm_token"].clone();
    world.post(who, MERGE, &json!({ "confirm_token": token, "reason": "same person" })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_moves_and_its_token_moves_it_once() {
    let world = World::new().await;
    let twins = twins(&world).await;
    let seen = look(&world, &twins).await;
    let told = seen.json();
    assert_eq!((&told["conversations"], &told["messages"]), (&json!(1), &json!(3)));
    assert_eq!(told["numbers_lost"], json!(["+4915755500002"]));
    assert_eq!(world.get(Who::Viewer, "/v1/contacts").await.data().len(), 2);

    // However often, and at once.
    let tries = join_all((0..4).map(|_| confirm(&world, Who::Admin, &seen))).await;
    for done in &tries {
        done.assert(200, None, "confirmed");
        assert_eq!(done.json(), tries[0].json());
    }
    let kept = tries[0].json();
    assert_eq!((&kept["id"], &kept["phone"]), (&json!(twins.keep), &json!("+4915755500001")));
    // Whoever asked for no more under one number has asked for it.
    assert_ne!(kept["opted_out_at"], Value::Null);
    let one = format!("/v1/contacts/{}", twins.keep);
    assert_eq!(world.get(Who::Viewer, &format!("{one}/notes")).await.data().len(), 1);
    assert_eq!(world.get(Who::Viewer, &format!("{one}/consents")).await.data().len(), 1);
    assert_eq!(world.get(Who::Viewer, "/v1/contacts").await.data().len(), 1);
    let audited = "SELECT count(*) AS count FROM audit_log WHERE action = 'contact.merge' \
                   AND reason = 'same person'";
    assert_eq!(world.db.count(audited).await.unwrap(), 1);
    let messages = "SELECT count(*) AS count FROM messages m JOIN conversations v ON v.id = m.conversation_id \
                    WHERE v.last_sequence = 5";
    assert_eq!(world.db.count(messages).await.unwrap(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_since_it_was_looked_at_is_not_merged() {
    let world = World::new().await;
    let twins = twins(&world).await;
    let seen = look(&world, &twins).await;
    let tag = format!("/v1/contacts/{}/tags/new", twins.goes);
    world.send(Who::Admin, actix_web::http::Method::PUT, &tag, &Value::Null).await;
    confirm(&world, Who::Admin, &seen).await.assert(422, Some("confirm_set_changed"), "changed");

    let seen = look(&world, &twins).await;
    world.clock.advance(TimeDelta::minutes(16));
    confirm(&world, Who::Admin, &seen).await.assert(422, Some("confirm_token_expired"), "late");
    assert_eq!(world.get(Who::Viewer, "/v1/contacts").await.data().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_nothing_in_another_workspace() {
    let world = World::new().await;
    let twins = twins(&world).await;
    let seen = look(&world, &twins).await;
    confirm(&world, Who::Stranger, &seen).await.assert(
        422,
        Some("confirm_set_changed"),
        "stranger",
    );
    assert_eq!(world.get(Who::Viewer, "/v1/contacts").await.data().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_merged_unseen() {
    let world = World::new().await;
    let Twins { keep, goes } = twins(&world).await;
    for body in [
        json!({ "keep": keep, "merge": [goes] }),
        json!({ "keep": keep, "merge": [goes], "dry_run": true, "confirm_token": "ct_x" }),
        json!({ "keep": keep, "merge": [keep], "dry_run": true }),
        json!({ "keep": keep, "merge": [], "dry_run": true }),
        json!({ "confirm_token": "ct_x" }),
        json!({}),
    ] {
        let answer = world.post(Who::Admin, MERGE, &body).await;
        answer.assert(422, Some("validation_failed"), &body.to_string());
    }
    assert_eq!(world.get(Who::Viewer, "/v1/contacts").await.data().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_known_by_user_id_alone_gains_the_number_of_the_other() {
    let world = World::new().await;
    let goes = world.writes("4915755500002").await.to_string();
    let keep = world.writes("4915755500001").await.to_string();
    let id = keep.trim_start_matches("ctc_");
    world.db.execute(&format!("UPDATE contacts SET wa_id = NULL WHERE id = '{id}'")).await.unwrap();
    let seen = look(&world, &Twins { keep, goes }).await;
    assert_eq!(seen.json()["numbers_lost"], json!([]));
    let kept = confirm(&world, Who::Admin, &seen).await.json();
    assert_eq!(kept["phone"], json!("+4915755500002"));
    assert_eq!(kept["user_id"], json!("DE.4915755500001"));
}
