//! Handles one batch until every delivery of it is settled.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use kernel::chain;
use lapin::Channel;
use tokio::time::{Instant, sleep};
use tracing::{Instrument, Span, info_span, warn};

use super::intake::{Incoming, Intake, Record, messages};
use super::isolate::Isolated;
use super::session::{Session, SessionEnd};
use crate::backoff::Backoff;
use crate::handler::{BatchHandler, Delivery, Envelope, Fault, Payload, Verdict};

/// As often may the broker take a delivery back before it is handled alone: once happens with
/// every restart.
const SUSPICIOUS_RETURNS: i64 = 2;

/// Links of a batch's span at most: a trace is to be found, not copied.
const LINKS: usize = 8;

/// Deliveries in hand, by ascending tag.
pub(super) struct Pending {
    pub(super) deliveries: Vec<Incoming>,
    /// Where the next round of single tries starts.
    pub(super) probed: usize,
}

impl Pending {
    pub(super) fn new(deliveries: Vec<Incoming>) -> Self {
        Self { deliveries, probed: 0 }
    }

    fn is_suspicious(&self) -> bool {
        self.deliveries.iter().any(is_suspicious)
    }

    fn undecided(&mut self) -> impl Iterator<Item = &mut Record> {
        self.deliveries.iter_mut().flat_map(Incoming::undecided)
    }
}

/// Whether `incoming` may have killed its process.
fn is_suspicious(incoming: &Incoming) -> bool {
    let returns = |record: &Record| record.envelope.returns();
    incoming.records.iter().any(|record| returns(record) >= SUSPICIOUS_RETURNS)
}

impl<H: BatchHandler> Session<'_, H> {
    /// Ends when all of `pending`, and what joined it, is settled; or with the session.
    pub(super) async fn process(
        &self,
        mut pending: Pending,
        channel: &Channel,
        intake: &mut Intake,
    ) -> Result<(), SessionEnd> {
        let mut hold = Backoff::hold();
        let mut is_held = false;
        loop {
            if !pending.is_suspicious() {
                let mut tried = self.attempt_all(&mut pending).await;
                if tried.is_err() && !is_held {
                    tried = self.attempt_all(&mut pending).await;
                }
                if tried.is_ok() {
                    return self.settle(pending.deliveries).await;
                }
            }
            self.unbundle_suspicious(&mut pending).await?;
            match self.isolate(&mut pending).await? {
                Isolated::Settled => return Ok(()),
                Isolated::Held(fault) if !is_held => {
                    is_held = true;
                    let held = messages(&pending.deliveries);
                    let consumer = self.options.name;
                    warn!(consumer, held, error = %chain(&fault), "dependency away, batch held");
                }
                Isolated::Held(_) => {}
            }
            if self.stop.run_until_cancelled(sleep(hold.pause())).await.is_none() {
                return Err(SessionEnd::Stopped);
            }
            if !channel.status().connected() {
                return Err(SessionEnd::NotAcknowledged);
            }
            let room = self.options.max_batch.saturating_sub(messages(&pending.deliveries));
            pending.deliveries.extend(intake.ready(room)?);
        }
    }

    /// Calls the handler once, for everything that is undecided.
    async fn attempt_all(&self, pending: &mut Pending) -> Result<(), Fault> {
        let batch: Vec<Arc<Envelope>> =
            pending.undecided().map(|record| Arc::clone(&record.envelope)).collect();
        let verdicts = self.attempt(&batch).await?;
        for (record, verdict) in pending.undecided().zip(verdicts) {
            record.verdict = Some(verdict);
        }
        Ok(())
    }

    /// Takes bundles apart that may have killed a process: each message goes back to its lane alone,
    /// so that the next death counts against one of them only.
    async fn unbundle_suspicious(&self, pending: &mut Pending) -> Result<(), SessionEnd> {
        let all = std::mem::take(&mut pending.deliveries);
        let is_bundle = |incoming: &Incoming| incoming.records.len() > 1;
        let (bundles, rest): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|incoming| is_bundle(incoming) && is_suspicious(incoming));
        pending.deliveries = rest;
        for bundle in bundles {
            self.take_apart(bundle).await?;
        }
        Ok(())
    }

    /// Calls the handler once: one verdict for each of `batch`, in its order.
    pub(super) async fn attempt(&self, batch: &[Arc<Envelope>]) -> Result<Vec<Verdict>, Fault> {
        // Everything is decoded before anything is handled; what can not be read is no failure of
        // the others.
        let mut verdicts = Vec::with_capacity(batch.len());
        let mut readable = Vec::with_capacity(batch.len());
        for envelope in batch {
            match H::Message::read(&envelope.body) {
                Ok(message) => {
                    readable.push(Delivery::new(message, Arc::clone(envelope)));
                    verdicts.push(None);
                }
                Err(error) => verdicts.push(Some(Verdict::Dead(Fault::Permanent(error.into())))),
            }
        }
        let mut handled = self.call(readable).await?.into_iter();
        Ok(verdicts.into_iter().map_while(|dead| dead.or_else(|| handled.next())).collect())
    }

    async fn call(&self, batch: Vec<Delivery<H::Message>>) -> Result<Vec<Verdict>, Fault> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let count = batch.len();
        let span = self.span(&batch);
        let started = Instant::now();
        let work = AssertUnwindSafe(async { self.handler.handle(batch).await });
        let result = match work.catch_unwind().instrument(span).await {
            Ok(Ok(verdicts)) if verdicts.len() == count => Ok(verdicts),
            Ok(Ok(verdicts)) => Err(Fault::miscounted(verdicts.len(), count)),
            Ok(Err(fault)) => Err(fault),
            Err(_panic) => Err(Fault::panicked()),
        };
        self.meter.call(&result, started.elapsed());
        result
    }

    /// One span for the batch, linked to what caused its first messages.
    fn span(&self, batch: &[Delivery<H::Message>]) -> Span {
        let span = info_span!(
            "process",
            messaging.system = "rabbitmq",
            messaging.destination.name = batch.first().map_or("", |first| first.queue().label()),
            messaging.batch.message_count = batch.len(),
            consumer = self.options.name,
            switchyard.redelivered = batch.iter().any(Delivery::is_redelivered),
        );
        for traceparent in batch.iter().take(LINKS).filter_map(Delivery::traceparent) {
            telemetry::trace::link(&span, traceparent);
        }
        span
    }
}
