//! Who is left out at the last moment, and when nothing is begun.

use std::sync::Arc;

use chrono::TimeDelta;
use diesel_async::SimpleAsyncConnection;
use kernel::ManualClock;
use serde_json::json;
use testkit::eventually_within;

use super::world::{PATIENCE, Sends, World, at_hour, system_clock};

#[tokio::test(flavor = "multi_thread")]
async fn quiet_hours_are_waited_out_and_whoever_left_meanwhile_is_skipped() {
    let world = World::new(600).await;
    world.contacts(3).await;
    let clock = Arc::new(ManualClock::new(at_hour(23)));
    let more = "quiet_from = '21:00', quiet_to = '08:00'";
    let campaign = world.campaign(json!({ "tags": ["vip"] }), more).await;
    let processes = vec![world.process(Arc::<ManualClock>::clone(&clock), Sends::No).await];
    eventually_within(PATIENCE, "it keeps quiet", async || {
        (world.count("campaigns WHERE waits_for = 'quiet_hours'").await == 1).then_some(())
    })
    .await;
    assert_eq!(world.count("campaign_recipients").await, 3);
    assert_eq!(world.count("outbound_messages").await, 0);
    world.execute("UPDATE contacts SET opted_out_at = now() WHERE name = 'Person 1'").await;
    world.execute("DELETE FROM contacts WHERE name = 'Person 2'").await;
    clock.advance(TimeDelta::hours(9));
    eventually_within(PATIENCE, "the night is over", async || {
        (world.count("outbound_messages").await == 1).then_some(())
    })
    .await;
    for (reason, person) in [("opted_out", 1), ("no_address", 2)] {
        let skipped = format!(
            "campaign_recipients WHERE skip_reason = '{reason}' AND params = '[\"Person {person}\"]'"
        );
        assert_eq!(world.count(&skipped).await, 1, "{reason}");
    }
    let (kept, recounted) = world.numbers(campaign).await;
    assert!(kept.agrees_with(&recounted), "{kept:?} {recounted:?}");
    assert_eq!((kept.total, kept.skipped(), kept.pending()), (3, 2, 1));
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_in_other_hands_is_passed_over() {
    let world = World::new(600_000).await;
    world.contacts(600).await;
    let clock = Arc::new(ManualClock::new(at_hour(23)));
    let more = "quiet_from = '21:00', quiet_to = '08:00'";
    world.campaign(json!({ "tags": ["vip"] }), more).await;
    let processes = vec![world.process(Arc::<ManualClock>::clone(&clock), Sends::No).await];
    eventually_within(PATIENCE, "it keeps quiet", async || {
        (world.count("campaigns WHERE waits_for = 'quiet_hours'").await == 1).then_some(())
    })
    .await;
    let mut hands = world.db.database().connection().await.unwrap();
    let take = "BEGIN; SELECT 1 FROM campaign_chunks WHERE chunk = 1 FOR UPDATE";
    hands.batch_execute(take).await.unwrap();
    clock.advance(TimeDelta::hours(9));
    eventually_within(PATIENCE, "the other chunk is fed", async || {
        (world.count("campaign_chunks WHERE chunk = 2 AND state = 'fed'").await == 1).then_some(())
    })
    .await;
    assert_eq!(world.count("outbound_messages").await, 100);
    hands.batch_execute("ROLLBACK").await.unwrap();
    eventually_within(PATIENCE, "both are", async || {
        (world.count("outbound_messages").await == 600).then_some(())
    })
    .await;
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cap_counts_the_messages_of_other_campaigns() {
    let world = World::new(600_000).await;
    world.contacts(40).await;
    let cap = "cap_messages = 1, cap_days = 7";
    let first = world.campaign(json!({ "tags": ["vip"] }), cap).await;
    let second = world.campaign(json!({ "tags": ["vip"] }), cap).await;
    let processes = vec![world.process(system_clock(), Sends::No).await];
    eventually_within(PATIENCE, "both had their turn", async || {
        (world.count("campaign_chunks WHERE state = 'fed'").await == 2).then_some(())
    })
    .await;
    assert_eq!(world.count("outbound_messages").await, 40);
    assert_eq!(world.count("campaign_recipients WHERE skip_reason = 'frequency_cap'").await, 40);
    for campaign in [first, second] {
        let (kept, recounted) = world.numbers(campaign).await;
        assert!(kept.agrees_with(&recounted), "{kept:?} {recounted:?}");
    }
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_its_end_a_campaign_begins_nothing_more() {
    let world = World::new(600).await;
    world.contacts(1_200).await;
    let clock = Arc::new(ManualClock::new(at_hour(10)));
    let ends_at = at_hour(11).to_rfc3339();
    let campaign =
        world.campaign(json!({ "tags": ["vip"] }), &format!("ends_at = '{ends_at}'")).await;
    let processes = vec![world.process(Arc::<ManualClock>::clone(&clock), Sends::No).await];
    eventually_within(PATIENCE, "the first chunk is fed", async || {
        (world.count("outbound_messages").await == 500).then_some(())
    })
    .await;
    world
        .execute("UPDATE outbound_messages SET state = 'accepted' WHERE id IN (SELECT id FROM outbound_messages LIMIT 10)")
        .await;
    let id = campaign.as_uuid();
    world
        .execute(&format!("INSERT INTO campaign_counts VALUES ('{id}', 'accepted', '', 10)"))
        .await;
    clock.advance(TimeDelta::hours(2));
    world.until_status(campaign, "completed").await;
    let (kept, recounted) = world.numbers(campaign).await;
    assert!(kept.agrees_with(&recounted), "{kept:?} {recounted:?}");
    assert_eq!((kept.accepted, kept.skipped.get("too_late").copied()), (10, Some(1_190)));
    // Chunks that wait and messages that nobody has claimed say why.
    assert_eq!(world.count("campaign_chunks WHERE state = 'too_late'").await, 2);
    assert_eq!(world.count("campaign_recipients WHERE skip_reason = 'too_late'").await, 490);
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_recipients_who_prove_to_be_one_person_get_one_message() {
    let world = World::new(600).await;
    world.contacts(3).await;
    world.contact_by_user("ffffffff-ffff-4fff-bfff-ffffffffffff", "DE.1").await;
    let clock = Arc::new(ManualClock::new(at_hour(23)));
    let more = "quiet_from = '21:00', quiet_to = '08:00'";
    let campaign = world.campaign(json!({ "tags": ["vip"] }), more).await;
    let processes = vec![world.process(Arc::<ManualClock>::clone(&clock), Sends::No).await];
    eventually_within(PATIENCE, "it keeps quiet", async || {
        (world.count("campaigns WHERE waits_for = 'quiet_hours'").await == 1).then_some(())
    })
    .await;
    assert_eq!(world.count("campaign_recipients").await, 4);
    world.link("49155000000002", "DE.1").await;
    clock.advance(TimeDelta::hours(9));
    eventually_within(PATIENCE, "the night is over", async || {
        (world.count("campaign_chunks WHERE state = 'fed'").await == 1).then_some(())
    })
    .await;
    assert_eq!(world.count("outbound_messages").await, 3);
    assert_eq!(world.count("campaign_recipients WHERE skip_reason = 'duplicate'").await, 1);
    let (kept, recounted) = world.numbers(campaign).await;
    assert!(kept.agrees_with(&recounted), "{kept:?} {recounted:?}");
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_message_under_another_address_gets_no_second_one() {
    let world = World::new(600).await;
    world.contacts(499).await;
    world.contact_by_user("00000000-0000-4000-8000-000000000001", "DE.1").await;
    let last = "id = 'ffffffff-ffff-4fff-bfff-ffffffffffff'";
    world.contacts_from(1_000, 1).await;
    world.execute(&format!("UPDATE contacts SET {last} WHERE name = 'Person 1000'")).await;
    let campaign = world.campaign(json!({ "tags": ["vip"] }), "").await;
    let processes = vec![world.process(system_clock(), Sends::No).await];
    eventually_within(PATIENCE, "the first chunk is fed", async || {
        (world.count("outbound_messages WHERE recipient = 'DE.1'").await == 1).then_some(())
    })
    .await;
    world.link("49155000001000", "DE.1").await;
    world.execute("UPDATE outbound_messages SET state = 'accepted'").await;
    eventually_within(PATIENCE, "the second chunk had its turn", async || {
        (world.count("campaign_chunks WHERE state = 'fed'").await == 2).then_some(())
    })
    .await;
    assert_eq!(world.count("outbound_messages").await, 500);
    let skipped = format!(
        "campaign_recipients WHERE skip_reason = 'duplicate' AND campaign_id = '{}'",
        campaign.as_uuid()
    );
    assert_eq!(world.count(&skipped).await, 1);
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_reached_under_another_address_counts_for_the_cap() {
    let world = World::new(600).await;
    world.contact_by_user("ffffffff-ffff-4fff-bfff-ffffffffffff", "DE.1").await;
    let cap = "cap_messages = 1, cap_days = 7";
    let first = world.campaign(json!({ "tags": ["vip"] }), cap).await;
    let processes = vec![world.process(system_clock(), Sends::No).await];
    eventually_within(PATIENCE, "the user id is written to", async || {
        (world.count("outbound_messages WHERE recipient = 'DE.1'").await == 1).then_some(())
    })
    .await;
    world.contacts(1).await;
    world.link("49155000000001", "DE.1").await;
    let second = world.campaign(json!({ "tags": ["vip"] }), cap).await;
    let second = second.as_uuid();
    eventually_within(PATIENCE, "the second campaign had its turn", async || {
        let fed = format!("campaign_chunks WHERE state = 'fed' AND campaign_id = '{second}'");
        (world.count(&fed).await == 1).then_some(())
    })
    .await;
    let skipped = format!(
        "campaign_recipients WHERE skip_reason = 'frequency_cap' AND campaign_id = '{second}'"
    );
    assert_eq!(world.count(&skipped).await, 1);
    assert_eq!(world.count("outbound_messages").await, 1);
    let (kept, recounted) = world.numbers(first).await;
    assert!(kept.agrees_with(&recounted), "{kept:?} {recounted:?}");
    world.end(processes).await;
}
