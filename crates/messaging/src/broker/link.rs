//! One supervised connection.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kernel::chain;
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connect, Connection, ConnectionProperties, Event};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use super::{BrokerOptions, LinkState, Shared};
use crate::backoff::Backoff;
use crate::meter::SentMeter;
use crate::publisher::Job;
use crate::publisher::session::{Ended, ExchangeNames, Session};
use crate::topology::TopologyError;

/// Handshake, topology and confirm mode; a new installation creates dozens of queues.
const OPENING: Duration = Duration::from_secs(30);
/// The TCP connection and the handshake of AMQP.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Between two looks at a connection that reports nothing.
const LOOK: Duration = Duration::from_millis(500);
/// What is still queued after the stop has this long to be published.
const DRAIN: Duration = Duration::from_secs(5);

/// For each step of a farewell.
const FAREWELL: Duration = Duration::from_secs(2);

#[derive(Debug, Error)]
pub(super) enum OpenError {
    #[error("connection failed")]
    Connection(#[from] lapin::Error),
    #[error("topology is not declared")]
    Topology(#[from] TopologyError),
    #[error("broker does not answer")]
    Silent(#[from] tokio::time::error::Elapsed),
}

/// A connection and the channel it was opened with.
struct Opened {
    connection: Connection,
    channel: Channel,
}

/// Connects again and again, and tells the state.
pub(super) struct Link {
    name: &'static str,
    state: watch::Sender<LinkState>,
}

impl Link {
    pub(super) fn new(name: &'static str) -> (Self, watch::Receiver<LinkState>) {
        let (state, seen) = watch::channel(LinkState::Connecting);
        (Self { name, state }, seen)
    }

    /// Runs the publishing connection until the broker is over.
    pub(super) async fn publish(self, shared: Arc<Shared>, mut jobs: mpsc::Receiver<Job>) {
        let meter = SentMeter::register();
        let names = ExchangeNames::new(shared.topology());
        loop {
            let opened = tokio::select! {
                opened = self.open(&shared) => opened,
                () = shared.is_over() => return,
            };
            let Opened { connection, channel } = opened;
            let session = Session { channel: &channel, names: &names, meter: &meter };
            let work = session.run(&mut jobs, self.lost(&connection), shared.is_over());
            let ended = bounded_after(&shared, work).await;
            self.down(ended == Ended::Lost);
            if ended == Ended::Drained {
                // A dropped channel would still be closing when the connection does.
                timeout(FAREWELL, channel.close(200, "OK".into())).await.ok();
                return close(&connection).await;
            }
            // Their callers get the error now instead of at their deadline.
            while jobs.try_recv().is_ok() {}
        }
    }

    /// Runs the consuming connection until the broker is over.
    pub(super) async fn consume(
        self,
        shared: Arc<Shared>,
        connected: watch::Sender<Option<Arc<Connection>>>,
    ) {
        loop {
            let opened = tokio::select! {
                opened = self.open(&shared) => opened,
                () = shared.is_over() => return,
            };
            drop(opened.channel);
            let connection = Arc::new(opened.connection);
            connected.send_replace(Some(Arc::clone(&connection)));
            let is_over = tokio::select! {
                () = self.lost(&connection) => false,
                () = shared.is_over() => true,
            };
            connected.send_replace(None);
            self.down(!is_over);
            if is_over {
                return close(&connection).await;
            }
        }
    }

    /// Connects and declares, as often as it takes.
    async fn open(&self, shared: &Shared) -> Opened {
        let mut backoff = Backoff::reconnect();
        let mut is_first = true;
        loop {
            let problem = match timeout(OPENING, self.try_open(shared)).await {
                Ok(Ok(opened)) => {
                    info!(connection = self.name, "broker connected");
                    self.state.send_replace(LinkState::Up);
                    return opened;
                }
                Ok(Err(problem)) => problem,
                Err(elapsed) => elapsed.into(),
            };
            self.complain(&problem, is_first);
            is_first = false;
            sleep(backoff.pause()).await;
        }
    }

    /// Reports the change from connected to not connected once.
    fn complain(&self, problem: &OpenError, is_first: bool) {
        let (connection, cause) = (self.name, chain(problem));
        let is_conflict = matches!(problem, OpenError::Topology(TopologyError::Conflict { .. }));
        match (is_first, is_conflict) {
            (true, true) => error!(connection, error = %cause, "broker is not usable"),
            (true, false) => warn!(connection, error = %cause, "broker not connected, trying on"),
            (false, _) => debug!(connection, error = %cause, "broker still not connected"),
        }
    }

    async fn try_open(&self, shared: &Shared) -> Result<Opened, OpenError> {
        let connection = connect(&shared.options, self.name).await?;
        let channel = connection.create_channel().await?;
        {
            let _one_at_a_time = shared.declaring.lock().await;
            shared.topology().declare(&channel).await?;
        }
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Opened { connection, channel })
    }

    /// Ends when `connection` is of no use any more; follows resource alarms until then.
    async fn lost(&self, connection: &Connection) {
        // One listener for each connection: events go to one listener only.
        let mut events = connection.events_listener();
        while connection.status().connected() {
            match timeout(LOOK, events.next()).await {
                Ok(Some(Event::ConnectionBlocked(_))) => self.blocked(LinkState::Blocked),
                Ok(Some(Event::ConnectionUnblocked)) => self.blocked(LinkState::Up),
                // Channel errors are events, too; the connection's own state decides.
                Ok(Some(_)) | Err(_) => {}
                Ok(None) => return,
            }
        }
    }

    fn blocked(&self, state: LinkState) {
        self.state.send_replace(state);
        match state {
            LinkState::Blocked => warn!(connection = self.name, "broker blocks: resource alarm"),
            LinkState::Up | LinkState::Connecting => {
                info!(connection = self.name, "broker takes messages again");
            }
        }
    }

    fn down(&self, is_loss: bool) {
        self.state.send_replace(LinkState::Connecting);
        if is_loss {
            warn!(connection = self.name, "broker connection lost");
        } else {
            info!(connection = self.name, "broker connection closed");
        }
    }
}

/// Opens one connection, without topology.
pub(super) async fn connect(
    options: &BrokerOptions,
    purpose: &str,
) -> Result<Connection, lapin::Error> {
    let name = format!("{} ({purpose})", options.name);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    match timeout(HANDSHAKE, options.uri.clone().connect(properties)).await {
        Ok(connected) => connected,
        Err(elapsed) => Err(io::Error::new(io::ErrorKind::TimedOut, elapsed).into()),
    }
}

/// Bounds what is left of `work` once the broker is to stop: it may be blocked for hours.
async fn bounded_after(shared: &Shared, work: impl Future<Output = Ended>) -> Ended {
    tokio::pin!(work);
    tokio::select! {
        ended = &mut work => return ended,
        () = shared.is_over() => {}
    }
    timeout(DRAIN, work).await.unwrap_or(Ended::Drained)
}

async fn close(connection: &Connection) {
    let closed = timeout(FAREWELL, connection.close(200, "OK".into())).await;
    if let Ok(Err(error)) = closed {
        debug!(error = %chain(&error), "broker connection was closed already");
    }
}
