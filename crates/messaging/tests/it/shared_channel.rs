//! Why the publisher is an actor: a channel shared by tasks reports rejected messages as accepted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use lapin::options::{ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Confirmation};
use messaging::{Exchange, PublishError, Publisher};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::stand::{PATIENCE, Stand, numbered, with_stand};

const TASKS: u32 = 8;
/// A rejecting queue's and an accepting queue's routing keys.
const KEYS: [&str; 2] = ["full", "roomy"];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn confirms_belong_to_their_publish_which_a_shared_channel_can_not_say() {
    with_stand(async |stand| {
        declare_queues(&stand).await;

        let bites = timeout(PATIENCE * 2, misattributed_on_a_shared_channel(&stand)).await;
        assert!(bites.is_ok_and(|wrong| wrong > 0), "the trap is gone: is the actor still needed?");

        let publisher = stand.broker.publisher();
        let wrong = (0..TASKS).map(|task| misattributed_by(&publisher, task));
        assert_eq!(join_all(wrong).await.iter().sum::<u32>(), 0);
        remove_queues(&stand).await;
    })
    .await;
}

/// Publishes to both queues in turn, and counts the answers of the other one.
async fn misattributed_by(publisher: &Publisher, task: u32) -> u32 {
    let mut wrong = 0;
    for n in 0..40 {
        let is_full = (task + n).is_multiple_of(2);
        let message = |at| numbered(key(is_full).to_owned(), n * 25 + at);
        for outcome in join_all((0..25).map(|at| publisher.publish(message(at)))).await {
            let refused = match outcome {
                Ok(()) => false,
                Err(PublishError::Refused) => true,
                Err(error) => panic!("{error}"),
            };
            wrong += u32::from(refused != is_full);
        }
    }
    wrong
}

fn key(is_full: bool) -> &'static str {
    if is_full { KEYS[0] } else { KEYS[1] }
}

/// One queue that refuses everything because it holds the one message it may hold, one that
/// accepts everything and keeps the last message.
async fn declare_queues(stand: &Stand) {
    for key in KEYS {
        let mut arguments = FieldTable::default();
        let overflow = if key == "full" { "reject-publish" } else { "drop-head" };
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
        // A test that fails leaves them behind.
        arguments.insert("x-expires".into(), AMQPValue::LongInt(60_000));
        arguments.insert("x-overflow".into(), AMQPValue::LongString(overflow.into()));
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        let (name, none) = (queue(stand, key), FieldTable::default());
        stand.direct.queue_declare(name.as_str().into(), options, arguments).await.unwrap();
        let lanes = stand.broker.topology().exchange_name(Exchange::Lanes);
        let binding = Default::default();
        stand
            .direct
            .queue_bind(name.into(), lanes.into(), key.into(), binding, none)
            .await
            .unwrap();
    }
    stand.broker.publisher().publish(numbered("full".to_owned(), 0)).await.unwrap();
}

async fn remove_queues(stand: &Stand) {
    for key in KEYS {
        stand.direct.queue_delete(queue(stand, key).into(), Default::default()).await.unwrap();
    }
}

fn queue(stand: &Stand, key: &str) -> String {
    format!("{}.{key}", stand.broker.topology().exchange_name(Exchange::Lanes))
}

/// Publishes from several tasks on one channel until a confirm went to the wrong publish.
async fn misattributed_on_a_shared_channel(stand: &Stand) -> u32 {
    let channel = Arc::new(stand.direct.clone());
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let wrong = Arc::new(AtomicU32::new(0));
    let lanes = stand.broker.topology().exchange_name(Exchange::Lanes);
    let tasks = TaskTracker::new();
    let until = Instant::now() + PATIENCE;
    for task in 0..TASKS {
        let (channel, wrong, lanes) = (Arc::clone(&channel), Arc::clone(&wrong), lanes.clone());
        tasks.spawn(async move {
            let is_full = task.is_multiple_of(2);
            while wrong.load(Ordering::Relaxed) == 0 && Instant::now() < until {
                let burst = (0..50).map(|_| answer(&channel, &lanes, key(is_full)));
                for answer in join_all(burst).await {
                    let was_refused = matches!(answer, Confirmation::Nack(_));
                    wrong.fetch_add(u32::from(was_refused != is_full), Ordering::Relaxed);
                }
            }
        });
    }
    tasks.close();
    tasks.wait().await;
    wrong.load(Ordering::Relaxed)
}

#[expect(clippy::disallowed_methods, reason = "this is the mistake that the test shows")]
async fn answer(channel: &Channel, exchange: &str, key: &str) -> Confirmation {
    let properties = Default::default();
    let sent =
        channel.basic_publish(exchange.into(), key.into(), Default::default(), b"x", properties);
    sent.await.unwrap().await.unwrap()
}
