//! Ticks and the lock.

use std::time::Duration;

use contracts::campaigns::CampaignTick;
use contracts::uuid_bytes;
use coordination::{Coordination, LockName};
use kernel::ids::CampaignId;
use messaging::{Broker, Exchange, Family, Outgoing};
use serde_json::json;
use testkit::{Servers, eventually_within};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::world::{PATIENCE, Sends, World, short, system_clock};

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_whose_campaign_is_in_other_hands_is_made_good_when_they_let_go() {
    let world = World::new(600).await;
    world.contacts(3).await;
    // Without the tick, nobody would look at it for long.
    let campaign = world.campaign(json!({ "tags": ["vip"] }), "next_look_at = '2100-01-01'").await;
    let servers = Servers::from_env();
    let other = Coordination::connect(&servers.redis_url, &world.namespace, TaskTracker::new());
    let locks = short(other.await.unwrap().locks());
    let name = LockName::CampaignSend(campaign);
    let held = locks.lock_for(name, Duration::ZERO).await.unwrap().unwrap();
    let processes = vec![world.process(system_clock(), Sends::No).await];
    let broker =
        Broker::start(world.broker_options(), TaskTracker::new(), CancellationToken::new());
    broker.wait_ready(Duration::from_secs(20)).await.unwrap();
    tick(&broker, campaign).await;
    tick(&broker, campaign).await;
    // The next tick is one of a campaign that is free: when it was handled, the first two were.
    let free = world.campaign(json!({ "tags": ["vip"] }), "next_look_at = '2100-01-01'").await;
    tick(&broker, free).await;
    world.until_status(free, "running").await;
    let soon = "campaigns WHERE status = 'preparing' AND next_look_at < '2100-01-01'";
    eventually_within(PATIENCE, "the sweep will look at it", async || {
        (world.count(soon).await == 1).then_some(())
    })
    .await;
    held.release().await;
    world.until_status(campaign, "running").await;
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_whose_tick_was_lost_is_found() {
    let world = World::new(600).await;
    world.contacts(3).await;
    let processes = vec![world.process(system_clock(), Sends::No).await];
    let campaign = world.campaign(json!({ "tags": ["vip"] }), "next_look_at = NULL").await;
    world.until_status(campaign, "running").await;
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_begins_when_it_is_due() {
    let world = World::new(600).await;
    world.contacts(3).await;
    let processes = vec![world.process(system_clock(), Sends::No).await];
    let tokyo = "scheduled_for = '2100-01-01 09:00', time_zone = 'Asia/Tokyo'";
    let later = world.draft(json!({ "tags": ["vip"] }), tokyo).await;
    world.move_to(later, "scheduled").await;
    let due = "scheduled_for = '2020-01-01 09:00'";
    let campaign = world.draft(json!({ "tags": ["vip"] }), due).await;
    world.move_to(campaign, "scheduled").await;
    world.until_status(campaign, "running").await;
    assert_eq!(world.count("campaign_log WHERE action = 'started'").await, 1);
    assert_eq!(world.count("events WHERE type = 'campaign.started'").await, 1);
    eventually_within(PATIENCE, "the other one rests until its time", async || {
        let resting = "campaigns WHERE next_look_at = '2100-01-01 00:00+00'";
        (world.count(resting).await == 1).then_some(())
    })
    .await;
    assert_eq!(world.status(later).await, "scheduled");
    world.end(processes).await;
}

async fn tick(broker: &Broker, campaign: CampaignId) {
    let tick = CampaignTick { campaign_id: uuid_bytes(campaign.as_uuid()) };
    let key = Family::Campaigns.routing_key(0);
    let message = Outgoing::of(Exchange::Lanes, key, Uuid::now_v7(), &tick);
    broker.publisher().publish(message).await.unwrap();
}
