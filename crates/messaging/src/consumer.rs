//! Feeds a [`BatchHandler`] from queues, and settles what it did.
//!
//! # Rules
//!
//! - A delivery is acknowledged only after its handler committed it, or after the broker confirmed
//!   that it is in a wait queue or in the dead letters. Nothing is ever requeued by hand: on a
//!   quorum queue that loses the order and uses up the delivery limit of healthy messages.
//! - One channel consumes all queues of a consumer, and one handler call runs at a time. Batches are
//!   contiguous ranges of delivery tags, so one multiple acknowledgement settles a batch and nothing
//!   else.
//! - A delivery may be a bundle of messages (ADR-0011). Handlers see messages; a delivery is settled
//!   when each of its messages has a verdict.
//! - The first error or end of a stream ends the session, and so does an acknowledgement that
//!   reports a dead channel. A new session gets the unsettled deliveries again.
//! - A batch is what has arrived. An idle consumer hands on a single delivery at once; a busy one
//!   waits up to [`ConsumerOptions::linger`] to fill its batch.
//!
//! # When handling fails
//!
//! A failed batch is tried once more at once: deadlocks and lost races pass. If it fails again,
//! its deliveries are handled one by one, and each outcome counts for that delivery alone:
//!
//! - *permanent* failures and panics are dead letters;
//! - a *transient* failure is the message's own only if other messages succeed meanwhile. Then it
//!   is tried a last time and climbs the wait ladder. If three in a row fail, or nothing succeeds,
//!   a dependency is away and nobody is at fault: everything is held, the pause grows from 100 ms
//!   to 5 s, and the batch is tried again together with what arrived meanwhile. The next round
//!   starts behind the ones that were tried, so a group of bad messages can not hide the good
//!   ones. A lone message with a transient failure is thus held in place until it works or
//!   another message succeeds: no ladder is climbed during an outage, however long.
//!   (After 30 minutes the broker takes deliveries back by itself and delivers them again; that
//!   can happen [20 times](crate::Topology) before it buries them.)
//!
//! A delivery that the broker took back twice without an acknowledgement may have killed its
//! process. It is handled alone, and each settlement is sent before the next delivery is tried; a
//! bundle is taken apart, and each of its messages goes back to its lane alone.

mod batch;
mod intake;
mod isolate;
mod session;
mod settle;

use std::sync::Arc;
use std::time::Duration;

use kernel::chain;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::session::{Session, SessionEnd};
use crate::backoff::Backoff;
use crate::broker::Broker;
use crate::handler::BatchHandler;
use crate::meter::ConsumedMeter;
use crate::topology::Queue;

/// What a [`Consumer`] consumes and how.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// For logs, and the consumer tag at the broker.
    pub name: &'static str,
    /// Consumed together, in the order of arrival.
    pub queues: Vec<Queue>,
    /// Messages in one handler call at most, or few more when the last of them came in one bundle.
    /// Twice as many deliveries are fetched ahead.
    pub max_batch: usize,
    /// How long a busy consumer waits to fill a batch; an idle one does not wait.
    pub linger: Duration,
}

impl ConsumerOptions {
    /// Batches of up to 250, filled for up to 5 ms.
    pub fn new(name: &'static str, queues: impl IntoIterator<Item = Queue>) -> Self {
        Self {
            name,
            queues: queues.into_iter().collect(),
            max_batch: 250,
            linger: Duration::from_millis(5),
        }
    }
}

/// A subscription that lasts: sessions end with their channel, the consumer goes on.
pub struct Consumer<H> {
    broker: Broker,
    options: ConsumerOptions,
    handler: Arc<H>,
}

impl<H: BatchHandler> Consumer<H> {
    /// Makes a consumer; [`Consumer::run`] or [`Consumer::spawn`] starts it.
    pub fn new(broker: &Broker, options: ConsumerOptions, handler: H) -> Self {
        Self { broker: broker.clone(), options, handler: Arc::new(handler) }
    }

    /// Runs on the broker's task tracker until `stop`, or until the broker stops.
    pub fn spawn(broker: &Broker, options: ConsumerOptions, handler: H, stop: CancellationToken) {
        let consumer = Self::new(broker, options, handler);
        broker.shared.tasks.spawn(consumer.run(stop));
    }

    /// Runs until `stop`, or until the broker stops; finishes the batch in hand. What was fetched
    /// ahead goes back to the broker.
    pub fn run(self, stop: CancellationToken) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::clone(&self.broker.shared);
        // Tracked from here on, so that the broker does not close its connections before.
        shared.consumers.track_future(async move {
            let ending = self.broker.shared.stop.child_token();
            let work = self.work(ending.clone());
            tokio::pin!(work);
            tokio::select! {
                () = &mut work => return,
                () = stop.cancelled() => ending.cancel(),
            }
            work.await;
        })
    }

    async fn work(&self, stop: CancellationToken) {
        let label = self.options.queues.first().map_or("none", |queue| queue.label());
        let meter = ConsumedMeter::register(label);
        let mut backoff = Backoff::reconnect();
        let mut is_reported = false;
        let mut connection = self.broker.connection.clone();
        loop {
            let up = stop.run_until_cancelled(connection.wait_for(Option::is_some)).await;
            let Some(Ok(connected)) = up.map(|up| up.map(|up| up.clone())) else { return };
            let Some(connected) = connected else { continue };
            let session = Session {
                broker: &self.broker,
                options: &self.options,
                handler: self.handler.as_ref(),
                meter: &meter,
                stop: &stop,
            };
            let consumer = self.options.name;
            let opened = || {
                backoff.reset();
                is_reported = false;
            };
            match session.run(&connected, opened).await {
                SessionEnd::Stopped => return info!(consumer, "consumer stopped"),
                ended if is_reported && matches!(ended, SessionEnd::NotOpened(_)) => {
                    debug!(consumer, error = %chain(&ended), "consumer still waits");
                }
                ended => warn!(consumer, error = %chain(&ended), "consumer session ended"),
            }
            is_reported = true;
            drop(connected);
            stop.run_until_cancelled(tokio::time::sleep(backoff.pause())).await;
        }
    }
}
