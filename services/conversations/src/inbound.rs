//! The one decision point of everything inbound: a batch of webhook events becomes one transaction.
//!
//! Invariants:
//! - an event takes effect in the transaction that claims it in the ledger, or not at all;
//! - a lock only saves work: what goes on without it waits at the ledger's row instead;
//! - whatever is told onwards was promised in the same transaction.

mod consent;
mod lines;
mod meters;
mod read;
mod store;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use contracts::inbound::WebhookEvent;
use contracts::sync::SyncTick;
use coordination::{BatchGuard, LockClass, LockError, LockName, Locks, Patience};
use diesel_async::AsyncConnection;
use kernel::{Clock, Retryable, chain};
use messaging::{
    BatchHandler, Delivery, Exchange, Family, Fault, Outgoing, Publisher, Queue, Verdict,
};
use relay::Relay;
use storage::status_pipeline::{self, Pulse};
use storage::{Database, StorageError};
use telemetry::messages::{ALREADY_PROCESSED, CURRENTLY_PROCESSED};
use thiserror::Error;
use tracing::{Instrument, Span, debug, info, info_span};
use uuid::Uuid;

use self::lines::Lines;
use self::meters::Meters;
use self::read::{Item, What};
use self::store::Stored;
pub(crate) use self::store::tell_steps;

/// Traces that a batch is linked to at most.
const LINKS: usize = 16;

/// Why a batch had no effect.
#[derive(Debug, Error)]
enum InboundError {
    #[error("the batch was not stored")]
    Storage(#[from] StorageError),
    #[error("the batch lost its locks before it was stored")]
    LocksLost,
}

impl From<diesel::result::Error> for InboundError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Storage(error.into())
    }
}

impl Retryable for InboundError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Storage(error) => error.is_transient(),
            Self::LocksLost => true,
        }
    }
}

/// Handles webhook events, from the ordinary lanes and from the slow ones.
#[derive(Clone)]
pub(crate) struct Inbound {
    db: Database,
    locks: Locks,
    relay: Relay,
    publisher: Publisher,
    clock: Arc<dyn Clock>,
    lines: Arc<Lines>,
    meters: Arc<Meters>,
    pulse: Pulse,
}

impl BatchHandler for Inbound {
    type Message = WebhookEvent;

    async fn handle(&self, batch: Vec<Delivery<WebhookEvent>>) -> Result<Vec<Verdict>, Fault> {
        let played = self.play(&batch).instrument(batch_span(&batch)).await;
        if played.is_err() {
            self.pulse.failed(); // what fails may be set aside, behind the lane's later markers
        }
        played?;
        Ok(batch.iter().map(|_| Verdict::Done).collect())
    }
}

impl Inbound {
    pub(crate) fn new(
        db: Database,
        locks: Locks,
        relay: Relay,
        publisher: Publisher,
        clock: Arc<dyn Clock>,
        pulse: Pulse,
    ) -> Self {
        let lines = Arc::new(Lines::new(db.clone()));
        let meters = Arc::new(Meters::register());
        Self { db, locks, relay, publisher, clock, lines, meters, pulse }
    }

    async fn play(&self, batch: &[Delivery<WebhookEvent>]) -> Result<(), Fault> {
        let lines = self.lines.find(batch.iter().map(|delivery| &delivery.message)).await?;
        let mut items: Vec<Item> = Vec::with_capacity(batch.len());
        let mut markers = Vec::new();
        for delivery in batch {
            match read::marker(&delivery.message) {
                Some(made_at) => markers.push((lane_name(delivery.queue()), made_at)),
                None => items.push(Item::read(&delivery.message, delivery.traceparent(), &lines)),
            }
        }
        let slow = batch.iter().any(|delivery| is_slow(delivery.queue()));
        let turns = self.take_turns(&items, slow).await;
        let guard = self.lock(&items).await;
        let stored = self.store(&items, markers, guard.as_ref()).await?;
        self.report(&items, &stored);
        let release = async {
            for guard in [turns, guard].into_iter().flatten() {
                guard.release().await;
            }
        };
        tokio::join!(self.relay.publish(stored.events), release);
        if stored.has_template_news {
            self.hint_at_templates().await;
        }
        Ok(())
    }

