//! Locks: who holds what, and a release by hand.

use std::time::Duration;

use actix_web::http::Method;
use coordination::{Hold, LockName, Locked, Patience};
use kernel::{WaId, Wamid};
use serde_json::{Value, json};

use super::world::{Who, World, until_waiting};

fn lock_of(world: &World) -> String {
    format!("/v1/ops/locks/template_sync:connection:{}", world.connection)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_lock_tells_who_holds_it_for_how_long_and_what_a_release_would_do() {
    let world = World::new().await;
    let guard = world.hold(LockName::TemplateSync(world.connection)).await;
    let held = world.get(Who::Viewer, &lock_of(&world)).await.json();
    assert_eq!(held["object"], "lock");
    assert_eq!(held["name"], format!("template_sync:connection:{}", world.connection));
    assert_eq!(held["class"], "template_sync");
    assert_eq!(held["owner"], "conversations@pod-1/17");
    assert_eq!(held["owner_token_prefix"].as_str().unwrap().len(), 16);
    assert!(held["fence"].as_i64().unwrap() > 0);
    assert_eq!(held["subject"], "Main");
    assert_eq!(held["waiters"], 0);
    // Not renewed: nothing can be said but when it ends at the latest.
    assert_eq!(held["life"], "unknown");
    let left = held["ttl_left_ms"].as_u64().unwrap();
    assert!((200_000..=300_000).contains(&left), "{held:#}");
    assert!(held["if_released"].as_str().unwrap().contains("protected by"));
    assert_eq!(world.get(Who::Viewer, "/v1/ops/locks").await.data().len(), 1);
    assert_eq!(guard.release().await, Hold::Kept);
    world.get(Who::Viewer, &lock_of(&world)).await.assert(404, Some("not_found"), "a free lock");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_lock_goes_to_its_waiter_and_its_holder_has_lost_it() {
    let world = World::new().await;
    let name = LockName::TemplateSync(world.connection);
    let guard = world.hold(name.clone()).await;
    let uri = lock_of(&world);
    let waiter = world.coordination.locks().with_lock(
        name,
        Patience::UpTo(Duration::from_secs(20)),
        async || (),
    );
    let operator = async {
        until_waiting(&world, &uri).await;
        let token = world.get(Who::Operator, &uri).await.json()["owner_token_prefix"].clone();
        let body = json!({ "owner_token_prefix": token, "reason": "its process is gone" });
        world.send(Who::Operator, Method::POST, &format!("{uri}/release"), &body).await
    };
    let (waited, released) = tokio::join!(waiter, operator);
    assert_eq!(waited.unwrap(), Locked::Ran(()));
    let released = released.json();
    assert_eq!((&released["outcome"], &released["waiters"]), (&json!("released"), &json!(1)));
    assert_eq!(guard.release().await, Hold::Lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_changed_hands_is_not_released() {
    let world = World::new().await;
    let name = LockName::TemplateSync(world.connection);
    let uri = lock_of(&world);
    let first = world.hold(name.clone()).await;
    let token = world.get(Who::Admin, &uri).await.json()["owner_token_prefix"].clone();
    assert_eq!(first.release().await, Hold::Kept);
    // The next owner takes it at once: its token begins with almost the same time.
    let second = world.hold(name).await;
    let body = json!({ "owner_token_prefix": token, "reason": "stuck" });
    let answer = world.send(Who::Admin, Method::POST, &format!("{uri}/release"), &body).await;
    answer.assert(409, Some("lock_owner_changed"), "a release of the former owner");
    assert_ne!(answer.json()["existing"]["owner_token_prefix"], token);
    assert!(second.is_valid());
    assert_eq!(second.release().await, Hold::Kept);
    assert_eq!(world.count("audit_log").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_without_a_reason_or_with_too_short_a_token_is_refused() {
    let world = World::new().await;
    let guard = world.hold(LockName::TemplateSync(world.connection)).await;
    let uri = format!("{}/release", lock_of(&world));
    let held = world.get(Who::Admin, &lock_of(&world)).await.json();
    let short = held["owner_token_prefix"].as_str().unwrap().get(..8).unwrap().to_owned();
    for (body, pointer) in [
        (json!({ "owner_token_prefix": "0123456789abcdef", "reason": "  " }), "/reason"),
        (json!({ "owner_token_prefix": short, "reason": "stuck" }), "/owner_token_prefix"),
    ] {
        let answer = world.send(Who::Admin, Method::POST, &uri, &body).await;
        answer.assert(422, Some("validation_failed"), pointer);
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
    }
    for body in [json!({ "reason": "stuck" }), json!({ "owner_token_prefix": "0123456789abcdef" })]
    {
        let answer = world.send(Who::Admin, Method::POST, &uri, &body).await;
        answer.assert(422, Some("validation_failed"), "a member is missing");
    }
    assert_eq!(guard.release().await, Hold::Kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn phone_numbers_are_masked_unless_asked_for() {
    let world = World::new().await;
    let one = LockName::WhatsAppSend(world.connection, WaId::new("15551234567"));
    let _one = world.hold(one).await;
    let listed = world.get(Who::Viewer, "/v1/ops/locks").await;
    assert!(!listed.body.contains("1555"), "{}", listed.body);
    let masked = format!("whatsapp_send:{}:*4567", world.connection);
    assert_eq!(listed.data()[0]["name"], masked);
    let shown = world.get(Who::Viewer, "/v1/ops/locks?unmask=true").await.data();
    let plain = format!("whatsapp_send:{}:15551234567", world.connection);
    assert_eq!(shown[0]["name"], plain);
    // Both spellings lead there.
    for name in [&masked, &plain] {
        let found = world.get(Who::Viewer, &format!("/v1/ops/locks/{name}")).await;
        assert_eq!(found.json()["name"], masked, "{}", found.body);
    }
    // Two people whose numbers end alike: the masked name is no name any more.
    let other = LockName::WhatsAppSend(world.connection, WaId::new("15559994567"));
    let _other = world.hold(other).await;
    let found = world.get(Who::Viewer, &format!("/v1/ops/locks/{masked}")).await;
    found.assert(409, Some("state_conflict"), "an ambiguous name");
    let token = shown[0]["owner_token_prefix"].clone();
    let body = json!({ "owner_token_prefix": token, "reason": "stuck" });
    let uri = format!("/v1/ops/locks/{masked}/release");
    let released = world.send(Who::Admin, Method::POST, &uri, &body).await;
    assert_eq!(released.json()["outcome"], "released", "the token tells them apart");
    let kept = "audit_log a WHERE a::text LIKE '%1555%'";
    assert_eq!(world.count(kept).await, 0, "the audit log holds no number");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_id_with_a_slash_is_found_by_its_name() {
    let world = World::new().await;
    let _held = world.hold(LockName::WebhookMessage(Wamid::new("wamid.HBgN/+==8f2a"))).await;
    let view = console::View::Installation;
    let name = "webhook_message:wamid.HBgN/+==8f2a";
    let found = world.desk.find_locks(view, name, console::Naming::Masked).await.unwrap();
    assert_eq!(found[0].name, "webhook_message:*8f2a");
    // By HTTP nobody sees it; the path is read all the same.
    let uri = "/v1/ops/locks/webhook_message:wamid.HBgN%2F+==8f2a";
    world.get(Who::Admin, uri).await.assert(404, Some("not_found"), uri);
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_come_in_pages_and_by_class() {
    let world = World::new().await;
    let mut guards = Vec::new();
    for number in 0..5 {
        let person = WaId::new(format!("1555123456{number}"));
        guards.push(world.hold(LockName::WhatsAppSend(world.connection, person)).await);
    }
    guards.push(world.hold(LockName::TemplateSync(world.connection)).await);
    let mut names: Vec<Value> = Vec::new();
    let mut uri = "/v1/ops/locks?limit=4".to_owned();
    loop {
        let page = world.get(Who::Admin, &uri).await;
        names.extend(page.data().into_iter().map(|held| held["name"].clone()));
        let Some(cursor) = page.json()["next_cursor"].as_str().map(str::to_owned) else { break };
        uri = format!("/v1/ops/locks?limit=4&cursor={cursor}");
    }
    assert_eq!(names.len(), 6);
    names.sort_by_key(Value::to_string);
    names.dedup();
    assert_eq!(names.len(), 6, "each on one page");
    let syncs = world.get(Who::Admin, "/v1/ops/locks?class=template_sync").await.data();
    assert_eq!(syncs.len(), 1);
    let mistyped = world.get(Who::Admin, "/v1/ops/locks?class=template_sink").await;
    mistyped.assert(422, Some("validation_failed"), "a class that does not exist");
}
