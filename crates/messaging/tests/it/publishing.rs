//! Publishing: confirmed, identified, ordered, never lost.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use messaging::{Broker, BrokerOptions, Exchange, Outgoing, PublishError, Queue};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::stand::{FAMILY, numbered, topology, with_stand};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmed_message_lies_in_its_queue_with_its_identity() {
    with_stand(async |stand| {
        let id = Uuid::from_u128(42);
        let message = Outgoing::new(Exchange::Lanes, FAMILY.routing_key(1), id, "t.v1", "x".into())
            .with_header("sy-workspace", "w");
        stand.broker.publisher().publish(message).await.unwrap();

        let got = stand.take(FAMILY.queue(1)).await;
        let properties = &got.properties;
        assert_eq!(got.data, b"x");
        assert_eq!(properties.message_id().as_ref().unwrap().as_str(), id.to_string());
        assert_eq!(properties.kind().as_ref().unwrap().as_str(), "t.v1");
        assert_eq!(properties.app_id().as_ref().unwrap().as_str(), "switchyard");
        assert_eq!(*properties.delivery_mode(), Some(2));
        assert!(properties.timestamp().is_some());
        assert!(properties.headers().as_ref().unwrap().contains_key("sy-workspace"));
    })
    .await;
}

/// The broker's `mandatory` returns are attributed to the wrong publish under load; the alternate
/// exchange is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_no_queue_wants_is_kept_under_load() {
    with_stand(async |stand| {
        let publisher = stand.broker.publisher();
        let publish = async |n: u32| {
            let lost = n.is_multiple_of(3);
            let key = if lost { "nobody.00".to_owned() } else { FAMILY.routing_key(0) };
            publisher.publish(numbered(key, n)).await
        };
        for outcome in join_all((0..3_000).map(publish)).await {
            outcome.unwrap();
        }
        stand.until_depth(Queue::Unrouted, 1_000).await;
        stand.until_depth(FAMILY.queue(0), 2_000).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_nobody_hears_is_no_failure() {
    with_stand(async |stand| {
        let event = Outgoing::new(Exchange::Events, "any.00", Uuid::nil(), "t.v1", Bytes::new());
        stand.broker.publisher().publish(event).await.unwrap();
        assert_eq!(stand.depth(Queue::Unrouted).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_one_task_keep_their_order_within_and_across_calls() {
    with_stand(async |stand| {
        let publisher = stand.broker.publisher();
        let lane = async |lane: u8| {
            let message = |n| numbered(FAMILY.routing_key(lane), n);
            for n in (0..400).step_by(40) {
                publisher.publish_all((n..n + 39).map(message).collect()).await.unwrap();
                publisher.publish(message(n + 39)).await.unwrap();
            }
        };
        tokio::join!(lane(0), lane(1));
        for queue in FAMILY.queues() {
            let bodies = stand.take_all(queue, 400).await.into_iter().map(|got| got.data);
            assert!(bodies.eq((0..400).map(|n| n.to_string().into_bytes())), "{queue:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_the_process_starts_and_publishing_fails_at_once() {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    // Port 9 (discard) is closed everywhere.
    let options = BrokerOptions::new("amqp://127.0.0.1:9/%2f", topology(), "nowhere").unwrap();
    let broker = Broker::start(options, tasks.clone(), stop.clone());
    assert!(broker.wait_ready(Duration::from_millis(200)).await.is_err());
    assert!(!broker.health().is_ready());

    let asked = Instant::now();
    let outcome = broker.publisher().publish(numbered("any".to_owned(), 1)).await;
    assert!(matches!(outcome, Err(PublishError::Unavailable)), "{outcome:?}");
    assert!(asked.elapsed() < Duration::from_millis(100));

    stop.cancel();
    tasks.close();
    timeout(Duration::from_secs(5), tasks.wait()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_prefixes_share_a_virtual_host_and_nothing_else() {
    with_stand(async |one| {
        with_stand(async |other| {
            one.publish(0, 0..1).await;
            assert_eq!(one.take(FAMILY.queue(0)).await.data, b"0");
            assert_eq!(other.depth(FAMILY.queue(0)).await, 0);
            other.publish(0, 7..8).await;
            assert_eq!(other.take(FAMILY.queue(0)).await.data, b"7");
        })
        .await;
        assert_eq!(one.depth(FAMILY.queue(0)).await, 0);
    })
    .await;
}
