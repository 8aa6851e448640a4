//! Keeps the connections to RabbitMQ alive.
//!
//! Two connections for each process, because a memory or disk alarm blocks a connection that
//! publishes, and with it every acknowledgement on it. The library's own recovery is off: it
//! needs half a minute after an outage and leaves consumers hanging after a channel error.
//! Each connection declares the topology before it is used, so a broker that lost its definitions
//! gets them back.

mod link;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kernel::{Clock, SystemClock, chain};
use lapin::Connection;
use lapin::uri::AMQPUri;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use self::link::Link;
use crate::meter;
use crate::publisher::session::QUEUED_JOBS;
use crate::publisher::{Job, Publisher};
use crate::topology::{Topology, TopologyError, TopologyRemains};

/// The broker URL can not be read. It is not shown: it may hold a password.
#[derive(Debug, Error)]
#[error("broker URL is not of the form amqp://user:password@host:port/vhost")]
pub struct InvalidUrl;

/// The broker was not connected in time.
#[derive(Debug, Error)]
#[error("broker is not ready after {0:?}")]
pub struct NotReady(Duration);

/// What a [`Broker`] needs to know.
#[derive(Clone)]
pub struct BrokerOptions {
    uri: AMQPUri,
    topology: Topology,
    name: String,
    publish_deadline: Duration,
    clock: Arc<dyn Clock>,
}

impl BrokerOptions {
    /// Connects to `url`, shown in the broker's management pages as `name`.
    ///
    /// `heartbeat` (10 s) and `connection_timeout` (5000 ms) of the URL's query decide how fast a
    /// dead broker is noticed; the server's default heartbeat of 60 s would be two minutes.
    ///
    /// # Errors
    ///
    /// [`InvalidUrl`] when `url` is not an AMQP URL.
    pub fn new(url: &str, topology: Topology, name: impl Into<String>) -> Result<Self, InvalidUrl> {
        let Ok(mut uri) = url.parse::<AMQPUri>() else { return Err(InvalidUrl) };
        uri.query.heartbeat.get_or_insert(10);
        uri.query.connection_timeout.get_or_insert(5_000);
        Ok(Self {
            uri,
            topology,
            name: name.into(),
            publish_deadline: Duration::from_secs(2),
            clock: Arc::new(SystemClock),
        })
    }

    /// How long a caller waits for a confirm; 2 s by default, so that a webhook is refused in time
    /// for Meta to notice.
    #[must_use]
    pub fn with_publish_deadline(mut self, deadline: Duration) -> Self {
        self.publish_deadline = deadline;
        self
    }

    /// Where the timestamps of messages come from.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

impl fmt::Debug for BrokerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerOptions").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The state of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Not connected, or the topology is not declared yet.
    Connecting,
    /// In use.
    Up,
    /// Connected, but the broker takes nothing: a resource alarm.
    Blocked,
}

/// The state of both connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// The connection that publishes.
    pub publish: LinkState,
    /// The connection that consumes.
    pub consume: LinkState,
}

impl Health {
    /// `true` when messages flow in both directions.
    pub fn is_ready(self) -> bool {
        self.publish == LinkState::Up && self.consume == LinkState::Up
    }
}

/// The connections to RabbitMQ; clones share them.
#[derive(Clone)]
pub struct Broker {
    pub(crate) shared: Arc<Shared>,
    publisher: Publisher,
    publish_state: watch::Receiver<LinkState>,
    consume_state: watch::Receiver<LinkState>,
    /// The consuming connection while it is up.
    pub(crate) connection: watch::Receiver<Option<Arc<Connection>>>,
}

pub(crate) struct Shared {
    pub(crate) options: BrokerOptions,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    /// Consumers settle through both connections, so these outlive them.
    pub(crate) consumers: TaskTracker,
    /// One declaration of the topology at a time.
    declaring: tokio::sync::Mutex<()>,
}

impl Shared {
    pub(crate) fn topology(&self) -> &Topology {
        &self.options.topology
    }

