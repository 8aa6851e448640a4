//! What is told of a campaign's messages is what Meta's double has seen.

use std::time::Duration;

use chrono::TimeDelta;
use diesel_async::AsyncConnection;
use graph_simulator::{Accept, Answer, Faults, SendRule};
use kernel::Wamid;
use sending::callback;
use storage::StorageError;
use storage::statuses::{self, Status, StatusUpdate};
use uuid::Uuid;

use crate::world::{Setup, World, now, with_sender};

fn faults(rule: SendRule) -> Faults {
    Faults { sends: vec![rule], ..Faults::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_in_a_campaign_gets_one_message_and_is_counted_once() {
    with_sender(Setup::default(), async |world: &World| {
        let campaign = world.campaign(1, 300).await;
        world.until_sent(300).await;
        let numbers = world.at_rest(campaign).await;
        assert_eq!((numbers.accepted, numbers.pending()), (300, 0));
        let by_person = world.meta.count_by(|sent| sent.recipient.clone());
        assert_eq!((by_person.len(), by_person.values().max()), (300, Some(&1)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_campaign_posts_nothing_but_what_its_answer_called_in_flight() {
    let setup = Setup { per_minute: 6_000, ..Setup::default() };
    with_sender(setup, async |world: &World| {
        let campaign = world.campaign(1, 400).await;
        world.until_sent(40).await;
        let paused = world.pause(campaign).await;
        let numbers = world.at_rest(campaign).await;
        assert_eq!(numbers.accepted + paused.recipients, 400, "{paused:?}");
        // Another pass of the sender's poll and more: what could be claimed would be.
        let reply = world.message("4915777", "hello");
        world.enqueue(vec![reply]).await;
        world.sender.nudge();
        testkit::eventually("the reply", async || {
            (!world.meta.sent_to("4915777").is_empty()).then_some(())
        })
        .await;
        assert_eq!(i64::try_from(world.meta.sent_count()).unwrap(), numbers.accepted + 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_paused_midway_stops_the_campaign_and_burns_nobody() {
    let setup = Setup { per_minute: 12_000, ..Setup::default() };
    with_sender(setup, async |world: &World| {
        let campaign = world.campaign(1, 300).await;
        world.until_sent(30).await;
        world.meta.set_faults(faults(SendRule::graph(132_015)));
        testkit::eventually("the campaign stops", async || {
            (world.count("campaigns WHERE status = 'paused'").await == 1).then_some(())
        })
        .await;
        let numbers = world.at_rest(campaign).await;
        assert_eq!((numbers.failed(), numbers.uncertain), (0, 0));
        assert_eq!(numbers.accepted, i64::try_from(world.meta.sent_count()).unwrap());
        assert_eq!(numbers.accepted + numbers.pending(), 300);
        assert_eq!(world.count("campaigns WHERE reason_code = 'template_paused'").await, 1);
        assert_eq!(world.count("events WHERE type = 'campaign.needs_attention'").await, 1);
        assert_eq!(world.count("outbound_messages WHERE state = 'ready'").await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_fit_nobody_cost_a_handful_of_recipients() {
    let setup = Setup { per_minute: 3_000, ..Setup::default() };
    with_sender(setup, async |world: &World| {
        world.meta.set_faults(faults(SendRule::graph(132_000)));
        let campaign = world.campaign(1, 300).await;
        testkit::eventually("the campaign stops", async || {
            (world.count("campaigns WHERE status = 'paused'").await == 1).then_some(())
        })
        .await;
        let numbers = world.at_rest(campaign).await;
        assert!((5..100).contains(&numbers.failed[&132_000]), "{numbers:?}");
        assert_eq!(world.count("campaigns WHERE reason_code = 'template_params'").await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_whose_answer_was_lost_is_adopted_by_its_status_and_counted_once() {
    with_sender(Setup::default(), async |world: &World| {
        let lost = SendRule::new(Answer::Close).accepting(Accept::Yes).times(5);
        world.meta.set_faults(faults(lost));
        let campaign = world.campaign(1, 20).await;
        world.until_sent(20).await;
        testkit::eventually("five doubts", async || {
            (world.count("send_attempts WHERE state = 'doubt'").await == 5).then_some(())
        })
        .await;
        for _ in 0..2 {
            hear_of_all(world).await;
        }
        let numbers = world.at_rest(campaign).await;
        assert_eq!((numbers.accepted, numbers.delivered, numbers.sent), (20, 20, 20));
        assert!(world.meta.duplicates().is_empty());
        assert_eq!(world.count("duplicate_incidents").await, 0);
    })
    .await;
}

/// Applies a `delivered` status of every message that Meta's double took.
async fn hear_of_all(world: &World) {
    let updates: Vec<StatusUpdate> = world
        .meta
        .sent()
        .iter()
        .map(|sent| StatusUpdate {
            event_id: Uuid::new_v4(),
            connection_id: world.connection,
            wamid: Wamid::new(sent.wamid.clone()),
            status: Status::Delivered,
            happened_at: now() - TimeDelta::seconds(1),
            error_code: None,
            attempt_id: callback::read(sent.callback_data.as_deref().unwrap()),
        })
        .collect();
    let mut conn = world.db.database().connection().await.unwrap();
    (*conn)
        .transaction(async |tx| {
            Ok::<_, StorageError>(statuses::apply(tx, updates, &[], now()).await?)
        })
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_whose_deadline_has_passed_is_not_posted() {
    let setup = Setup { attempt_deadline: Duration::ZERO, ..Setup::default() };
    with_sender(setup, async |world: &World| {
        let campaign = world.campaign(1, 10).await;
        testkit::eventually("everybody was tried", async || {
            let tried = "outbound_messages WHERE epoch > 0";
            (world.count(tried).await == 10).then_some(())
        })
        .await;
        world.pause(campaign).await;
        let numbers = world.at_rest(campaign).await;
        assert_eq!((numbers.pending(), numbers.ended()), (10, 0));
        assert_eq!(world.meta.sent_count(), 0);
        assert_eq!(world.count("send_attempts WHERE state <> 'not_sent'").await, 0);
    })
    .await;
}
