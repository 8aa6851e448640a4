//! Which rules answer: those made before the message, and those that can be used.

use actix_web::http::Method;
use serde_json::json;

use crate::client::Client;
use crate::crowd::{Setup, with_crowd};
use crate::world::{World, number, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_changed_just_before_a_message_answers_it() {
    let world = World::new().await;
    with_crowd(&world, Setup::default(), async |crowd| {
        let client = Client::new(crowd.chatbot(), world.workspace);
        let bot = json!({ "name": "Echo", "connections": [world.connection] });
        let bot = client.created("/v1/bots", bot).await;
        let rules = format!("/v1/bots/{bot}/rules");
        let rule = client.created(&rules, rule("reply 0")).await;
        for round in 1..=5 {
            let reply = format!("reply {round}");
            let patch = json!({ "reply": rule_reply(&reply) });
            let changed = client.call(Method::PATCH, &format!("{rules}/{rule}"), patch).await;
            assert_eq!(changed.status, 200, "{}", changed.body);
            crowd.hint(&world.say(number("4915755512345"), &[text("test")]).await).await;
            world.until(1, &format!("messages WHERE body = '{reply}'")).await;
        }
        let path = format!("/v1/bots/{bot}");
        let off = client.call(Method::PATCH, &path, json!({ "enabled": false })).await;
        assert_eq!(off.status, 200);
        crowd.hint(&world.say(number("4915755512345"), &[text("test")]).await).await;
        let unplayed = "messages m JOIN conversations c ON c.id = m.conversation_id \
                        WHERE m.direction = 'inbound' AND m.sequence > c.bot_sequence";
        world.until(0, unplayed).await;
    })
    .await;
    assert_eq!(world.count("outbound_messages").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_cannot_be_used_any_more_do_not_silence_their_bot() {
    let world = World::new().await;
    world.bot(&[("regex", "(", "a"), ("fuzzy", "test", "b"), ("exact", "test", "c")]).await;
    let events = world.say(number("4915755512345"), &[text("test")]).await;
    with_crowd(&world, Setup::default(), async |crowd| {
        crowd.hint(&events).await;
        world.until(1, "messages WHERE direction = 'outbound' AND body = 'c'").await;
    })
    .await;
}

fn rule(reply: &str) -> serde_json::Value {
    json!({ "match": { "kind": "exact", "value": "test" }, "reply": rule_reply(reply) })
}

fn rule_reply(body: &str) -> serde_json::Value {
    json!({ "type": "text", "text": { "body": body } })
}