    /// Declares the topology again on a connection in use.
    pub(crate) async fn declare(&self, connection: &Connection) {
        let declared = async {
            let channel = connection.create_channel().await?;
            let _one_at_a_time = self.declaring.lock().await;
            self.topology().declare(&channel).await.map_err(link::OpenError::from)
        };
        if let Err(error) = declared.await {
            warn!(error = %chain(&error), "topology could not be declared again");
        }
    }

    /// `stop` was asked for and no consumer is left.
    async fn is_over(&self) {
        self.stop.cancelled().await;
        self.consumers.close();
        self.consumers.wait().await;
    }
}

impl Broker {
    /// Starts connecting and goes on trying for as long as it takes.
    ///
    /// After `stop` the consumers finish their batches, queued messages are published, and the
    /// connections are closed. Publishing fails from then on: stop HTTP servers first. Install the
    /// metrics recorder before.
    pub fn start(options: BrokerOptions, tasks: TaskTracker, stop: CancellationToken) -> Self {
        meter::describe();
        let (publish_link, publish_state) = Link::new("publish");
        let (consume_link, consume_state) = Link::new("consume");
        let (jobs, queued) = mpsc::channel::<Job>(QUEUED_JOBS);
        let (connected, connection) = watch::channel(None);
        let deadline = options.publish_deadline;
        let clock = Arc::clone(&options.clock);
        let publisher = Publisher::new(jobs, publish_state.clone(), deadline, clock);
        let shared = Arc::new(Shared {
            options,
            tasks,
            stop,
            consumers: TaskTracker::new(),
            declaring: tokio::sync::Mutex::new(()),
        });
        shared.tasks.spawn(publish_link.publish(Arc::clone(&shared), queued));
        shared.tasks.spawn(consume_link.consume(Arc::clone(&shared), connected));
        Self { shared, publisher, publish_state, consume_state, connection }
    }

    /// Publishes through this broker.
    pub fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    /// What is declared.
    pub fn topology(&self) -> &Topology {
        self.shared.topology()
    }

    /// The state of the connections, for `/readyz`.
    pub fn health(&self) -> Health {
        Health { publish: *self.publish_state.borrow(), consume: *self.consume_state.borrow() }
    }

    /// Waits until both connections are up.
    ///
    /// # Errors
    ///
    /// [`NotReady`] when that takes longer than `patience`; the broker goes on trying.
    pub async fn wait_ready(&self, patience: Duration) -> Result<(), NotReady> {
        let mut states = [self.publish_state.clone(), self.consume_state.clone()];
        let ready = async {
            while !self.health().is_ready() {
                let [publish, consume] = &mut states;
                let changed = tokio::select! {
                    changed = publish.changed() => changed,
                    changed = consume.changed() => changed,
                };
                if changed.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        timeout(patience, ready).await.map_err(|_elapsed| NotReady(patience))
    }

    /// Declares the topology once and leaves: for installation, and to see what is wrong with it.
    ///
    /// # Errors
    ///
    /// [`TopologyError`] names what can not be declared.
    pub async fn declare_topology(options: &BrokerOptions) -> Result<(), TopologyError> {
        let connection = link::connect(options, "declare").await?;
        let channel = connection.create_channel().await?;
        options.topology.declare(&channel).await?;
        channel.close(200, "OK".into()).await?;
        Ok(connection.close(200, "OK".into()).await?)
    }

    /// Deletes everything of the topology with all messages in it: for tests and uninstallation.
    ///
    /// # Errors
    ///
    /// [`TopologyRemains`] when the broker can not be reached or refuses.
    pub async fn delete_topology(options: &BrokerOptions) -> Result<(), TopologyRemains> {
        let connection = link::connect(options, "delete").await?;
        let channel = connection.create_channel().await?;
        options.topology.delete(&channel).await?;
        channel.close(200, "OK".into()).await?;
        Ok(connection.close(200, "OK".into()).await?)
    }
}
