//! Carries out verdicts: publish on what is not done, then acknowledge.
//!
//! Invariant: the acknowledgement comes after the confirm. A crash between them repeats the
//! message, which consumers expect; the other order would lose it.

use std::time::Duration;

use contracts::names::header;
use kernel::chain;
use lapin::Acker;
use lapin::options::BasicAckOptions;
use lapin::types::AMQPValue;
use tokio::time::{sleep, timeout};
use tracing::{error, warn};

use super::intake::{Incoming, Record};
use super::session::{Session, SessionEnd};
use crate::backoff::Backoff;
use crate::handler::{BatchHandler, Envelope, Fault, Verdict};
use crate::outgoing::{Outgoing, kept_headers};
use crate::topology::{Exchange, Queue};

/// A socket that takes no acknowledgement for so long is dead.
const ACK: Duration = Duration::from_secs(10);
/// Error texts are for people; the broker limits the size of headers.
const ERROR_BYTES: usize = 500;

impl<H: BatchHandler> Session<'_, H> {
    /// Settles `deliveries`, which are all that is unsettled up to the last of them, or one; all
    /// are decided.
    pub(super) async fn settle(&self, deliveries: Vec<Incoming>) -> Result<(), SessionEnd> {
        let multiple = deliveries.len() > 1;
        let mut follow_ups = Vec::new();
        let mut last = None;
        for Incoming { acker, records, .. } in deliveries {
            for Record { envelope, verdict } in records {
                follow_ups.extend(verdict.and_then(|verdict| self.follow_up(&envelope, verdict)));
            }
            last = Some(acker);
        }
        self.publish_on(follow_ups).await?;
        match last {
            Some(last) => acknowledge(&last, multiple).await,
            None => Ok(()),
        }
    }

    /// Publishes what is undecided of a bundle message by message to where it came from, and carries
    /// out the rest.
    pub(super) async fn take_apart(&self, mut bundle: Incoming) -> Result<(), SessionEnd> {
        let again = bundle.undecided().map(|record| {
            record.verdict = Some(Verdict::Done);
            let envelope = record.envelope.as_ref();
            self.republish(envelope, Exchange::Lanes, envelope.attempt())
        });
        let again = again.collect();
        self.publish_on(again).await?;
        self.settle(vec![bundle]).await
    }

    /// What has to be published before the delivery may be acknowledged.
    fn follow_up(&self, envelope: &Envelope, verdict: Verdict) -> Option<Outgoing> {
        let topology = self.broker.topology();
        let attempt = envelope.attempt();
        match verdict {
            Verdict::Done => {
                self.meter.done.increment(1);
                None
            }
            Verdict::Park { wait } => {
                self.meter.parked.increment(1);
                Some(self.republish(envelope, Exchange::Wait(topology.level_for(wait)), attempt))
            }
            Verdict::Retry(fault) => match topology.level_after(attempt) {
                Some(level) => {
                    self.meter.retried.increment(1);
                    let consumer = self.options.name;
                    warn!(consumer, attempt, error = %chain(&fault), "delivery waits for its retry");
                    let again = self.republish(envelope, Exchange::Wait(level), attempt + 1);
                    Some(again.with_header(header::ERROR, &shown(&fault)))
                }
                None => Some(self.bury(envelope, &fault)),
            },
            Verdict::Dead(fault) => Some(self.bury(envelope, &fault)),
        }
    }

    fn bury(&self, envelope: &Envelope, fault: &Fault) -> Outgoing {
        let consumer = self.options.name;
        error!(consumer, error = %chain(fault), "delivery is a dead letter");
        self.meter.dead_letter();
        let exchange = match envelope.queue {
            Queue::Work(..) => Exchange::Dead,
            // The end of the line has no dead letters: it waits as long as the ladder reaches.
            Queue::Parking | Queue::Unrouted => Exchange::Wait(self.broker.topology().last_level()),
        };
        let buried = self.republish(envelope, exchange, envelope.attempt() + 1);
        buried.with_header(header::ERROR, &shown(fault))
    }

    /// The message as it came, with its own id, type, time and headers.
    fn republish(&self, envelope: &Envelope, exchange: Exchange, attempt: u32) -> Outgoing {
        let routing_key = match (exchange, envelope.queue) {
            (Exchange::Dead, queue) => queue.label().to_owned(),
            (_, queue) => queue.return_key(),
        };
        let headers = kept_headers(envelope.properties.headers().as_ref());
        let origin = self.broker.topology().queue_name(envelope.queue);
        let is_first = !headers.contains_key(header::ORIGIN);
        let again = Outgoing {
            exchange,
            routing_key,
            properties: envelope.properties.clone().with_headers(headers).with_delivery_mode(2),
            body: envelope.body.clone(),
            is_bundled: false,
        };
        let again = again.with_value(header::ATTEMPT, AMQPValue::LongInt(attempt_number(attempt)));
        // A dead letter that has to wait still comes from where it died.
        if is_first { again.with_header(header::ORIGIN, &origin) } else { again }
    }

    /// Publishes until it is confirmed; only the end of the session ends the trying.
    async fn publish_on(&self, messages: Vec<Outgoing>) -> Result<(), SessionEnd> {
        if messages.is_empty() {
            return Ok(());
        }
        let publisher = self.broker.publisher();
        let mut backoff = Backoff::hold();
        loop {
            let Err(error) = publisher.publish_all(messages.clone()).await else { return Ok(()) };
            let consumer = self.options.name;
            warn!(consumer, error = %chain(&error), "retry or dead letter not confirmed, held");
            if self.stop.run_until_cancelled(sleep(backoff.pause())).await.is_none() {
                return Err(SessionEnd::Stopped);
            }
        }
    }
}

/// With `multiple`, everything up to this delivery.
async fn acknowledge(acker: &Acker, multiple: bool) -> Result<(), SessionEnd> {
    match timeout(ACK, acker.ack(BasicAckOptions { multiple })).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Err(error)) => Err(error.into()),
        Ok(Ok(false)) | Err(_) => Err(SessionEnd::NotAcknowledged),
    }
}

fn attempt_number(attempt: u32) -> i32 {
    i32::try_from(attempt).unwrap_or(i32::MAX)
}

fn shown(fault: &Fault) -> String {
    let mut text = chain(fault).to_string();
    text.truncate(text.floor_char_boundary(ERROR_BYTES));
    text
}
