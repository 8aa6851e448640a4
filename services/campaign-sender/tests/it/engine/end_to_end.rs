//! From a draft to the last message.

use serde_json::json;
use testkit::{eventually_within, unique_name};

use super::world::{PATIENCE, Sends, World, system_clock};

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_people_get_one_message_each_and_the_numbers_add_up_at_every_poll() {
    let world = World::new(600_000).await;
    world.contacts(2_000).await;
    let campaign = world.campaign(json!({ "tags": ["vip"] }), "").await;
    // Locks that do not exclude each other: both processes drive the campaign at once.
    let processes = vec![
        world.process_in(&unique_name(), system_clock(), Sends::Yes).await,
        world.process_in(&unique_name(), system_clock(), Sends::Yes).await,
    ];
    let mut polls = 0;
    eventually_within(PATIENCE, "the campaign is completed", async || {
        let (kept, recounted) = world.numbers(campaign).await;
        assert!(kept.agrees_with(&recounted), "{kept:?} {recounted:?}");
        assert!(kept.pending() >= 0, "{kept:?}");
        polls += 1;
        (world.status(campaign).await == "completed").then_some(())
    })
    .await;
    assert!(polls > 1);
    let sent = world.meta.count_by(|sent| sent.recipient.clone());
    assert_eq!((sent.len(), world.meta.sent_count()), (2_000, 2_000));
    assert_eq!(world.meta.violations(), []);
    let message = &world.meta.sent_to("49155000000007")[0];
    let text = &message.body["template"]["components"][0]["parameters"][0]["text"];
    assert_eq!(text, "Person 7");
    assert_eq!(
        world.count("messages WHERE kind = 'template' AND body LIKE 'Person %'").await,
        2_000
    );
    assert_eq!(world.count("events WHERE type = 'campaign.completed'").await, 1);
    assert_eq!(world.count("campaign_log WHERE action = 'completed'").await, 1);
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_a_window_is_in_the_ledger() {
    let world = World::new(600).await;
    world.contacts(2_000).await;
    let campaign = world.campaign(json!({ "tags": ["vip"] }), "").await;
    let processes = vec![world.process(system_clock(), Sends::No).await];
    world.until_status(campaign, "running").await;
    eventually_within(PATIENCE, "something is fed, and the driver waits", async || {
        let waits = "campaigns WHERE next_look_at > now() + interval '10 s'";
        let is_fed = world.count("outbound_messages").await > 0;
        (is_fed && world.count(waits).await == 1).then_some(())
    })
    .await;
    // Whoever makes room gets the next chunk, and only then.
    assert_eq!(world.count("outbound_messages").await, 500);
    let room = system_clock().now().to_rfc3339();
    world.execute("UPDATE outbound_messages SET state = 'accepted'").await;
    eventually_within(PATIENCE, "the second chunk is fed", async || {
        (world.count("outbound_messages").await == 1_000).then_some(())
    })
    .await;
    let early = format!("outbound_messages WHERE created_at < '{room}'");
    assert_eq!(world.count(&early).await, 500, "nothing more was fed before there was room");
    world.end(processes).await;
}