    /// A hint that is lost is made good by the sweep of template-sync.
    async fn hint_at_templates(&self) {
        let key = Family::SyncTemplates.routing_key(0);
        let hint = Outgoing::of(Exchange::Lanes, key, Uuid::now_v7(), &SyncTick::default());
        if let Err(error) = self.publisher.publish(hint).await {
            debug!(error = %chain(&error), "news about templates left to the sweep");
        }
    }

    async fn store(
        &self,
        items: &[Item],
        markers: Vec<(String, DateTime<Utc>)>,
        guard: Option<&BatchGuard>,
    ) -> Result<Stored, InboundError> {
        let now = self.clock.now();
        let mut conn = self.db.connection().await?;
        let stored = (*conn)
            .transaction(async |tx| {
                let stored = store::store(tx, items, now).await?;
                status_pipeline::pass(tx, markers).await?;
                if guard.is_some_and(|guard| !guard.is_valid()) {
                    return Err(InboundError::LocksLost);
                }
                Ok(stored)
            })
            .instrument(info_span!("tx inbound", db.system = "postgresql"))
            .await;
        self.meters.transaction(stored.is_ok());
        stored
    }

    /// L2 and L3, all in one round trip. Whoever still holds one after the wait is dead, or about to
    /// commit: we go on, and the ledger's row makes us wait for exactly that.
    async fn lock(&self, items: &[Item]) -> Option<BatchGuard> {
        let names = items.iter().filter_map(|item| match &item.what {
            What::Message(message) => Some(LockName::WebhookMessage(message.wamid.clone()?)),
            What::Status(status) => Some(LockName::WebhookStatus(status.wamid.clone())),
            What::Record { .. } => None,
        });
        let names: Vec<LockName> = names.collect();
        if names.is_empty() {
            return None;
        }
        let taken = self.locks.lock_many(names, Patience::of(LockClass::WebhookMessage)).await;
        let guard = go_on_unlocked(taken)?;
        if !guard.busy().is_empty() {
            info!(count = guard.busy().len(), "{CURRENTLY_PROCESSED}");
        }
        Some(guard)
    }

    /// L1, for slow lanes: their connections are drained one batch at a time.
    async fn take_turns(&self, items: &[Item], slow: bool) -> Option<BatchGuard> {
        if !slow {
            return None;
        }
        let connections = items.iter().filter_map(|item| item.line.as_ref());
        let names = connections.map(|line| LockName::WebhookConnection(line.connection_id));
        let patience = Patience::of(LockClass::WebhookConnection);
        go_on_unlocked(self.locks.lock_many(names, patience).await)
    }

    fn report(&self, items: &[Item], stored: &Stored) {
        let now = self.clock.now();
        for (item, is_first) in items.iter().zip(&stored.is_first) {
            self.meters.handled(item, *is_first, now);
            if *is_first {
                continue;
            }
            let line = item.line.as_ref();
            info!(
                event = "duplicate.already_processed",
                message.id = %item.event_id,
                workspace = line.map(|line| tracing::field::display(line.workspace_id)),
                connection = line.map(|line| tracing::field::display(line.connection_id)),
                kind = item.kind(),
                "{ALREADY_PROCESSED}"
            );
        }
    }
}

/// A batch of one continues the trace of its event; a larger one is linked to the first of them.
fn batch_span(batch: &[Delivery<WebhookEvent>]) -> Span {
    let span = info_span!("process inbound", size = batch.len());
    match batch {
        [only] => {
            if let Some(traceparent) = only.traceparent() {
                telemetry::trace::set_parent(&span, traceparent);
            }
        }
        several => {
            for traceparent in several.iter().filter_map(Delivery::traceparent).take(LINKS) {
                telemetry::trace::link(&span, traceparent);
            }
        }
    }
    span
}

/// Without Redis the ledger alone decides (D2).
fn go_on_unlocked(taken: Result<BatchGuard, LockError>) -> Option<BatchGuard> {
    taken.inspect_err(|error| debug!(error = %chain(error), "batch goes on without its locks")).ok()
}

fn lane_name(queue: Queue) -> String {
    queue.return_key()
}

fn is_slow(queue: Queue) -> bool {
    match queue {
        Queue::Work(Family::WebhooksSlow, _) => true,
        Queue::Work(..) | Queue::Parking | Queue::Unrouted => false,
    }
}
