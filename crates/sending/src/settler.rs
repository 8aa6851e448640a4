//! Writes outcomes down in batches, and keeps trying until the database has them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::events::MessageStatusChanged;
use contracts::events::event::Detail;
use contracts::names::event;
use diesel_async::AsyncConnection;
use kernel::ids::MessageId;
use kernel::{Clock, chain};
use relay::Relay;
use storage::events::{Event, Happened};
use storage::send_ledger::claim::Claimed;
use storage::send_ledger::settle::{self, Moved, Settlement};
use storage::{Database, StorageError, events};
use tokio::sync::{Notify, mpsc};
use tracing::{error, warn};

use crate::outcome::Judged;

/// Outcomes written in one transaction at most.
const MOST: usize = 64;

/// Pause between two tries while the database is away.
const PAUSE: Duration = Duration::from_millis(250);

/// A posted message and what came of it.
pub(crate) struct Job {
    message: Claimed,
    judged: Judged,
}

impl Job {
    pub(crate) fn new(message: Claimed, judged: Judged) -> Self {
        let (source, outcome) = (message.source.as_str(), judged.label);
        metrics::counter!("switchyard_send_attempts_total", "source" => source, "outcome" => outcome)
            .increment(1);
        Self { message, judged }
    }

    fn settlement(&self) -> Settlement {
        Settlement {
            attempt_id: self.message.attempt_id,
            message_id: self.message.message_id,
            campaign_id: self.message.campaign_id,
            epoch: self.message.epoch,
            outcome: self.judged.outcome.clone(),
        }
    }
}

pub(crate) struct Settler {
    db: Database,
    relay: Relay,
    clock: Arc<dyn Clock>,
}

/// Runs until every sender of jobs is gone.
pub(crate) async fn run(settler: Settler, mut jobs: mpsc::Receiver<Job>, nudge: Arc<Notify>) {
    let mut batch = Vec::with_capacity(MOST);
    while jobs.recv_many(&mut batch, MOST).await > 0 {
        // Doing it again changes nothing, so an unknown commit is simply repeated.
        let events = loop {
            match settler.settle(&batch).await {
                Ok(events) => break events,
                Err(error) => {
                    warn!(error = %chain(&error), "outcomes of sends wait for the database");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        batch.clear();
        nudge.notify_one(); // the next message to the same person may leave now
        settler.relay.publish(events).await;
    }
}

impl Settler {
    pub(crate) fn new(db: Database, relay: Relay, clock: Arc<dyn Clock>) -> Self {
        // Every series exists from the start: born with 1, it would page nobody.
        metrics::counter!("switchyard_duplicate_escaped_total", "stage" => "send").increment(0);
        for outcome in ["accepted", "retryable", "permanent", "uncertain"] {
            metrics::counter!(
                "switchyard_send_attempts_total", "source" => "bot", "outcome" => outcome
            )
            .increment(0);
        }
        Self { db, relay, clock }
    }

    async fn settle(&self, batch: &[Job]) -> Result<Vec<Event>, StorageError> {
        let now = self.clock.now();
        let mut conn = self.db.connection().await?;
        (*conn)
            .transaction(async |tx| {
                let settlements = batch.iter().map(Job::settlement).collect();
                let moved = settle::settle(tx, settlements, Vec::new(), now).await?;
                if moved.duplicates > 0 {
                    metrics::counter!("switchyard_duplicate_escaped_total", "stage" => "send")
                        .increment(u64::try_from(moved.duplicates).unwrap_or(u64::MAX));
                    error!(count = moved.duplicates, "Meta accepted a message twice");
                }
                let happened = happened(batch, &moved, now);
                events::append(tx, &happened, now).await?;
                Ok(happened)
            })
            .await
    }
}

fn happened(batch: &[Job], moved: &Moved, now: DateTime<Utc>) -> Vec<Event> {
    let messages: HashMap<MessageId, &Claimed> =
        batch.iter().map(|job| (job.message.message_id, &job.message)).collect();
    let accepted = moved.accepted.iter().map(|id| (*id, event::MESSAGE_ACCEPTED, "accepted", 0));
    let failed =
        moved.failed.iter().map(|(id, code)| (*id, event::MESSAGE_FAILED, "failed", *code));
    accepted
        .chain(failed)
        .filter_map(|(id, event_type, status, error_code)| {
            let message = messages.get(&id)?;
            let status = MessageStatusChanged { status: status.to_owned(), error_code };
            Some(Event::from(Happened {
                workspace_id: message.workspace_id,
                event_type,
                connection_id: message.connection_id,
                contact_id: None,
                conversation_id: Some(message.conversation_id),
                message_id: Some(id),
                sequence: 0,
                at: now,
                detail: Some(Detail::MessageStatusChanged(status)),
                traceparent: message.traceparent.clone(),
            }))
        })
        .collect()
}
