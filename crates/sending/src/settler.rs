//! Writes outcomes down in batches, and keeps trying until the database has them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::events::event::Detail;
use contracts::events::{CampaignChanged, MessageStatusChanged};
use contracts::names::event;
use diesel_async::AsyncConnection;
use kernel::ids::{CampaignId, MessageId};
use kernel::{Clock, chain};
use relay::Relay;
use storage::campaigns::standing::{Status, Stop, Stopped};
use storage::events::{Event, Happened};
use storage::send_ledger::Source;
use storage::send_ledger::claim::{Claimed, Stream};
use storage::send_ledger::settle::{self, Moved, Settlement};
use storage::{Database, StorageError, events};
use tokio::sync::mpsc;
use tracing::{error, warn};

use crate::outcome::Judged;
use crate::stops::Trials;
use crate::streams::Streams;

/// Outcomes written in one transaction at most.
const MOST: usize = 256;

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

/// Runs until every sender of jobs is gone. `streams` are told whose next message may leave.
pub(crate) async fn run(settler: Settler, mut jobs: mpsc::Receiver<Job>, streams: Weak<Streams>) {
    let mut batch = Vec::with_capacity(MOST);
    let mut trials = Trials::default();
    while jobs.recv_many(&mut batch, MOST).await > 0 {
        let stops = stops(&batch, &mut trials);
        // Doing it again changes nothing, so an unknown commit is simply repeated.
        let events = loop {
            match settler.settle(&batch, &stops).await {
                Ok(events) => break events,
                Err(error) => {
                    warn!(error = %chain(&error), "outcomes of sends wait for the database");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        if let Some(streams) = streams.upgrade() {
            for stream in replied(&batch) {
                streams.ring(stream); // the next message to the same person may leave now
            }
        }
        batch.clear();
        settler.relay.publish(events).await;
    }
}

/// The streams in which somebody may have waited for one of the batch. A campaign has one message for
/// each person.
fn replied(batch: &[Job]) -> HashSet<Stream> {
    let replies = batch.iter().filter(|job| job.message.campaign_id.is_none());
    replies
        .map(|job| Stream {
            connection_id: job.message.connection_id,
            source: job.message.source,
            campaign_id: None,
        })
        .collect()
}

/// The campaigns that the outcomes stop.
fn stops(batch: &[Job], trials: &mut Trials) -> Vec<(CampaignId, Stop)> {
    let mut stops = Vec::new();
    for job in batch {
        let Some(campaign) = job.message.campaign_id else { continue };
        let trial = trials.note(campaign, &job.judged);
        if let Some(stop) = job.judged.stop().cloned().or(trial) {
            stops.push((campaign, stop));
        }
    }
    stops
}

impl Settler {
    pub(crate) fn new(db: Database, relay: Relay, clock: Arc<dyn Clock>) -> Self {
        // Every series exists from the start: born with 1, it would page nobody.
        metrics::counter!("switchyard_duplicate_escaped_total", "stage" => "send").increment(0);
        for source in Source::ALL {
            for outcome in ["accepted", "retryable", "permanent", "uncertain"] {
                let source = source.as_str();
                metrics::counter!(
                    "switchyard_send_attempts_total", "source" => source, "outcome" => outcome
                )
                .increment(0);
            }
        }
        Self { db, relay, clock }
    }

    async fn settle(
        &self,
        batch: &[Job],
        stops: &[(CampaignId, Stop)],
    ) -> Result<Vec<Event>, StorageError> {
        let now = self.clock.now();
        let mut conn = self.db.connection().await?;
        (*conn)
            .transaction(async |tx| {
                let settlements = batch.iter().map(Job::settlement).collect();
                let moved = settle::settle(tx, settlements, stops.to_vec(), now).await?;
                if moved.duplicates > 0 {
                    metrics::counter!("switchyard_duplicate_escaped_total", "stage" => "send")
                        .increment(u64::try_from(moved.duplicates).unwrap_or(u64::MAX));
                    error!(count = moved.duplicates, "Meta accepted a message twice");
                }
                let mut happened = happened(batch, &moved, now);
                happened.extend(moved.stopped.iter().flat_map(|stopped| told(stopped, now)));
                events::append(tx, &happened, now).await?;
                Ok(happened)
            })
            .await
    }
}

/// A campaign that stopped by itself: what changed, and that a person has to act.
fn told(stopped: &Stopped, now: DateTime<Utc>) -> [Event; 2] {
    warn!(
        campaign.id = %stopped.campaign_id,
        workspace.id = %stopped.workspace_id,
        reason = stopped.stop.code,
        "campaign paused: nothing it sends can succeed"
    );
    [event::CAMPAIGN_PAUSED, event::CAMPAIGN_NEEDS_ATTENTION].map(|event_type| {
        let changed = CampaignChanged {
            campaign_id: contracts::uuid_bytes(stopped.campaign_id.as_uuid()),
            status: Status::Paused.as_str().to_owned(),
            code: stopped.stop.code.to_owned(),
            reason: stopped.stop.reason.clone(),
        };
        let event = Event::from(Happened {
            workspace_id: stopped.workspace_id,
            event_type,
            connection_id: stopped.connection_id,
            contact_id: None,
            conversation_id: None,
            message_id: None,
            sequence: 0,
            at: now,
            detail: Some(Detail::CampaignChanged(changed)),
            traceparent: None,
        });
        Event { is_awaited: false, ..event }
    })
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
