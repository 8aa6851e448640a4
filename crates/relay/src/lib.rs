//! Publishes what the outbox promises (ADR-0003).
//!
//! Two ways lead to the broker. The fast one: whoever committed events hands them over at once, in
//! order. The safe one: a sweep finds what was left behind by a crash or while the broker was away.
//! Both publish under the event's own id, so a second copy is recognised.
//!
//! Invariant: an outbox row is deleted only after the broker confirmed its event.

mod sweep;

use std::sync::Arc;

use contracts::names::header;
use contracts::{LaneKey, Message, events, lane_of};
use diesel_async::AsyncConnection;
use kernel::ids::EventId;
use kernel::{Clock, chain};
use messaging::{Exchange, Family, Outgoing, Publisher};
use storage::events::Event;
use storage::{Database, StorageError, outbox};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// Sets of events that may wait for the broker; a caller that commits faster has to wait.
const WAITING_SETS: usize = 64;

/// Events published together at most.
const MOST: usize = 1_000;

/// Takes committed events to the broker; cheap to clone.
#[derive(Clone)]
pub struct Relay {
    committed: mpsc::Sender<Vec<Event>>,
}

struct Worker {
    db: Database,
    publisher: Publisher,
}

impl Relay {
    /// Starts publishing; ends when `stop` is cancelled and what was handed over is published.
    pub fn start(
        db: Database,
        publisher: Publisher,
        clock: Arc<dyn Clock>,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let (committed, queue) = mpsc::channel(WAITING_SETS);
        let worker = Arc::new(Worker { db, publisher });
        tasks.spawn(Arc::clone(&worker).follow(queue, stop.clone()));
        tasks.spawn(sweep::run(worker, clock, stop));
        Self { committed }
    }

    /// Publishes events that have been committed with their outbox rows, soon and in order.
    ///
    /// Waits only while too much is waiting already. A failure is not the caller's: the outbox rows
    /// stay, and the sweep finds them.
    pub async fn publish(&self, events: Vec<Event>) {
        if !events.is_empty() && self.committed.send(events).await.is_err() {
            debug!("relay has stopped: events left to the sweep");
        }
    }
}

impl Worker {
    async fn follow(
        self: Arc<Self>,
        mut queue: mpsc::Receiver<Vec<Event>>,
        stop: CancellationToken,
    ) {
        let mut sets = Vec::new();
        loop {
            tokio::select! {
                biased;
                taken = queue.recv_many(&mut sets, WAITING_SETS) => if taken == 0 { return },
                () = stop.cancelled() => {
                    queue.close();
                    if queue.is_empty() {
                        return;
                    }
                    continue;
                }
            }
            let events: Vec<Event> = sets.drain(..).flatten().collect();
            for chunk in events.chunks(MOST) {
                self.publish_and_forget(chunk).await;
            }
        }
    }

    async fn publish_and_forget(&self, events: &[Event]) {
        let messages = events.iter().map(outgoing).collect();
        if let Err(error) = self.publisher.publish_all(messages).await {
            debug!(error = %chain(&error), "events left to the sweep");
            return;
        }
        let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
        if let Err(error) = self.forget(&ids).await {
            warn!(error = %chain(&error), "published events will be published again");
        }
    }

    async fn forget(&self, ids: &[EventId]) -> Result<(), StorageError> {
        let mut conn = self.db.connection().await?;
        (*conn)
            .transaction(async |tx| {
                outbox::relax_durability(tx).await?;
                outbox::delete(tx, ids).await
            })
            .await
    }
}

/// The event as a broker message: routing key `{type}.{lane}`, in the lane of its conversation; the
/// lane `-` when nobody of ours waits for it.
fn outgoing(event: &Event) -> Outgoing {
    let lane = event.conversation_id.map_or(0, |conversation| {
        let id = conversation.as_uuid();
        lane_of(LaneKey { line: id.as_bytes(), person: &[] }, Family::Chatbots.lanes())
    });
    let key = match event.is_awaited {
        true => format!("{}.{lane:02}", event.event_type),
        false => format!("{}.-", event.event_type),
    };
    let message = Outgoing::new(
        Exchange::Events,
        key,
        event.id.as_uuid(),
        events::Event::TYPE,
        event.body.clone(),
    )
    .with_header(header::WORKSPACE, &event.workspace_id.as_uuid().to_string());
    match &event.traceparent {
        Some(traceparent) => message.with_header(header::TRACEPARENT, traceparent),
        None => message,
    }
}
