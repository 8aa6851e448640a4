//! What a team does with conversations.

use actix_web::http::Method;
use chrono::TimeDelta;
use serde_json::{Value, json};
use storage::messages::Direction;

use super::threads::{Thread, thread};
use super::world::{Answer, Who, World};

const LENA: &str = "4915755512345";

async fn patch(world: &World, thread: &Thread, body: Value) -> Answer {
    let uri = format!("/v1/conversations/{}", thread.conversation);
    world.send(Who::Admin, Method::PATCH, &uri, &body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_assigned_closed_and_opened_again_and_each_is_told_once() {
    let world = World::new().await;
    let lena = thread(&world, LENA, &[Direction::Inbound]).await;
    for (change, member, value) in [
        (json!({ "assignee": "ada" }), "assignee", json!("ada")),
        (json!({ "status": "closed" }), "status", json!("closed")),
        (json!({ "status": "open", "assignee": null }), "assignee", Value::Null),
    ] {
        for _ in 0..2 {
            let changed = patch(&world, &lena, change.clone()).await;
            assert_eq!(changed.status, 200, "{}", changed.body);
            assert_eq!(changed.json()[member], value, "{change}");
        }
    }
    for (event, count) in
        [("conversation.assigned", 2), ("conversation.closed", 1), ("conversation.opened", 1)]
    {
        assert_eq!(world.count(&format!("events WHERE type = '{event}'")).await, count, "{event}");
    }
    for wrong in
        [json!({ "assignee": "none" }), json!({ "assignee": "" }), json!({ "status": "done" })]
    {
        patch(&world, &lena, wrong.clone()).await.assert(
            422,
            Some("validation_failed"),
            &wrong.to_string(),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_writes_opens_a_closed_conversation_and_is_unread() {
    let world = World::new().await;
    let lena = thread(&world, LENA, &[Direction::Inbound, Direction::Outbound]).await;
    let read = format!("/v1/conversations/{}/read", lena.conversation);
    let shown = async |answer: Answer| {
        let shown = answer.json();
        (shown["status"].as_str().unwrap().to_owned(), shown["unread"].as_i64().unwrap())
    };
    let closed = patch(&world, &lena, json!({ "status": "closed" })).await;
    assert_eq!(shown(closed).await, ("closed".to_owned(), 1));
    let marked = world.post(Who::Admin, &read, &json!({})).await;
    assert_eq!(shown(marked).await, ("closed".to_owned(), 0));
    more(&world, &lena, Direction::Outbound).await;
    let after_ours =
        world.get(Who::Viewer, &format!("/v1/conversations/{}", lena.conversation)).await;
    assert_eq!(shown(after_ours).await, ("closed".to_owned(), 0), "our own message is no news");
    more(&world, &lena, Direction::Inbound).await;
    let after_hers =
        world.get(Who::Viewer, &format!("/v1/conversations/{}", lena.conversation)).await;
    assert_eq!(shown(after_hers).await, ("open".to_owned(), 1));
    let back = world.post(Who::Admin, &read, &json!({ "through": 1 })).await;
    assert_eq!(shown(back).await, ("open".to_owned(), 1), "reading never goes back");
}

/// One more message in a thread.
async fn more(world: &World, lena: &Thread, direction: Direction) {
    let again = thread(world, LENA, &[direction]).await;
    assert_eq!(again.conversation, lena.conversation);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_took_over_from_the_bot_leaves_it_nothing_to_answer() {
    let world = World::new().await;
    let lena = thread(&world, LENA, &[Direction::Inbound]).await;
    for sql in [
        "INSERT INTO bots (id, workspace_id, name, created_at, updated_at) \
         SELECT gen_random_uuid(), workspace_id, 'Echo', now(), now() FROM connections",
        "INSERT INTO bot_connections SELECT c.id, b.id FROM connections c, bots b",
        "UPDATE conversations SET bot_sequence = 0",
    ] {
        world.db.execute(sql).await.unwrap();
    }
    let waits = "conversations WHERE bot_sequence < last_sequence";
    assert_eq!(world.count(waits).await, 1);
    assert_eq!(patch(&world, &lena, json!({ "bot": "off" })).await.json()["bot"], "off");
    assert_eq!(world.count(waits).await, 0, "what waited has had its turn");
    more(&world, &lena, Direction::Inbound).await;
    assert_eq!(world.count(waits).await, 0, "so has what comes meanwhile");
    assert_eq!(patch(&world, &lena, json!({ "bot": "on" })).await.json()["bot"], "on");
    assert_eq!(world.count(waits).await, 0, "and it stays so");
    more(&world, &lena, Direction::Inbound).await;
    assert_eq!(world.count(waits).await, 1, "what comes afterwards waits for the bot");
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_are_found_by_what_a_team_asks_for() {
    let world = World::new().await;
    let old = thread(&world, "4915755500001", &[Direction::Inbound]).await;
    let silent = thread(&world, "4915755500002", &[Direction::Outbound]).await;
    world.clock.advance(TimeDelta::hours(1));
    patch(&world, &old, json!({ "assignee": "ada", "status": "closed" })).await;
    let find = async |query: &str| {
        world.get(Who::Viewer, &format!("/v1/conversations?{query}")).await.ids()
    };
    let (old, silent) = (old.conversation.to_string(), silent.conversation.to_string());
    for (query, found) in [
        ("status=closed", &old),
        ("status=open", &silent),
        ("assignee=ada", &old),
        ("assignee=none", &silent),
        ("window=open", &old),
        ("window=closed", &silent),
        ("unread=true", &old),
        ("unread=false", &silent),
    ] {
        assert_eq!(find(query).await, [found.clone()], "{query}");
    }
    world.clock.advance(TimeDelta::hours(23));
    assert_eq!(find("window=closed").await, [silent, old]);
}
