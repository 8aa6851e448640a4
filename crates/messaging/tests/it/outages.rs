//! The network and the broker go away and come back.

use std::time::Duration;

use kernel::Retryable;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use messaging::{Broker, BrokerOptions, LinkState, PublishError, Queue};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::proxy::Proxy;
use crate::stand::{
    FAMILY, Notes, PATIENCE, all_done, eventually, number, numbered, topology, url, with_stand,
    with_stand_at,
};

/// A proxy before the broker, and the URL that leads through it.
async fn proxied() -> (Proxy, String) {
    let uri: lapin::uri::AMQPUri = url().parse().unwrap();
    let proxy = Proxy::before(format!("{}:{}", uri.authority.host, uri.authority.port)).await;
    let mut through = uri;
    "127.0.0.1".clone_into(&mut through.authority.host);
    through.authority.port = proxy.port;
    (proxy, through.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_outage_everything_is_back_within_a_second_or_two() {
    let (proxy, through) = proxied().await;
    with_stand_at(&through, topology(), async |stand| {
        let seen = Notes::new();
        let note = seen.clone();
        stand.consume(move |batch| {
            batch.iter().for_each(|delivery| note.add(number(delivery)));
            all_done(batch)
        });
        stand.publish(0, 0..1).await;
        seen.until_count(1).await;

        proxy.refuse(true);
        proxy.cut();
        let health = || stand.broker.health();
        eventually("both connections lost", || {
            health().publish == LinkState::Connecting && health().consume == LinkState::Connecting
        })
        .await;
        // The broker forgets something meanwhile.
        let lost = stand.name(Queue::Parking);
        stand.direct.queue_delete(lost.into(), QueueDeleteOptions::default()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        proxy.refuse(false);
        let back = Instant::now();
        stand.broker.wait_ready(PATIENCE).await.unwrap();
        stand.publish(0, 1..2).await;
        seen.until_count(2).await;
        assert!(back.elapsed() < Duration::from_secs(4), "took {:?}", back.elapsed());
        assert_eq!(stand.depth(Queue::Parking).await, 0, "declared again");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_during_handling_repeats_the_batch_and_loses_nothing() {
    let (proxy, through) = proxied().await;
    with_stand_at(&through, topology(), async |stand| {
        let seen = Notes::new();
        let (note, calls) = (seen.clone(), Notes::new());
        let call = calls.clone();
        let stop = stand.consume(move |batch| {
            call.add(());
            if call.all().len() == 1 {
                // The acknowledgement of this batch finds a dead channel.
                proxy.cut();
                std::thread::sleep(Duration::from_millis(300));
            }
            batch
                .iter()
                .for_each(|delivery| note.add((number(delivery), delivery.is_redelivered())));
            all_done(batch)
        });
        stand.publish(0, 0..10).await;
        eventually("all redelivered", || {
            let seen = seen.all();
            (0..10).all(|n| seen.contains(&(n, true)) || seen.contains(&(n, false)))
                && seen.iter().any(|(_, redelivered)| *redelivered)
        })
        .await;
        stand.broker.wait_ready(PATIENCE).await.unwrap();
        eventually("quiet", || calls.all().len() >= 2).await;
        stop.cancel();
        stand.until_all_is_settled().await;
    })
    .await;
}

/// As under a memory alarm: the broker reads nothing from the connection that publishes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_publish_ends_at_its_deadline_and_consuming_goes_on() {
    let (proxy, through) = proxied().await;
    with_stand_at(&through, topology(), async |stand| {
        let seen = Notes::new();
        let note = seen.clone();
        stand.consume(move |batch| {
            batch.iter().for_each(|delivery| note.add(number(delivery)));
            all_done(batch)
        });
        proxy.stall(Some("(publish)"));
        let publisher = stand.broker.publisher();
        let asked = Instant::now();
        let outcome = publisher.publish(numbered(FAMILY.routing_key(0), 1)).await;
        assert!(matches!(outcome, Err(PublishError::TimedOut(_))), "{outcome:?}");
        assert!(asked.elapsed() < Duration::from_secs(3));

        put(&stand.direct, &stand.name(FAMILY.queue(0)), b"2").await;
        assert_eq!(seen.until_count(1).await, [2], "consumed while publishing is stuck");

        proxy.stall(None);
        stand.publish(0, 3..4).await;
        // The first message was on the way all the time: an unknown outcome, not a lost one.
        let mut seen = seen.until_count(3).await;
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3]);
    })
    .await;
}

#[expect(clippy::disallowed_methods, reason = "the test stands for another program")]
async fn put(channel: &lapin::Channel, queue: &str, body: &[u8]) {
    let (exchange, key) = ("".into(), queue.into());
    let sent = channel.basic_publish(exchange, key, Default::default(), body, Default::default());
    sent.await.unwrap().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_whose_queue_is_deleted_comes_back_with_the_queue() {
    with_stand(async |stand| {
        let seen = Notes::new();
        let note = seen.clone();
        stand.consume(move |batch| {
            batch.iter().for_each(|delivery| note.add(number(delivery)));
            all_done(batch)
        });
        stand.publish(0, 0..1).await;
        seen.until_count(1).await;
        let name = stand.name(FAMILY.queue(0));
        stand.direct.queue_delete(name.into(), QueueDeleteOptions::default()).await.unwrap();
        // Until the queue is back its messages are unrouted, which is seen and not lost.
        let until = Instant::now() + PATIENCE;
        while seen.all().len() < 2 {
            assert!(Instant::now() < until, "the consumer never came back");
            stand.publish(0, 1..2).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_another_shape_keeps_the_broker_from_being_ready() {
    with_stand(async |stand| {
        let topology = topology();
        let name = topology.queue_name(FAMILY.queue(0));
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        let none = FieldTable::default();
        stand.direct.queue_declare(name.as_str().into(), durable, none).await.unwrap();

        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let options = BrokerOptions::new(&url(), topology, "conflict").unwrap();
        let broker = Broker::start(options.clone(), tasks.clone(), stop.clone());
        assert!(broker.wait_ready(Duration::from_secs(1)).await.is_err());
        let error = Broker::declare_topology(&options).await.unwrap_err();
        assert!(!error.is_transient());
        assert!(error.to_string().starts_with(&format!("{name} exists")), "{error}");
        stand.direct.queue_delete(name.into(), QueueDeleteOptions::default()).await.unwrap();
        broker.wait_ready(PATIENCE).await.unwrap();

        stop.cancel();
        tasks.close();
        timeout(PATIENCE, tasks.wait()).await.unwrap();
        Broker::delete_topology(&options).await.unwrap();
    })
    .await;
}
