//! Ticks and the lock.

use std::time::Duration;

use contracts::campaigns::CampaignTick;
use contracts::uuid_bytes;
use coordination::{Coordination, LockName};
use kernel::ids::CampaignId;
use messaging::{Broker, Exchange, Family, Outgoing};
use serde_json::json;
use testkit::{Servers, eventually_within};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::world::{PATIENCE, Sends, World, lasting, system_clock};

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_whose_lock_somebody_silent_has_is_looked_at_without_it() {
    let mut world = World::new(600).await;
    world.lock_ttl = Duration::from_secs(60);
    world.contacts(3).await;
    // Without the tick, nobody would look at it for long.
    let campaign = world.campaign(json!({ "tags": ["vip"] }), "next_look_at = '2100-01-01'").await;
    let servers = Servers::from_env();
    let other = Coordination::connect(&servers.redis_url, &world.namespace, TaskTracker::new());
    let locks = lasting(other.await.unwrap().locks(), world.lock_ttl);
    let name = LockName::CampaignSend(campaign);
    let held = locks.lock_for(name, Duration::ZERO).await.unwrap().unwrap();
    let processes = vec![world.process(system_clock(), Sends::No).await];
    let broker =
        Broker::start(world.broker_options(), TaskTracker::new(), CancellationToken::new());
    broker.wait_ready(Duration::from_secs(20)).await.unwrap();
    tick(&broker, campaign).await;
    tick(&broker, campaign).await;
    world.until_status(campaign, "running").await;
    assert!(held.is_valid(), "it was held all the time");
    held.release().await;
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_whose_driver_keeps_its_word_is_left_to_it() {
    let mut world = World::new(600).await;
    world.lock_ttl = Duration::from_secs(60);
    world.contacts(3).await;
    let campaign = world.campaign(json!({ "tags": ["vip"] }), "next_look_at = '2100-01-01'").await;
    let servers = Servers::from_env();
    let other = Coordination::connect(&servers.redis_url, &world.namespace, TaskTracker::new());
    let locks = lasting(other.await.unwrap().locks(), world.lock_ttl);
    let name = LockName::CampaignSend(campaign);
    let held = locks.lock_for(name, Duration::ZERO).await.unwrap().unwrap();
    let processes = vec![world.process(system_clock(), Sends::No).await];
    let broker =
        Broker::start(world.broker_options(), TaskTracker::new(), CancellationToken::new());
    broker.wait_ready(Duration::from_secs(20)).await.unwrap();
    // Three sweeps' worth of ticks, while the driver says again and again that it will look.
    let id = campaign.as_uuid();
    for _ in 0..30 {
        world
            .execute(&format!(
                "UPDATE campaigns SET next_look_at = now() + interval '2 s' WHERE id = '{id}'"
            ))
            .await;
        tick(&broker, campaign).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(world.status(campaign).await, "preparing", "another one was at it");
    }
    held.release().await;
    world.until_status(campaign, "running").await;
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_whose_driver_was_killed_is_fed_again_within_seconds() {
    let mut world = World::new(600_000).await;
    world.lock_ttl = Duration::from_secs(60);
    world.contacts(4_000).await;
    let campaign = world.campaign(json!({ "tags": ["vip"] }), "").await;
    let driver = world.process(system_clock(), Sends::No).await;
    let fed = async |chunks: i64| {
        let fed = "campaign_chunks WHERE state = 'fed'";
        eventually_within(PATIENCE, "chunks are fed", async || {
            (world.count(fed).await >= chunks).then_some(())
        })
        .await;
    };
    fed(4).await;
    let processes = vec![world.process(system_clock(), Sends::No).await];
    drop(driver);
    world.execute("UPDATE outbound_messages SET state = 'accepted'").await;
    let killed = Instant::now();
    fed(5).await;
    assert!(killed.elapsed() < Duration::from_secs(30), "after {:?}", killed.elapsed());
    let accepted = format!(
        "INSERT INTO campaign_counts SELECT campaign_id, 'accepted', '', count(*) FROM \
         outbound_messages WHERE campaign_id = '{}' AND state = 'accepted' GROUP BY campaign_id",
        campaign.as_uuid()
    );
    world.execute(&accepted).await;
    let (kept, recounted) = world.numbers(campaign).await;
    assert!(kept.agrees_with(&recounted), "{kept:?} {recounted:?}");
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
