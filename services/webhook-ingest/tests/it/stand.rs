//! One running door with a broker topology of its own.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use contracts::Message;
use contracts::inbound::{WebhookEvent, WebhookEventKind};
use contracts::transport::{Bundle, Record};
use coordination::Coordination;
use futures_util::{FutureExt, StreamExt};
use kernel::{Clock, SystemClock};
use lapin::options::BasicConsumeOptions;
use lapin::types::AMQPValue;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use messaging::{Broker, BrokerOptions, Family, Queue, Topology};
use service::{Life, Listener, serve};
use settings::{SecretString, Settings};
use storage::sealed::Sealer;
use storage::{Database, DatabaseOptions};
use testkit::{Servers, eventually, master_key, unique_name};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use uuid::Uuid;
use webhook_ingest::{Dependencies, Ingest, start};

use crate::client::Request;

pub(crate) const PATH: &str = "/webhooks/whatsapp";
pub(crate) const SECRET: &str = "5f0c1e9a77d34b0c8d21aa90fe31c6b4";
pub(crate) const VERIFY_TOKEN: &str = "token-of-the-default-app";
/// The type of a message of the test itself.
const MARK: &str = "mark";
const PATIENCE: Duration = Duration::from_secs(20);

/// What is not as usual.
pub(crate) struct Setup {
    pub(crate) settings: Settings,
    pub(crate) amqp_url: String,
    pub(crate) publish_deadline: Duration,
    /// Nothing listens at the default one.
    pub(crate) database: Database,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Default for Setup {
    fn default() -> Self {
        let mut settings = Settings::default();
        settings.meta.app_secret = Some(SecretString::from(SECRET));
        settings.meta.verify_token = Some(SecretString::from(VERIFY_TOKEN));
        Self {
            settings,
            amqp_url: Servers::from_env().amqp_url,
            publish_deadline: Duration::from_secs(5),
            database: database("postgres://nobody@127.0.0.1:1/nothing"),
            clock: Arc::new(SystemClock),
        }
    }
}

/// A running door.
pub(crate) struct Stand {
    pub(crate) address: SocketAddr,
    pub(crate) life: Life,
    pub(crate) ingest: Ingest,
    pub(crate) stop_broker: CancellationToken,
    topology: Topology,
    /// The test's own connection, past any proxy.
    channel: Channel,
    lanes: Mutex<Vec<Lane>>,
}

/// A queue, and the test that consumes it: a queue with a single active consumer can not be peeked
/// into.
struct Lane {
    queue: Queue,
    consumer: Consumer,
}

/// A message as it lies in a queue.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) family: Family,
    pub(crate) lane: u8,
    pub(crate) message_id: String,
    pub(crate) has_trace: bool,
    pub(crate) event: WebhookEvent,
}

/// Runs `test` before a door of its own, and removes what it left at the broker.
pub(crate) async fn with_stand<F: Future<Output = ()>>(
    setup: Setup,
    test: impl FnOnce(Arc<Stand>) -> F,
) {
    let stand = Arc::new(Stand::start(setup).await);
    let outcome = AssertUnwindSafe(test(Arc::clone(&stand))).catch_unwind().await;
    stand.life.stop();
    stand.stop_broker.cancel();
    stand.life.tasks().close();
    let stopped = timeout(PATIENCE, stand.life.tasks().wait()).await;
    let cleaner = options(&Servers::from_env().amqp_url, &stand.topology);
    Broker::delete_topology(&cleaner).await.unwrap();
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
    assert!(stopped.is_ok(), "the door stops in time");
}

impl Stand {
    async fn start(setup: Setup) -> Self {
        telemetry::metrics::install();
        // Without a subscriber there are no spans, and no trace.
        // A registry without any layer never forgets a span.
        tracing_subscriber::registry().with(LevelFilter::INFO).try_init().ok();
        let servers = Servers::from_env();
        let life = Life::default();
        let stop_broker = CancellationToken::new();
        let topology = Topology::default()
            .with_prefix(format!("{}.", unique_name()))
            .with_families(vec![Family::Webhooks, Family::WebhooksSlow])
            .with_ladder(vec![Duration::from_secs(1)]);
        let options = options(&setup.amqp_url, &topology);
        let options = options.with_publish_deadline(setup.publish_deadline);
        let broker = Broker::start(options, life.tasks().clone(), stop_broker.clone());
        let tasks = life.tasks().clone();
        let coordination =
            Coordination::connect(&servers.redis_url, &unique_name(), tasks).await.unwrap();
        let dependencies = Dependencies {
            broker: broker.clone(),
            database: setup.database,
            sealer: sealer(),
            limiter: coordination.limiter().clone(),
            clock: setup.clock,
            settings: setup.settings,
        };
        let ingest = start(&life, dependencies).unwrap();
        let routes = ingest.clone();
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener { name: "test", address: local, workers: Some(2) };
        let address = serve(&life, listener, move |config: &mut _| routes.routes(config)).unwrap();
        broker.wait_ready(PATIENCE).await.unwrap();
        let own = Connection::connect(&servers.amqp_url, ConnectionProperties::default());
        let channel = own.await.unwrap().create_channel().await.unwrap();
        let mut lanes = Vec::new();
        for queue in [Family::Webhooks, Family::WebhooksSlow].into_iter().flat_map(Family::queues) {
            let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
            let name = topology.queue_name(queue);
            let consumer =
                channel.basic_consume(name.into(), "".into(), options, Default::default());
            lanes.push(Lane { queue, consumer: consumer.await.unwrap() });
        }
        let lanes = Mutex::new(lanes);
        Self { address, life, ingest, stop_broker, topology, channel, lanes }
    }

