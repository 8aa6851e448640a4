//! The broker as seen without the product: samples, depths, and the raw limit.

use std::time::Duration;

use anyhow::{Context, bail};
use contracts::Message;
use contracts::inbound::{WebhookEvent, WebhookEventKind};
use contracts::transport::{Bundle, Record};
use futures_util::future::{FutureExt, join_all};
use futures_util::stream::{FuturesUnordered, StreamExt, TryStreamExt};
use lapin::options::{
    BasicConsumeOptions, BasicQosOptions, ConfirmSelectOptions, QueueDeclareOptions,
    QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use lapin::{PublisherConfirm, Result as AmqpResult};
use messaging::{Argument, Declaration, Family, Topology};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use url::Url;

use crate::driver::number;

/// Publishes on the way at once; where the rate stops growing (data of 2026-11, see
/// docs/benchmarks.md).
const WINDOW: usize = 1_000;
/// Where a URL without a port leads.
const AMQP_PORT: u16 = 5672;
/// Messages that stand for a shape.
const SAMPLES: u16 = 256;
/// How long to wait for them.
const SAMPLING: Duration = Duration::from_secs(1);

/// A connection of our own.
pub(crate) struct Broker {
    connection: Connection,
    place: (String, u16),
    channel: Channel,
    topology: Topology,
    raw_queue: String,
}

/// A message as the product published it.
#[derive(Clone)]
pub(crate) struct Sample {
    properties: BasicProperties,
    body: Vec<u8>,
}

impl Sample {
    pub(crate) fn bytes(&self) -> usize {
        self.body.len()
    }

    /// The messages in a delivery, each as it would have travelled alone.
    fn messages(&self) -> anyhow::Result<Vec<Self>> {
        if self.properties.kind().as_ref().is_none_or(|kind| kind.as_str() != Bundle::TYPE) {
            return Ok(vec![self.clone()]);
        }
        let records = Bundle::read(self.body.as_slice())?.records.into_iter();
        let alone = |record: Record| Self {
            properties: self.properties.clone().with_type(record.r#type.into()),
            body: record.body.into(),
        };
        Ok(records.map(alone).collect())
    }

    /// How many of Meta's events are in it; the door's own markers are none.
    fn events(&self) -> anyhow::Result<u64> {
        let mut events = 0;
        for message in self.messages()? {
            let event = WebhookEvent::read(message.body.as_slice())?;
            events += u64::from(event.kind() != WebhookEventKind::Marker);
        }
        Ok(events)
    }
}

impl Broker {
    pub(crate) async fn connect(url: &str, prefix: &str) -> anyhow::Result<Self> {
        let connected = Connection::connect(url, ConnectionProperties::default()).await;
        let connection = connected.context("RabbitMQ does not answer")?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let topology = Topology::default().with_prefix(prefix);
        let uri: Url = url.parse()?;
        let place =
            (uri.host_str().unwrap_or("127.0.0.1").to_owned(), uri.port().unwrap_or(AMQP_PORT));
        let raw_queue = format!("{prefix}raw");
        let this = Self { connection, place, channel, topology, raw_queue };
        this.declare_raw_queue().await?;
        Ok(this)
    }

    pub(crate) const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// What the server calls itself when it greets; the library keeps that to itself.
    pub(crate) async fn version(&self) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(&self.place).await?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
        let mut greeting = vec![0; 1_024];
        let length = stream.read(&mut greeting).await?;
        let greeting = greeting.get(..length).unwrap_or_default();
        // A short string, then 'S' and the length in four bytes, of which the last is enough.
        let key = b"versionS\0\0\0";
        let at = greeting.windows(key.len()).position(|window| window == key);
        let value = at.and_then(|at| greeting.get(at + key.len()..)).and_then(<[u8]>::split_first);
        let value = value.and_then(|(length, text)| text.get(..usize::from(*length)));
        Ok(String::from_utf8_lossy(value.unwrap_or(b"of unknown version")).into_owned())
    }

    /// A queue of the same arguments as those that webhooks wait in.
    async fn declare_raw_queue(&self) -> anyhow::Result<()> {
        let like = self.topology.queue_name(Family::Webhooks.queue(0));
        let arguments = self.topology.describe().into_iter().find_map(|declared| match declared {
            Declaration::Queue { name, arguments } if name == like => Some(arguments),
            Declaration::Queue { .. }
            | Declaration::Exchange { .. }
            | Declaration::Binding { .. } => None,
        });
        let mut table = FieldTable::default();
        for (name, value) in arguments.context("webhooks have no queue")? {
            let value = match value {
                Argument::Text(text) => AMQPValue::LongString(text.into()),
                Argument::Number(number) => AMQPValue::LongInt(number),
                Argument::Flag(flag) => AMQPValue::Boolean(flag),
            };
            table.insert(name.into(), value);
        }
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        self.channel.queue_declare(self.raw_queue.as_str().into(), durable, table).await?;
        Ok(())
    }

    fn queues(&self, families: &[Family]) -> Vec<String> {
        let queues = families.iter().flat_map(|family| family.queues());
        queues.map(|queue| self.topology.queue_name(queue)).collect()
    }

    /// Messages that wait in the queues of `families`.
    pub(crate) async fn depth(&self, families: &[Family]) -> anyhow::Result<u64> {
        let mut depth = 0;
        for queue in self.queues(families) {
            depth += self.length(&queue).await?;
        }
        Ok(depth)
    }

    /// Takes everything out of the queues of `families`; answers with the number of events.
    pub(crate) async fn drain(&self, families: &[Family]) -> anyhow::Result<u64> {
        let mut events = 0;
        for queue in self.queues(families) {
            let messages = usize::try_from(self.length(&queue).await?)?;
            let channel = self.connection.create_channel().await?;
            let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
            let none = FieldTable::default();
            let consumer = channel.basic_consume(queue.as_str().into(), "".into(), options, none);
            let mut deliveries = consumer.await?.take(messages);
            while let Some(delivery) = deliveries.next().await {
                let delivery = delivery?;
                let taken = Sample { properties: delivery.properties, body: delivery.data };
                events += taken.events()?;
            }
            channel.close(200, "OK".into()).await?;
        }
        Ok(events)
    }

    async fn length(&self, queue: &str) -> anyhow::Result<u64> {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let declared = self.channel.queue_declare(queue.into(), passive, FieldTable::default());
        Ok(u64::from(declared.await?.message_count()))
    }

    async fn longest_queue(&self) -> anyhow::Result<String> {
        let mut longest = (0, String::new());
        for queue in self.queues(&[Family::Webhooks]) {
            longest = longest.max((self.length(&queue).await?, queue));
        }
        Ok(longest.1)
    }

    /// Empties every queue, so that the next run finds them as short as this one did.
    pub(crate) async fn purge(&self) -> anyhow::Result<()> {
        let mut queues = self.queues(Family::ALL);
        queues.push(self.raw_queue.clone());
        for queue in queues {
            self.channel.queue_purge(queue.as_str().into(), QueuePurgeOptions::default()).await?;
        }
        Ok(())
    }

    /// Copies messages that the product has just published.
    pub(crate) async fn samples(&self) -> anyhow::Result<Vec<Sample>> {
        // Where one consumer at a time is allowed, single messages cannot be asked for.
        let channel = self.connection.create_channel().await?;
        channel.basic_qos(SAMPLES, BasicQosOptions::default()).await?;
        let queue = self.longest_queue().await?;
        let (tag, none) = ("samples".into(), FieldTable::default());
        let options = BasicConsumeOptions::default();
        let deliveries = channel.basic_consume(queue.as_str().into(), tag, options, none).await?;
        let deliveries: Vec<Sample> = deliveries
            .take_until(sleep(SAMPLING))
            .take(usize::from(SAMPLES))
            .map_ok(|delivery| Sample { properties: delivery.properties, body: delivery.data })
            .try_collect()
            .await?;
        let mut samples = Vec::new();
        for delivery in &deliveries {
            samples.extend(delivery.messages()?);
        }
        channel.close(200, "OK".into()).await?;
        if samples.is_empty() {
            bail!("the product has published nothing");
        }
        Ok(samples)
    }

    /// Confirmed publishes per second of messages like `samples`, with nothing around them.
    pub(crate) async fn raw_limit(
        &self,
        samples: &[Sample],
        time: Duration,
    ) -> anyhow::Result<f64> {
        let mut next = samples.iter().cycle();
        let mut on_the_way = FuturesUnordered::new();
        let mut confirmed = 0;
        let begun = Instant::now();
        while begun.elapsed() < time {
            let room = WINDOW.saturating_sub(on_the_way.len());
            let burst = next.by_ref().take(room).map(|sample| self.publish(sample));
            for sent in join_all(burst).await {
                on_the_way.push(sent?);
            }
            confirmed += confirmation(on_the_way.next().await)?;
            while let Some(more @ Some(_)) = on_the_way.next().now_or_never() {
                confirmed += confirmation(more)?;
            }
        }
        while let Some(rest) = on_the_way.next().await {
            confirmed += confirmation(Some(rest))?;
        }
        let rate = number(confirmed) / begun.elapsed().as_secs_f64();
        self.purge().await?;
        Ok(rate)
    }

    #[expect(clippy::disallowed_methods, reason = "this is what messaging is compared with")]
    async fn publish(&self, sample: &Sample) -> AmqpResult<PublisherConfirm> {
        let (key, properties) = (self.raw_queue.as_str().into(), sample.properties.clone());
        self.channel
            .basic_publish("".into(), key, Default::default(), &sample.body, properties)
            .await
    }

    /// Deletes the queue of our own; the product's topology is deleted by its owner.
    pub(crate) async fn remove(&self) -> anyhow::Result<()> {
        let queue = self.raw_queue.as_str().into();
        self.channel.queue_delete(queue, QueueDeleteOptions::default()).await?;
        Ok(())
    }
}

fn confirmation(answer: Option<AmqpResult<Confirmation>>) -> anyhow::Result<u64> {
    match answer {
        Some(Ok(Confirmation::Ack(None))) => Ok(1),
        Some(Ok(other)) => bail!("the broker refused a raw message: {other:?}"),
        Some(Err(error)) => Err(error.into()),
        None => Ok(0),
    }
}
