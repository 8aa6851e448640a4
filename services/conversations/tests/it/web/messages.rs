//! What may be said, how it reaches Meta, and what can be found of it later.

use chrono::TimeDelta;
use insta::{assert_json_snapshot, assert_snapshot};
use kernel::{Clock, PhoneNumberId};
use serde_json::{Value, json};
use storage::messages::Direction;
use whatsapp::webhook::{Known, of_known};

use super::threads::{Thread, thread};
use super::world::{Answer, Who, World};

const LENA: &str = "4915755512345";

async fn say(world: &World, thread: &Thread, body: &Value) -> Answer {
    let uri = format!("/v1/conversations/{}/messages", thread.conversation);
    world.post(Who::Admin, &uri, body).await
}

/// What the ledger hands to Meta, newest last.
async fn contents(world: &World) -> Vec<Value> {
    let sql = "SELECT json_agg(convert_from(content, 'UTF8')::json ORDER BY position)::text AS text \
               FROM outbound_messages WHERE source = 'agent'";
    serde_json::from_str(&world.db.text(sql).await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_message_is_handed_on_as_meta_takes_it() {
    let world = World::new().await;
    let thread = thread(&world, LENA, &[Direction::Inbound]).await;
    let inbound = thread.messages[0];
    let interactive = |kind: &str, action: Value| json!({ "interactive": { "type": kind, "body": { "text": "Well?" }, "action": action } });
    let bodies = [
        json!({ "type": "text", "text": { "body": "hello", "preview_url": true }, "reply_to": inbound }),
        json!({ "image": { "id": "1037543291543636", "caption": "ours" } }),
        json!({ "video": { "link": "https://acme.example/film.mp4" } }),
        json!({ "audio": { "id": "1037543291543636", "voice": true } }),
        json!({ "document": { "link": "https://acme.example/a.pdf", "filename": "a.pdf" } }),
        json!({ "sticker": { "id": "1037543291543636" } }),
        json!({ "location": { "latitude": 52.5, "longitude": 13.4, "name": "Shop" } }),
        json!({ "contacts": [{ "name": { "formatted_name": "Ada King", "first_name": "Ada" } }] }),
        json!({ "reaction": { "message": inbound, "emoji": "👍🏽" } }),
        interactive(
            "button",
            json!({ "buttons": [
            { "type": "reply", "reply": { "id": "yes", "title": "Yes" } }] }),
        ),
        interactive(
            "list",
            json!({ "button": "Choose", "sections": [
            { "rows": [{ "id": "1", "title": "One" }] }] }),
        ),
        interactive(
            "cta_url",
            json!({ "name": "cta_url", "parameters": {
            "display_text": "Open", "url": "https://acme.example" } }),
        ),
        interactive(
            "flow",
            json!({ "name": "flow", "parameters": {
            "flow_message_version": "3", "flow_id": "1", "flow_cta": "Book" } }),
        ),
        interactive("location_request_message", json!({ "name": "send_location" })),
        json!({ "template": { "name": "order_shipped", "language": "en", "params": {
            "header": [{ "type": "image", "image": { "id": "1037543291543636" } }],
            "body": { "order": "8841" }, "buttons": [null, "8841"] } } }),
        json!({ "template": { "name": "spring", "language": "en_US", "params": { "cards": [
            { "header": [{ "type": "image", "image": { "id": "1" } }], "body": ["A"] },
            { "header": [{ "type": "image", "image": { "id": "2" } }], "body": ["B"] }] } } }),
    ];
    for body in &bodies {
        let answer = say(&world, &thread, body).await;
        assert_eq!(answer.status, 202, "{body}: {}", answer.body);
    }
    assert_json_snapshot!("contents", contents(&world).await);
    let uri = format!("/v1/conversations/{}/messages?limit=16", thread.conversation);
    let mut shown: Vec<Value> = world.get(Who::Viewer, &uri).await.data();
    shown.reverse();
    let shown: Vec<_> = shown.iter().map(|message| (&message["kind"], &message["text"])).collect();
    assert_json_snapshot!("thread_of_contents", shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_can_only_be_about_one_that_meta_knows_in_this_thread() {
    let world = World::new().await;
    let directions = [Direction::Inbound, Direction::Outbound];
    let lena = thread(&world, LENA, &directions).await;
    let other = thread(&world, "4915755599999", &[Direction::Inbound]).await;
    let wrong = async |body: Value| {
        let answer = say(&world, &lena, &body).await;
        assert_eq!(answer.status, 422, "{}", answer.body);
        answer.json()["errors"][0]["code"].as_str().unwrap().to_owned()
    };
    let reply = |to| json!({ "text": { "body": "hello" }, "reply_to": to });
    let react = |to| json!({ "reaction": { "message": to, "emoji": "" } });
    assert_eq!(wrong(reply(other.messages[0])).await, "unknown_message");
    assert_eq!(wrong(react(other.messages[0])).await, "unknown_message");
    assert_eq!(wrong(reply(lena.messages[1])).await, "not_sent_yet");
    world
        .db
        .execute("UPDATE outbound_messages SET wamid = 'wamid.OUT', state = 'accepted'")
        .await
        .unwrap();
    assert_eq!(say(&world, &lena, &reply(lena.messages[1])).await.status, 202);
    let old = "UPDATE messages SET created_at = created_at - interval '31 days'";
    world.db.execute(old).await.unwrap();
    assert_eq!(wrong(react(lena.messages[1])).await, "too_old");
    assert_eq!(say(&world, &lena, &reply(lena.messages[1])).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_meta_would_refuse_is_refused_with_its_place_before_anything_is_queued() {
    let world = World::new().await;
    let thread = thread(&world, LENA, &[Direction::Inbound]).await;
    let text = json!({ "body": "hello" });
    let buttons: Vec<Value> = (0..4)
        .map(|n| json!({ "type": "reply", "reply": { "id": n.to_string(), "title": "x".repeat(21) } }))
        .collect();
    let body = json!({ "interactive": {
        "type": "button", "body": { "text": "" }, "action": { "buttons": buttons } } });
    assert_snapshot!("message_refused", say(&world, &thread, &body).await.shown());
    for (body, pointer) in [
        (json!({}), ""),
        (json!({ "text": text, "image": { "id": "1" } }), ""),
        (json!({ "text": text, "type": "image" }), "/type"),
        (json!({ "text": text, "metadata": { "a": [] } }), "/metadata"),
        (json!({ "text": { "body": "a\u{0}" } }), "/text"),
        (json!({ "text": text, "to": "+4915755512345" }), ""),
        (json!({ "text": text, "on_limit": "drop" }), "/on_limit"),
    ] {
        let answer = say(&world, &thread, &body).await;
        answer.assert(422, Some("validation_failed"), &body.to_string());
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{body}");
    }
    assert_eq!(world.count("outbound_messages").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_found_by_everything_a_caller_may_know_of_them() {
    let world = World::new().await;
    let directions = [Direction::Inbound, Direction::Outbound, Direction::Echo];
    let lena = thread(&world, LENA, &directions).await;
    let other = thread(&world, "4915755599999", &[Direction::Outbound]).await;
    let accept = format!(
        "UPDATE outbound_messages SET state = 'unknown', wamid = 'wamid.OUT' WHERE id = '{}'",
        lena.messages[1].as_uuid()
    );
    world.db.execute(&accept).await.unwrap();
    let find =
        async |query: &str| world.get(Who::Viewer, &format!("/v1/messages{query}")).await.ids();
    let id = |thread: &Thread, place: usize| thread.messages[place].to_string();
    let of_lena = [id(&lena, 2), id(&lena, 1), id(&lena, 0)];
    assert_eq!(find("").await.len(), 4);
    assert_eq!(find(&format!("?contact={}", lena.contact)).await, of_lena);
    assert_eq!(find(&format!("?conversation={}", lena.conversation)).await, of_lena);
    assert_eq!(find(&format!("?connection={}&limit=1", lena.connection)).await, [id(&other, 0)]);
    assert_eq!(find("?wamid=wamid.OUT").await, [id(&lena, 1)]);
    assert_eq!(find("?wamid=wamid.IN").await, [id(&lena, 2), id(&lena, 0)]);
    assert_eq!(find("?status=uncertain").await, [id(&lena, 1)]);
    assert_eq!(find("?status=queued&status=received").await, [id(&other, 0), id(&lena, 0)]);
    assert_eq!(find("?status=sent").await, [id(&lena, 2)]);
    assert_eq!(find("?created_before=2026-11-22T10:00:00Z").await, Vec::<String>::new());
    let one = world.get(Who::Viewer, &format!("/v1/messages/{}", lena.messages[1])).await.json();
    assert_eq!((&one["status"], &one["source"]), (&json!("uncertain"), &json!("bot")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_tells_events_tries_and_the_copies_that_changed_nothing() {
    let world = World::new().await;
    let thread = thread(&world, LENA, &[Direction::Inbound]).await;
    let uri = format!("/v1/conversations/{}/messages", thread.conversation);
    let body = json!({ "text": { "body": "hello" } });
    let made = world.keyed(Who::Admin, &uri, "k", &body).await.json();
    world.keyed(Who::Admin, &uri, "k", &body).await;
    let id: kernel::ids::MessageId = made["id"].as_str().unwrap().parse().unwrap();
    let line = PhoneNumberId::new("290184457761305");
    let delivered = Known::Status { status: "delivered", recipient: LENA, code: None };
    let delivered = uuid::Uuid::from_bytes(of_known(line.as_str(), "wamid.OUT", delivered));
    let received = uuid::Uuid::from_bytes(of_known(line.as_str(), "wamid.IN", Known::Message));
    let at = world.clock.now() + TimeDelta::seconds(1);
    for sql in [
        format!("UPDATE outbound_messages SET wamid = 'wamid.OUT' WHERE id = '{}'", id.as_uuid()),
        format!(
            "INSERT INTO send_attempts (id, message_id, connection_id, epoch, worker, state, \
             created_at, deadline_at, http_status, resolved_by) VALUES (gen_random_uuid(), '{}', \
             '{}', 1, 'host/7', 'accepted', '{at}', '{at}', 200, 'response')",
            id.as_uuid(),
            thread.connection.as_uuid()
        ),
        format!(
            "INSERT INTO inbound_ledger VALUES ('{delivered}', '{at}', 3), ('{received}', '{at}', 2)"
        ),
    ] {
        world.db.execute(&sql).await.unwrap();
    }
    let timeline = world.get(Who::Viewer, made["links"]["timeline"].as_str().unwrap()).await;
    assert_snapshot!("timeline", timeline.shown());
    let inbound = format!("/v1/messages/{}/timeline", thread.messages[0]);
    let suppressed = world.get(Who::Viewer, &inbound).await.json()["data"][0].clone();
    assert_eq!((&suppressed["of"], &suppressed["count"]), (&json!("webhook"), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_decides_about_an_uncertain_message_once() {
    let world = World::new().await;
    let thread = thread(&world, LENA, &[Direction::Outbound; 3]).await;
    let unknown = "UPDATE outbound_messages SET state = 'unknown', epoch = 1";
    world.db.execute(unknown).await.unwrap();
    let decide = async |place: usize, decision: &str| {
        let uri = format!("/v1/messages/{}/resolve", thread.messages[place]);
        let body = json!({ "as": decision, "reason": "asked Lena" });
        let answer = world.post(Who::Admin, &uri, &body).await;
        let json = answer.json();
        (answer.status, json["status"].as_str().or(json["code"].as_str()).unwrap().to_owned())
    };
    for (place, decision, status) in
        [(0, "sent", "accepted"), (1, "not_sent", "failed"), (2, "resend", "queued")]
    {
        assert_eq!(decide(place, decision).await, (200, status.to_owned()));
        assert_eq!(decide(place, decision).await, (200, status.to_owned()), "said again");
        let other = if decision == "sent" { "not_sent" } else { "sent" };
        let answer = decide(place, other).await;
        assert_eq!(answer.0, 409, "{place} {other}: {answer:?}");
    }
    assert_eq!(world.count("events WHERE type = 'message.resolved'").await, 3);
}
