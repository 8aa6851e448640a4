//! A person who asks for it is forgotten; nothing is sent to them twice, or at all, because of it.

use actix_web::http::Method;
use serde_json::{Value, json};

use crate::world::{Who, World};

async fn erase(world: &World, one: &str) -> crate::world::Answer {
    let uri = format!("{one}?reason=asked%20by%20mail");
    world.send(Who::Admin, Method::DELETE, &uri, &Value::Null).await
}

async fn text(world: &World, sql: &str) -> String {
    world.db.text(sql).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_forgotten_and_the_ledger_stays() {
    let world = World::new().await;
    let thread = world.thread("4915755500001", 6).await;
    let other = world.thread("4915755500009", 1).await;
    let campaign =
        world.campaign(&thread, &["accepted", "failed", "unknown", "ready", "held"]).await;
    let one = format!("/v1/contacts/{}", thread.contact);
    world.post(Who::Admin, &format!("{one}/notes"), &json!({ "text": "Likes tea." })).await;
    world.post(Who::Admin, &format!("{one}/opt-out"), &json!({ "text": "No!" })).await;

    let erased = erase(&world, &one).await;
    erased.assert(200, None, "erased");
    let told = erased.json();
    assert_eq!(
        (&told["conversations"], &told["messages"], &told["cancelled"]),
        (&json!(1), &json!(6), &json!(4))
    );
    assert_eq!(world.get(Who::Admin, &one).await.status, 404);
    assert_eq!(erase(&world, &one).await.status, 404);

    // Nothing in any table names the person; every row of the ledger is there.
    for table in [
        "contacts",
        "contact_notes",
        "contact_consents",
        "messages",
        "outbound_messages",
        "campaign_recipients",
        "campaign_uploads",
        "audit_log",
    ] {
        let naming = format!(
            "SELECT count(*) AS count FROM {table} t WHERE t::text LIKE '%4915755500001%' \
             OR t::text LIKE '%message %' AND t::text LIKE '%{}%' OR t::text LIKE '%tea%' OR t::text LIKE '%No!%'",
            thread.contact.as_uuid()
        );
        assert_eq!(world.db.count(&naming).await.unwrap(), 0, "{table}");
    }
    let states = "SELECT string_agg(state, ' ' ORDER BY position) AS text FROM outbound_messages";
    assert_eq!(text(&world, states).await, "accepted cancelled cancelled cancelled cancelled");
    let counts = format!(
        "SELECT string_agg(state || ' ' || reason || ' ' || n, ', ' ORDER BY state, reason) AS text \
         FROM campaign_counts WHERE campaign_id = '{campaign}' AND n <> 0"
    );
    assert_eq!(text(&world, &counts).await, "accepted  1, skipped cancelled 4");
    let open = "SELECT count(*) AS count FROM conversations WHERE bot_sequence < last_sequence";
    let their_open = format!("{open} AND contact_id = '{}'", thread.contact.as_uuid());
    assert_eq!(world.db.count(&their_open).await.unwrap(), 0);
    // Nobody else lost anything.
    let kept = format!("/v1/contacts/{}", other.contact);
    assert_eq!(world.get(Who::Admin, &kept).await.json()["phone"], json!("+4915755500009"));
    assert_eq!(
        text(&world, "SELECT body AS text FROM messages WHERE body IS NOT NULL").await,
        "message 1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_is_in_the_audit_log_without_a_name_or_a_number() {
    let world = World::new().await;
    let thread = world.thread("4915755500001", 1).await;
    let one = format!("/v1/contacts/{}", thread.contact);
    let audit = erase(&world, &one).await.json()["audit"].as_str().unwrap().to_owned();
    let entry = format!(
        "SELECT action || '|' || target || '|' || reason AS text FROM audit_log WHERE id = '{}'",
        audit.trim_start_matches("aud_")
    );
    let expected = format!("contact.erase|{}|asked by mail", thread.contact);
    assert_eq!(text(&world, &entry).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_message_is_on_its_way_nobody_is_erased() {
    let world = World::new().await;
    let thread = world.thread("4915755500001", 1).await;
    world.campaign(&thread, &["sending"]).await;
    let one = format!("/v1/contacts/{}", thread.contact);
    erase(&world, &one).await.assert(409, Some("state_conflict"), "on its way");
    assert_eq!(world.get(Who::Admin, &one).await.json()["phone"], json!("+4915755500001"));
    assert_eq!(text(&world, "SELECT body AS text FROM messages").await, "message 1");
    world.db.execute("UPDATE outbound_messages SET state = 'accepted'").await.unwrap();
    erase(&world, &one).await.assert(200, None, "it has arrived");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_after_being_erased_is_somebody_new() {
    let world = World::new().await;
    let thread = world.thread("4915755500001", 1).await;
    erase(&world, &format!("/v1/contacts/{}", thread.contact)).await.assert(200, None, "erased");
    let again = world.thread("4915755500001", 1).await;
    assert_ne!(again.contact, thread.contact);
    assert_ne!(again.conversation, thread.conversation);
}