    /// A webhook of the default app.
    pub(crate) async fn post(&self, body: impl AsRef<[u8]>) -> u16 {
        Request::signed(PATH, SECRET, body).send(self.address).await.status
    }

    /// Takes everything out of all lanes: each lane's messages in their order.
    pub(crate) async fn kept(&self) -> Vec<Kept> {
        let mut lanes = self.lanes.lock().await;
        for lane in lanes.iter() {
            mark(&self.channel, &self.topology.queue_name(lane.queue)).await;
        }
        let mut kept = Vec::new();
        for lane in lanes.iter_mut() {
            let Queue::Work(family, number) = lane.queue else { continue };
            loop {
                let next = timeout(PATIENCE, lane.consumer.next()).await.expect("the mark in time");
                let delivery = next.unwrap().unwrap();
                let properties = &delivery.properties;
                if properties.kind().as_ref().is_some_and(|kind| kind.as_str() == MARK) {
                    break;
                }
                let records = records(&delivery.properties, &delivery.data).into_iter();
                kept.extend(records.filter_map(|record| Kept::of(family, number, &record)));
            }
        }
        kept
    }

    /// Waits until the app at `path` is known, and with it everything stored before it.
    pub(crate) async fn knows(&self, path: &str, token: &str) {
        let query = format!("{path}?hub.mode=subscribe&hub.challenge=1&hub.verify_token={token}");
        eventually("the app is known", async || {
            let answer = Request::new("GET", &query).send(self.address).await;
            (answer.status == 200).then_some(())
        })
        .await;
    }
}

impl Kept {
    /// `None` for the door's own markers: how far a lane has been worked off.
    fn of(family: Family, lane: u8, record: &Record) -> Option<Self> {
        let event = WebhookEvent::read(record.body.clone()).unwrap();
        let message_id = Uuid::from_slice(&record.message_id).unwrap().to_string();
        let has_trace = !record.traceparent.is_empty();
        let is_event = event.kind() != WebhookEventKind::Marker;
        is_event.then_some(Self { family, lane, message_id, has_trace, event })
    }
}

/// The messages in a delivery, which is one or a bundle.
fn records(properties: &BasicProperties, body: &[u8]) -> Vec<Record> {
    let kind = properties.kind().as_ref().unwrap().to_string();
    if kind == Bundle::TYPE {
        return Bundle::read(body).unwrap().records;
    }
    let headers = properties.headers().clone().unwrap_or_default();
    let traceparent = match headers.inner().get("traceparent") {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        _ => String::new(),
    };
    let id: Uuid = properties.message_id().as_ref().unwrap().as_str().parse().unwrap();
    let body = body.to_vec().into();
    vec![Record { message_id: contracts::uuid_bytes(id), r#type: kind, traceparent, body }]
}

/// Puts a mark behind everything that `queue` holds.
#[expect(clippy::disallowed_methods, reason = "past the publisher under test; the mark is awaited")]
async fn mark(channel: &Channel, queue: &str) {
    let properties = BasicProperties::default().with_type(MARK.into());
    let published =
        channel.basic_publish("".into(), queue.into(), Default::default(), &[], properties);
    published.await.unwrap();
}

pub(crate) fn sealer() -> Sealer {
    Sealer::new(&master_key()).unwrap()
}

pub(crate) fn database(url: &str) -> Database {
    let wait = Duration::from_secs(5);
    Database::new(DatabaseOptions { url: url.to_owned(), pool_size: 2, wait }).unwrap()
}

fn options(url: &str, topology: &Topology) -> BrokerOptions {
    BrokerOptions::new(url, topology.clone(), "ingest test").unwrap()
}
