//! Messages that Meta drops without a word.

use std::sync::Arc;

use chrono::TimeDelta;
use kernel::ManualClock;
use kernel::ids::CampaignId;
use serde_json::json;
use testkit::eventually_within;

use super::world::{PATIENCE, Sends, World, at_hour};

/// Meta takes all messages of the campaign now, and the first one arrives.
async fn taken(world: &World, campaign: CampaignId, now: &str) {
    let id = campaign.as_uuid();
    world
        .execute(&format!(
            "UPDATE outbound_messages SET state = 'accepted', accepted_at = '{now}' WHERE campaign_id = '{id}'"
        ))
        .await;
    world
        .execute(&format!(
            "UPDATE outbound_messages SET sent_at = '{now}', delivered_at = '{now}' WHERE id = \
             (SELECT id FROM campaign_recipients WHERE campaign_id = '{id}' AND n = 1)"
        ))
        .await;
    world
        .execute(&format!(
            "INSERT INTO campaign_counts VALUES ('{id}', 'accepted', '', 3), ('{id}', 'sent', '', 1), \
             ('{id}', 'delivered', '', 1)"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_expires_an_hour_after_its_time_if_it_reached_no_phone() {
    let world = World::new(600).await;
    world.contacts(3).await;
    let clock = Arc::new(ManualClock::new(at_hour(10)));
    let ttl = "template = template || '{\"message_send_ttl_seconds\": 600}'";
    let brief = world.campaign(json!({ "tags": ["vip"] }), ttl).await;
    let long = world.campaign(json!({ "tags": ["vip"] }), "").await;
    let processes = vec![world.process(Arc::<ManualClock>::clone(&clock), Sends::No).await];
    eventually_within(PATIENCE, "all are fed", async || {
        (world.count("outbound_messages").await == 6).then_some(())
    })
    .await;
    for campaign in [brief, long] {
        taken(&world, campaign, &at_hour(10).to_rfc3339()).await;
    }
    for campaign in [brief, long] {
        world.until_status(campaign, "completed").await;
    }
    clock.advance(TimeDelta::minutes(71));
    eventually_within(PATIENCE, "its messages were looked at", async || {
        (world.count("campaigns WHERE expired_at IS NOT NULL").await == 1).then_some(())
    })
    .await;
    for (campaign, expired) in [(brief, 2), (long, 0)] {
        let (kept, recounted) = world.numbers(campaign).await;
        assert!(kept.agrees_with(&recounted), "{kept:?} {recounted:?}");
        assert_eq!((kept.accepted, kept.expired), (3 - expired, expired));
    }
    clock.advance(TimeDelta::days(30));
    eventually_within(PATIENCE, "those of the other one, too", async || {
        (world.count("outbound_messages WHERE state = 'expired'").await == 4).then_some(())
    })
    .await;
    world.end(processes).await;
}
