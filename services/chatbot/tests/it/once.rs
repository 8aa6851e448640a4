//! However often and wherever a hint is delivered, a message is answered once, in order.

use crate::crowd::{Setup, with_crowd};
use crate::world::{World, number, text};
use kernel::{UserId, WaId};

/// Replies whose place in the ledger or the thread is not their message's.
const OUT_OF_ORDER: &str = "(SELECT o.position, lag(o.position) OVER w AS position_before, \
     r.sequence, lag(r.sequence) OVER w AS sequence_before FROM bot_turns t \
     JOIN messages m ON m.id = t.message_id JOIN messages r ON r.id = t.reply_message_id \
     JOIN outbound_messages o ON o.id = r.id \
     WINDOW w AS (PARTITION BY m.conversation_id ORDER BY m.sequence)) AS s \
     WHERE position < position_before OR sequence < sequence_before";

#[tokio::test(flavor = "multi_thread")]
async fn hints_given_twice_to_four_chatbots_at_once_are_answered_once_and_in_order() {
    let world = World::new().await;
    world.bot(&[("prefix", "m", "re: {{text}}")]).await;
    with_crowd(&world, Setup { chatbots: 4, ..Setup::default() }, async |crowd| {
        for customer in 0..20 {
            let said = ["m1", "m2", "m3", "m4", "m5"].map(text);
            let events = world.say(number(&format!("4915755500{customer:03}")), &said).await;
            crowd.hint(&events).await;
            crowd.hint(&events).await;
        }
        world.until(100, "outbound_messages").await;
        // Everything is answered: what is still on its way must change nothing.
        let marker = world.say(number("4915755599999"), &[text("marker")]).await;
        crowd.hint(&marker).await;
        world.until(101, "bot_turns WHERE outcome = 'replied'").await;
    })
    .await;
    assert_eq!(world.count("outbound_messages").await, 101);
    assert_eq!(world.count("messages WHERE direction = 'outbound'").await, 101);
    assert_eq!(world.count("bot_turns").await, 101);
    assert_eq!(world.count(OUT_OF_ORDER).await, 0);
    let uneven = "conversations c WHERE last_sequence <> \
                  (SELECT count(*) FROM messages m WHERE m.conversation_id = c.id)";
    assert_eq!(world.count(uneven).await, 0);
    let right = "messages m JOIN bot_turns t ON t.message_id = m.id JOIN messages r \
                 ON r.id = t.reply_message_id WHERE r.body = 're: ' || m.body";
    assert_eq!(world.count(right).await, 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_delivered_again_after_the_commit_changes_nothing() {
    let world = World::new().await;
    world.bot(&[("any", "", "hello {{name}}")]).await;
    let events = world.say(number("4915755512345"), &[text("hi")]).await;
    with_crowd(&world, Setup::default(), async |crowd| {
        crowd.hint(&events).await;
        world.until(1, "bot_turns").await;
    })
    .await;
    // A new process gets what the first one did not acknowledge.
    with_crowd(&world, Setup::default(), async |crowd| {
        crowd.hint(&events).await;
        crowd.hint(&events).await;
        let more = world.say(number("4915755512345"), &[text("more")]).await;
        crowd.hint(&more).await;
        world.until(2, "bot_turns").await;
    })
    .await;
    assert_eq!(world.count("outbound_messages").await, 2);
    let shape = "outbound_messages o JOIN bot_turns t ON t.reply_message_id = o.id \
                 WHERE o.dedupe_key = 'b:' || replace(t.message_id::text, '-', '') \
                 AND o.recipient = '4915755512345' AND o.source = 'bot' AND o.state = 'ready' \
                 AND o.on_doubt = 'resend' AND o.resend_until > now() \
                 AND convert_from(o.content, 'UTF8')::jsonb ->> 'body' = 'hello Ada'";
    assert_eq!(world.count(shape).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_whose_hint_was_lost_is_played_by_the_sweep() {
    let world = World::new().await;
    world.bot(&[("any", "", "hello")]).await;
    world.say(number("4915755512345"), &[text("is anybody there?")]).await;
    world.db.execute("DELETE FROM outbox").await.unwrap();
    let ahead = chrono::TimeDelta::seconds(60);
    with_crowd(&world, Setup { ahead, ..Setup::default() }, async |_crowd| {
        world.until(1, "outbound_messages").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_conversation_became_part_of_another_is_still_answered() {
    let world = World::new().await;
    world.bot(&[("any", "", "re: {{text}}")]).await;
    let (person, user) = (WaId::new("4915755512345"), UserId::new("DE.1"));
    world.say((Some(person.clone()), None), &[text("by number")]).await;
    let hint = world.say((None, Some(user.clone())), &[text("by user id")]).await;
    // Now both turn out to be one person, and one of the two conversations is gone.
    world.say((Some(person), Some(user)), &[text("by both")]).await;
    assert_eq!(world.count("conversations").await, 1);
    with_crowd(&world, Setup::default(), async |crowd| {
        crowd.hint(&hint).await;
        world.until(3, "bot_turns WHERE outcome = 'replied'").await;
    })
    .await;
}
