//! A broker with a topology of its own for each test, and a handler that follows a script.

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use lapin::message::Delivery as Got;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, QueueDeclareOptions};
use lapin::{Channel, Connection, ConnectionProperties};
use messaging::{
    BatchHandler, Broker, BrokerOptions, Consumer, ConsumerOptions, Delivery, Exchange, Family,
    Fault, Outgoing, Queue, Raw, Topology, Verdict,
};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
pub(crate) const FIRST_STEP: Duration = Duration::from_millis(300);
pub(crate) const SECOND_STEP: Duration = Duration::from_millis(600);
/// The family most tests use: two lanes are quickly declared.
pub(crate) const FAMILY: Family = Family::WebhooksSlow;

/// One test's broker.
pub(crate) struct Stand {
    pub(crate) broker: Broker,
    /// A connection of the test itself, beside the broker's.
    pub(crate) direct: Channel,
    pub(crate) stop: CancellationToken,
    tasks: TaskTracker,
    cleaner: BrokerOptions,
    connection: Connection,
}

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where to run")]
pub(crate) fn url() -> String {
    let given = std::env::var("SWITCHYARD__AMQP__URL");
    given.unwrap_or_else(|_unset| "amqp://guest:guest@127.0.0.1:5672/%2f".to_owned())
}

pub(crate) fn topology() -> Topology {
    let unique = Uuid::now_v7().simple().to_string();
    Topology::default()
        .with_prefix(format!("t_{}.", unique.get(20..).unwrap()))
        .with_families(vec![FAMILY])
        .with_ladder(vec![FIRST_STEP, SECOND_STEP])
}

/// Runs `test` with a topology of its own, and removes that whatever happens.
pub(crate) async fn with_stand<F: Future<Output = ()>>(test: impl FnOnce(Arc<Stand>) -> F) {
    with_stand_at(&url(), topology(), test).await;
}

/// As [`with_stand`], with the broker under test connecting to `at`.
pub(crate) async fn with_stand_at<F: Future<Output = ()>>(
    at: &str,
    topology: Topology,
    test: impl FnOnce(Arc<Stand>) -> F,
) {
    let stand = Arc::new(Stand::start(at, topology).await);
    let outcome = AssertUnwindSafe(test(Arc::clone(&stand))).catch_unwind().await;
    let stopped = timeout(PATIENCE, stand.stopped()).await;
    Broker::delete_topology(&stand.cleaner).await.unwrap();
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
    assert!(stopped.is_ok(), "the broker stops in time");
}

impl Stand {
    async fn start(at: &str, topology: Topology) -> Self {
        tracing_subscriber::fmt().with_test_writer().try_init().ok();
        let connection =
            Connection::connect(&url(), ConnectionProperties::default()).await.unwrap();
        let direct = connection.create_channel().await.unwrap();
        let options = BrokerOptions::new(at, topology.clone(), "messaging test").unwrap();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let broker = Broker::start(options, tasks.clone(), stop.clone());
        broker.wait_ready(PATIENCE).await.unwrap();
        let cleaner = BrokerOptions::new(&url(), topology, "messaging test").unwrap();
        Self { broker, direct, stop, tasks, cleaner, connection }
    }

