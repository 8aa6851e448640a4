//! Where a bot stays silent, and says so.

use chrono::TimeDelta;

use crate::crowd::{Setup, with_crowd};
use crate::world::{Said, World, number, text};

#[tokio::test(flavor = "multi_thread")]
async fn after_five_replies_in_a_minute_messages_are_kept_and_the_bot_is_silent() {
    let world = World::new().await;
    world.bot(&[("any", "", "hello")]).await;
    let said = ["1", "2", "3", "4", "5", "6", "7"].map(text);
    let events = world.say(number("4915755512345"), &said).await;
    // Four at once: the limit counts messages, not how often they are looked at.
    with_crowd(&world, Setup { chatbots: 4, ..Setup::default() }, async |crowd| {
        crowd.hint(&events).await;
        world.until(7, "bot_turns").await;
    })
    .await;
    assert_eq!(world.count("bot_turns WHERE outcome = 'replied'").await, 5);
    assert_eq!(world.count("bot_turns WHERE outcome = 'rate_limited'").await, 2);
    assert_eq!(world.count("outbound_messages").await, 5);
    assert_eq!(world.count("messages WHERE direction = 'inbound'").await, 7);
    let told = "events e JOIN bot_turns t ON t.message_id = e.message_id \
                WHERE e.type = 'bot.silent' AND t.outcome = 'rate_limited' \
                AND position('rate_limited'::bytea IN e.body) > 0";
    assert_eq!(world.count(told).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_a_bot_still_answers_and_keeps_its_limit() {
    let world = World::new().await;
    world.bot(&[("any", "", "hello")]).await;
    let said = ["1", "2", "3", "4", "5", "6"].map(text);
    let events = world.say(number("4915755512345"), &said).await;
    with_crowd(&world, Setup { is_redis_up: false, ..Setup::default() }, async |crowd| {
        crowd.hint(&events).await;
        world.until(6, "bot_turns").await;
    })
    .await;
    assert_eq!(world.count("outbound_messages").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_messages_and_what_is_no_utterance_are_not_answered() {
    let world = World::new().await;
    world.bot(&[("exact", "test", "works")]).await;
    let day = TimeDelta::hours(24);
    let said = [
        Said { age: day + TimeDelta::seconds(5), ..text("test") },
        Said { kind: "reaction", ..text("test") },
        text("nothing I know"),
        text("test"),
    ];
    let events = world.say(number("4915755512345"), &said).await;
    with_crowd(&world, Setup::default(), async |crowd| {
        crowd.hint(&events).await;
        world.until(4, "bot_turns").await;
    })
    .await;
    for outcome in ["outside_window", "ignored", "no_match", "replied"] {
        let turns = format!("bot_turns WHERE outcome = '{outcome}'");
        assert_eq!(world.count(&turns).await, 1, "{outcome}");
    }
    assert_eq!(world.count("outbound_messages").await, 1);
    assert_eq!(world.count("events WHERE type = 'bot.silent'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_comes_later_does_not_answer_what_was_said_before() {
    let world = World::new().await;
    let before = world.say(number("4915755512345"), &[text("test")]).await;
    with_crowd(&world, Setup::default(), async |crowd| {
        crowd.hint(&before).await;
        world.until(0, "conversations WHERE bot_sequence < last_sequence").await;
        world.bot(&[("any", "", "hello")]).await;
        let after = world.say(number("4915755512345"), &[text("test")]).await;
        crowd.hint(&before).await;
        crowd.hint(&after).await;
        world.until(1, "bot_turns").await;
    })
    .await;
    assert_eq!(world.count("outbound_messages").await, 1);
}
