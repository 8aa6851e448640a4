//! Consuming: batches, order, settlement, the wait ladder.

use std::time::Duration;

use bytes::Bytes;
use contracts::inbound::WebhookEvent;
use contracts::names::event::MESSAGE_RECEIVED;
use contracts::names::header;
use lapin::types::AMQPValue;
use messaging::{
    BatchHandler, Consumer, ConsumerOptions, Delivery, Exchange, Family, Fault, Outgoing, Queue,
    Verdict,
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::stand::{
    FAMILY, FIRST_STEP, Notes, SECOND_STEP, all_done, number, topology, transient, url, with_stand,
    with_stand_at,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_is_handled_once_in_lane_order_and_in_large_batches() {
    with_stand(async |stand| {
        stand.publish(0, 0..1_000).await;
        stand.publish(1, 1_000..2_000).await;
        let (seen, batches) = (Notes::new(), Notes::new());
        let (note, batch_note) = (seen.clone(), batches.clone());
        let stop = stand.consume(move |batch| {
            batch_note.add(batch.len());
            batch.iter().for_each(|delivery| note.add((delivery.queue(), number(delivery))));
            all_done(batch)
        });

        let seen = seen.until_count(2_000).await;
        for (lane, expected) in [(0, 0..1_000), (1, 1_000..2_000)] {
            let of_lane = seen.iter().filter(|(queue, _)| *queue == FAMILY.queue(lane));
            assert!(of_lane.map(|(_, n)| *n).eq(expected), "lane {lane} out of order");
        }
        assert!(batches.all().len() <= 40, "{} batches", batches.all().len());
        // What is not acknowledged comes back when the consumer leaves.
        stop.cancel();
        stand.until_all_is_settled().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_consumer_hands_on_a_message_without_waiting_for_others() {
    with_stand(async |stand| {
        let seen = Notes::new();
        let note = seen.clone();
        let mut options = ConsumerOptions::new("idle", FAMILY.queues());
        // Were it to linger, the test would take minutes.
        options.linger = Duration::from_mins(5);
        stand.consume_as(options, move |batch| {
            batch.iter().for_each(|delivery| note.add(number(delivery)));
            all_done(batch)
        });
        stand.until_consumed(FAMILY.queue(0)).await;
        stand.publish(0, 0..1).await;
        seen.until_count(1).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_message_climbs_the_ladder_and_ends_as_a_dead_letter_with_its_story() {
    with_stand(async |stand| {
        let tries = Notes::new();
        let note = tries.clone();
        stand.consume(move |batch| {
            batch.iter().for_each(|delivery| note.add((delivery.attempt(), Instant::now())));
            Ok(batch.iter().map(|_| Verdict::Retry(transient())).collect())
        });
        stand.publish(1, 5..6).await;

        let dead = stand.take(Queue::Parking).await;
        let headers = dead.properties.headers().clone().unwrap();
        let text = |name: &str| match headers.inner().get(name) {
            Some(AMQPValue::LongString(text)) => text.to_string(),
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(dead.data, b"5");
        assert_eq!(
            dead.properties.message_id().as_ref().unwrap().as_str(),
            Uuid::from_u128(5).to_string()
        );
        assert_eq!(dead.properties.kind().as_ref().unwrap().as_str(), "test.v1");
        assert_eq!(text(header::ERROR), "delivery failed, will be retried: away");
        assert_eq!(text(header::ORIGIN), stand.name(FAMILY.queue(1)));
        assert_eq!(headers.inner().get(header::ATTEMPT), Some(&AMQPValue::LongInt(3)));

        let tries = tries.all();
        let attempts: Vec<u32> = tries.iter().map(|(attempt, _)| *attempt).collect();
        assert_eq!(attempts, [0, 1, 2]);
        assert!(tries[1].1 - tries[0].1 >= FIRST_STEP && tries[2].1 - tries[1].1 >= SECOND_STEP);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_message_comes_back_as_if_it_were_new() {
    with_stand(async |stand| {
        let seen = Notes::new();
        let note = seen.clone();
        stand.consume(move |batch| {
            let is_early = note.all().len() < 4;
            batch.iter().for_each(|delivery| note.add((delivery.attempt(), delivery.queue())));
            let wait = Duration::from_millis(10);
            let verdict = || if is_early { Verdict::Park { wait } } else { Verdict::Done };
            Ok(batch.iter().map(|_| verdict()).collect())
        });
        stand.publish(1, 0..1).await;
        // Four times, which is more often than the ladder has steps.
        let seen = seen.until_count(5).await;
        assert!(seen.iter().all(|seen| *seen == (0, FAMILY.queue(1))), "{seen:?}");
        stand.until_all_is_settled().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_reaches_its_subscribers_lane_and_its_retry_only_that_lane() {
    let topology = topology().with_families(vec![Family::Chatbots]);
    with_stand_at(&url(), topology, async |stand| {
        let seen = Notes::new();
        let note = seen.clone();
        let options = ConsumerOptions::new("bots", Family::Chatbots.queues());
        stand.consume_as(options, move |batch| {
            batch.iter().for_each(|delivery| note.add((delivery.queue(), delivery.attempt())));
            let first = |delivery: &Delivery<_>| delivery.attempt() == 0;
            let retry = || Verdict::Retry(transient());
            Ok(batch.iter().map(|d| if first(d) { retry() } else { Verdict::Done }).collect())
        });
        let key = format!("{MESSAGE_RECEIVED}.02");
        let event = Outgoing::new(Exchange::Events, key, Uuid::nil(), "t.v1", Bytes::new());
        stand.broker.publisher().publish(event).await.unwrap();
        let lane = Family::Chatbots.queue(2);
        assert_eq!(seen.until_count(2).await, [(lane, 0), (lane, 1)]);
        assert_eq!(stand.depth(Queue::Unrouted).await, 0);
    })
    .await;
}

struct Webhooks(Notes<String>);

impl BatchHandler for Webhooks {
    type Message = WebhookEvent;

    async fn handle(&self, batch: Vec<Delivery<WebhookEvent>>) -> Result<Vec<Verdict>, Fault> {
        batch.iter().for_each(|delivery| self.0.add(delivery.kind().to_owned()));
        Ok(batch.iter().map(|_| Verdict::Done).collect())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_decoded_is_a_dead_letter_and_no_failure_of_its_batch() {
    with_stand(async |stand| {
        let key = || FAMILY.routing_key(0);
        let good = |n| {
            let id = Uuid::from_u128(n);
            Outgoing::of(Exchange::Lanes, key(), id, &WebhookEvent::default())
        };
        let id = Uuid::from_u128(2);
        let bad = Outgoing::new(Exchange::Lanes, key(), id, "t.v1", Bytes::from_static(&[0xff; 9]));
        stand.broker.publisher().publish_all(vec![good(1), bad, good(3)]).await.unwrap();

        let seen = Notes::new();
        let options = ConsumerOptions::new("webhooks", FAMILY.queues());
        Consumer::spawn(&stand.broker, options, Webhooks(seen.clone()), stand.stop.clone());
        let dead = stand.take(Queue::Parking).await;
        assert_eq!(dead.data, [0xff; 9]);
        let kind = <WebhookEvent as contracts::Message>::TYPE;
        assert_eq!(seen.until_count(2).await, [kind, kind]);
        stand.until_all_is_settled().await;
    })
    .await;
}