    async fn stopped(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Publishes the numbers of `range` to `lane`, in their order.
    pub(crate) async fn publish(&self, lane: u8, range: std::ops::Range<u32>) {
        let messages = range.map(|n| numbered(FAMILY.routing_key(lane), n)).collect();
        self.broker.publisher().publish_all(messages).await.unwrap();
    }

    /// Starts `script` on all lanes of the family.
    pub(crate) fn consume<S: Script>(&self, script: S) -> CancellationToken {
        self.consume_as(ConsumerOptions::new("test", FAMILY.queues()), script)
    }

    pub(crate) fn consume_as<S: Script>(
        &self,
        options: ConsumerOptions,
        script: S,
    ) -> CancellationToken {
        let stop = self.stop.child_token();
        Consumer::spawn(&self.broker, options, Scripted(script), stop.clone());
        stop
    }

    pub(crate) fn name(&self, queue: Queue) -> String {
        self.broker.topology().queue_name(queue)
    }

    /// Messages that wait in `queue`, without those that a consumer holds.
    pub(crate) async fn depth(&self, queue: Queue) -> u32 {
        self.declared(queue).await.message_count()
    }

    async fn declared(&self, queue: Queue) -> lapin::Queue {
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let name = self.name(queue).into();
        self.direct.queue_declare(name, options, Default::default()).await.unwrap()
    }

    /// Waits until `queue` holds exactly `count` messages.
    pub(crate) async fn until_depth(&self, queue: Queue, count: u32) {
        let until = Instant::now() + PATIENCE;
        while self.depth(queue).await != count {
            let depth = self.depth(queue).await;
            assert!(Instant::now() < until, "{queue:?} holds {depth}, not {count}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Takes one message out of `queue`, waiting for it.
    pub(crate) async fn take(&self, queue: Queue) -> Got {
        self.take_all(queue, 1).await.remove(0)
    }

    /// Takes `count` messages out of `queue`, waiting for them.
    pub(crate) async fn take_all(&self, queue: Queue, count: u16) -> Vec<Got> {
        let channel = self.connection.create_channel().await.unwrap();
        channel.basic_qos(count, Default::default()).await.unwrap();
        let (name, tag) = (self.name(queue).into(), "take".into());
        let options = BasicConsumeOptions::default();
        let consumer = channel.basic_consume(name, tag, options, Default::default());
        let arriving = consumer.await.unwrap().take(count.into()).try_collect::<Vec<Got>>();
        let got = timeout(PATIENCE, arriving).await.unwrap().unwrap();
        let all = BasicAckOptions { multiple: true };
        got.last().unwrap().ack(all).await.unwrap();
        channel.close(200, "OK".into()).await.unwrap();
        got
    }

    /// Waits until somebody consumes `queue`.
    pub(crate) async fn until_consumed(&self, queue: Queue) {
        let until = Instant::now() + PATIENCE;
        while self.declared(queue).await.consumer_count() == 0 {
            assert!(Instant::now() < until, "nobody consumes {queue:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asserts that everything is handled: nothing waits anywhere, also after the consumers left.
    pub(crate) async fn until_all_is_settled(&self) {
        for queue in FAMILY.queues().chain([Queue::Parking, Queue::Unrouted]) {
            self.until_depth(queue, 0).await;
        }
    }
}

/// Message number `n` for `routing_key`.
pub(crate) fn numbered(routing_key: String, n: u32) -> Outgoing {
    let id = Uuid::from_u128(u128::from(n));
    Outgoing::new(Exchange::Lanes, routing_key, id, "test.v1", Bytes::from(n.to_string()))
}

/// The number in a message.
pub(crate) fn number(delivery: &Delivery<Raw>) -> u32 {
    std::str::from_utf8(&delivery.message.0).unwrap().parse().unwrap()
}

/// What a handler does with a batch.
pub(crate) trait Script:
    Fn(&[Delivery<Raw>]) -> Result<Vec<Verdict>, Fault> + Send + Sync + 'static
{
}

impl<F: Fn(&[Delivery<Raw>]) -> Result<Vec<Verdict>, Fault> + Send + Sync + 'static> Script for F {}

struct Scripted<S>(S);

impl<S: Script> BatchHandler for Scripted<S> {
    type Message = Raw;

    async fn handle(&self, batch: Vec<Delivery<Raw>>) -> Result<Vec<Verdict>, Fault> {
        (self.0)(&batch)
    }
}

/// Everything is done.
pub(crate) fn all_done(batch: &[Delivery<Raw>]) -> Result<Vec<Verdict>, Fault> {
    Ok(batch.iter().map(|_| Verdict::Done).collect())
}

pub(crate) fn transient() -> Fault {
    Fault::Transient("away".into())
}

/// Notes what a handler saw.
#[derive(Clone)]
pub(crate) struct Notes<T>(Arc<Mutex<Vec<T>>>);

impl<T: Clone> Notes<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn add(&self, note: T) {
        self.0.lock().unwrap().push(note);
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) async fn until_count(&self, count: usize) -> Vec<T> {
        eventually(&format!("{count} notes"), || self.all().len() >= count).await;
        self.all()
    }
}

/// Waits for a condition.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "never came true: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}
