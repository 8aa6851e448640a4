//! Collects deliveries of several queues into batches of contiguous delivery tags.
//!
//! Invariant: tags are handed out in ascending order without a gap. The broker numbers deliveries
//! of a channel across its queues; a multiple acknowledgement of tag `n` settles *everything* up to
//! `n`, also what still lies in another queue's buffer. So a delivery waits here until all earlier
//! ones have been taken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, Stream, StreamExt, future};
use lapin::Acker;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::session::SessionEnd;
use crate::bundle;
use crate::handler::{Envelope, Verdict};
use crate::topology::Queue;

/// An earlier tag was sent earlier on the same socket, so it is here already or never comes.
const GAP: Duration = Duration::from_secs(5);

/// A delivery that is not settled yet: it is when each of its records has a verdict.
pub(super) struct Incoming {
    pub(super) tag: u64,
    pub(super) acker: Acker,
    /// The messages of a bundle, or the one that it is.
    pub(super) records: Vec<Record>,
}

/// A message in a delivery.
pub(super) struct Record {
    pub(super) envelope: Arc<Envelope>,
    pub(super) verdict: Option<Verdict>,
}

/// How many messages are in `deliveries`.
pub(super) fn messages(deliveries: &[Incoming]) -> usize {
    deliveries.iter().map(|incoming| incoming.records.len()).sum()
}

type Buffer = BoxStream<'static, lapin::Result<lapin::message::Delivery>>;

/// The deliveries of one session.
pub(super) struct Intake {
    buffers: Vec<(Queue, Buffer)>,
    arrived: BTreeMap<u64, Incoming>,
    next: u64,
}

impl Intake {
    pub(super) fn new() -> Self {
        Self { buffers: Vec::new(), arrived: BTreeMap::new(), next: 1 }
    }

    /// Adds the deliveries of `queue`, which is a [`lapin::Consumer`].
    pub(super) fn add<S>(&mut self, queue: Queue, consumer: S)
    where
        S: Stream<Item = lapin::Result<lapin::message::Delivery>> + Send + 'static,
    {
        self.buffers.push((queue, consumer.boxed()));
    }

    /// Waits for the next batch of at most `max` messages, or few more when the last is a bundle;
    /// `None` after `stop`.
    pub(super) async fn batch(
        &mut self,
        max: usize,
        linger: Duration,
        stop: &CancellationToken,
    ) -> Result<Option<Vec<Incoming>>, SessionEnd> {
        if stop.is_cancelled() {
            return Ok(None);
        }
        let mut batch = self.ready(max)?;
        let is_busy = !batch.is_empty();
        while batch.is_empty() {
            tokio::select! {
                () = stop.cancelled() => return Ok(None),
                () = sleep(GAP), if !self.arrived.is_empty() => return Err(SessionEnd::Gap),
                arrived = self.arrival() => arrived?,
            }
            batch = self.ready(max)?;
        }
        let until = Instant::now() + linger;
        while is_busy && messages(&batch) < max && !stop.is_cancelled() {
            let Ok(arrived) = timeout_at(until, self.arrival()).await else { break };
            arrived?;
            batch.extend(self.ready(max.saturating_sub(messages(&batch)))?);
        }
        Ok(Some(batch))
    }

    /// Takes at most `max` messages of what is here, without waiting.
    pub(super) fn ready(&mut self, max: usize) -> Result<Vec<Incoming>, SessionEnd> {
        let mut batch = Vec::new();
        self.take(max, &mut batch);
        if messages(&batch) < max {
            self.arrival().now_or_never().transpose()?;
            self.take(max, &mut batch);
        }
        Ok(batch)
    }

    /// Moves the deliveries that follow without a gap to `batch`, until it holds `max`.
    fn take(&mut self, max: usize, batch: &mut Vec<Incoming>) {
        let mut taken = messages(batch);
        while taken < max {
            let Some(incoming) = self.arrived.remove(&self.next) else { return };
            self.next += 1;
            taken += incoming.records.len();
            batch.push(incoming);
        }
    }

    /// Waits until something arrives, and empties all buffers: the prefetch count bounds them.
    async fn arrival(&mut self) -> Result<(), SessionEnd> {
        let Self { buffers, arrived, .. } = self;
        future::poll_fn(|cx| {
            let before = arrived.len();
            for (queue, buffer) in &mut *buffers {
                while let Poll::Ready(delivery) = buffer.poll_next_unpin(cx) {
                    // The first error or end is the end: polling again would hang.
                    let delivery = delivery.ok_or(SessionEnd::Cancelled)??;
                    arrived.insert(delivery.delivery_tag, Incoming::new(*queue, delivery));
                }
            }
            if arrived.len() > before { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }
}

impl Incoming {
    fn new(queue: Queue, delivery: lapin::message::Delivery) -> Self {
        let lapin::message::Delivery { delivery_tag, redelivered, properties, data, acker, .. } =
            delivery;
        let records =
            bundle::unpack(properties, data.into()).into_iter().map(|(properties, body)| {
                let envelope = Arc::new(Envelope { queue, redelivered, properties, body });
                Record { envelope, verdict: None }
            });
        Self { tag: delivery_tag, acker, records: records.collect() }
    }

    /// The messages that have no verdict yet.
    pub(super) fn undecided(&mut self) -> impl Iterator<Item = &mut Record> {
        self.records.iter_mut().filter(|record| record.verdict.is_none())
    }

    pub(super) fn is_decided(&self) -> bool {
        self.records.iter().all(|record| record.verdict.is_some())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::topology::Family;

    /// A consumer whose buffer holds deliveries with these tags, and that lives on.
    fn buffer(tags: &'static [u64]) -> impl Stream<Item = lapin::Result<lapin::message::Delivery>> {
        let delivery = |tag: &u64| {
            let none = || "".into();
            Ok(lapin::message::Delivery::mock(*tag, none(), none(), false, Vec::new()))
        };
        stream::iter(tags.iter().map(delivery)).chain(stream::pending())
    }

    fn intake(buffers: [&'static [u64]; 2]) -> Intake {
        let mut intake = Intake::new();
        for (lane, tags) in (0..).zip(buffers) {
            intake.add(Family::Webhooks.queue(lane), buffer(tags));
        }
        intake
    }

    fn tags(batch: Result<Vec<Incoming>, SessionEnd>) -> Vec<u64> {
        batch.unwrap().iter().map(|incoming| incoming.tag).collect()
    }

    /// A multiple acknowledgement of 4 settles 1 to 4, whichever queue they came from.
    #[test]
    fn a_batch_is_a_gapless_range_of_tags_over_all_queues() {
        let mut intake = intake([&[1, 2, 6, 7], &[3, 4, 5, 8]]);
        assert_eq!(tags(intake.ready(4)), [1, 2, 3, 4]);
        assert_eq!(tags(intake.ready(4)), [5, 6, 7, 8]);
        assert!(tags(intake.ready(4)).is_empty());
    }

    #[test]
    fn a_delivery_waits_for_every_earlier_one() {
        let mut intake = intake([&[1, 4], &[3]]);
        assert_eq!(tags(intake.ready(10)), [1]);
        intake.add(Family::Webhooks.queue(2), buffer(&[2]));
        assert_eq!(tags(intake.ready(10)), [2, 3, 4]);
    }

    #[test]
    fn the_end_of_one_queue_ends_the_session() {
        let mut intake = intake([&[1], &[2]]);
        intake.add(Family::Webhooks.queue(2), stream::empty());
        assert!(matches!(intake.ready(10), Err(SessionEnd::Cancelled)));
    }
}
