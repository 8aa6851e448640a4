//! The actor that owns the publishing channel.

use std::future::Future;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use lapin::types::ShortString;
use lapin::{Channel, Confirmation, PublisherConfirm};
use tokio::sync::mpsc;

use super::{Job, PublishError};
use crate::meter::{Sent, SentMeter};
use crate::outgoing::{Outgoing, clipped};
use crate::topology::{Exchange, Topology};

/// Jobs that wait for the actor; a full queue makes callers wait within their deadline.
pub(crate) const QUEUED_JOBS: usize = 4_096;
/// Jobs taken at once: they leave in one write.
const BURST: usize = 256;
/// Messages on the way at most; more would only wait in the broker's socket buffer.
const IN_FLIGHT: usize = 4_000;

/// Why the actor stopped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nobody can publish any more and everything is answered.
    Drained,
    /// The channel is of no use any more.
    Lost,
}

/// One channel's life as a publisher.
pub(crate) struct Session<'s> {
    pub(crate) channel: &'s Channel,
    pub(crate) names: &'s ExchangeNames,
    pub(crate) meter: &'s SentMeter,
}

/// The broker's names of exchanges, made once.
pub(crate) struct ExchangeNames {
    events: ShortString,
    lanes: ShortString,
    dead: ShortString,
    wait: Vec<ShortString>,
}

impl ExchangeNames {
    pub(crate) fn new(topology: &Topology) -> Self {
        let name = |exchange| clipped(&topology.exchange_name(exchange));
        Self {
            events: name(Exchange::Events),
            lanes: name(Exchange::Lanes),
            dead: name(Exchange::Dead),
            wait: topology.levels().map(|(level, _)| name(Exchange::Wait(level))).collect(),
        }
    }

    fn of(&self, exchange: Exchange) -> ShortString {
        match exchange {
            Exchange::Events => self.events.clone(),
            Exchange::Lanes => self.lanes.clone(),
            Exchange::Dead => self.dead.clone(),
            Exchange::Wait(level) => self.wait.get(level.index()).cloned().unwrap_or_default(),
        }
    }
}

/// One job's end.
struct Finished {
    messages: usize,
    lost: bool,
}

impl Session<'_> {
    /// Publishes jobs until the channel is `lost`, or until `stop` and the rest of the jobs.
    pub(crate) async fn run(
        &self,
        jobs: &mut mpsc::Receiver<Job>,
        lost: impl Future<Output = ()>,
        stop: impl Future<Output = ()>,
    ) -> Ended {
        tokio::pin!(lost, stop);
        let mut burst = Vec::with_capacity(BURST);
        let mut on_the_way = FuturesUnordered::new();
        let mut in_flight = 0_usize;
        loop {
            if jobs.is_closed() && jobs.is_empty() && on_the_way.is_empty() {
                return Ended::Drained;
            }
            tokio::select! {
                biased;
                // First, so that new jobs are written in their order before the next are taken.
                Some(finished) = on_the_way.next() => {
                    let Finished { messages, lost } = finished;
                    in_flight = in_flight.saturating_sub(messages);
                    if lost {
                        return Ended::Lost;
                    }
                }
                () = &mut lost => return Ended::Lost,
                taken = jobs.recv_many(&mut burst, BURST), if in_flight < IN_FLIGHT => {
                    if taken == 0 && on_the_way.is_empty() {
                        return Ended::Drained;
                    }
                    for job in burst.drain(..) {
                        in_flight += 1 + job.rest.len();
                        on_the_way.push(self.finish(job));
                    }
                }
                () = &mut stop, if !jobs.is_closed() => jobs.close(),
            }
        }
    }

    /// Publishes one job and waits for all its confirms, whatever the first of them says.
    async fn finish(&self, job: Job) -> Finished {
        let Job { first, rest, reply } = job;
        let messages = 1 + rest.len();
        if reply.is_closed() {
            // The caller's deadline passed while the job waited: it was told so already.
            return Finished { messages, lost: false };
        }
        let outcome = if rest.is_empty() {
            let exchange = first.exchange;
            self.confirmed(exchange, self.publish(first).await).await
        } else {
            let all: Vec<Outgoing> = std::iter::once(first).chain(rest).collect();
            self.finish_all(all).await
        };
        let lost = matches!(outcome, Err(PublishError::Channel(_)));
        // A caller whose deadline passed has stopped listening.
        reply.send(outcome).ok();
        Finished { messages, lost }
    }

    async fn finish_all(&self, messages: Vec<Outgoing>) -> Result<(), PublishError> {
        let exchanges: Vec<Exchange> = messages.iter().map(|message| message.exchange).collect();
        let sent = join_all(messages.into_iter().map(|message| self.publish(message))).await;
        let mut outcome = Ok(());
        for (exchange, sent) in exchanges.into_iter().zip(sent) {
            let confirmed = self.confirmed(exchange, sent).await;
            outcome = outcome.and(confirmed);
        }
        outcome
    }

    /// Puts the frames into the channel on its first poll, and ends when they are written.
    #[expect(clippy::disallowed_methods, reason = "this is the one task that owns the channel")]
    async fn publish(&self, message: Outgoing) -> Result<PublisherConfirm, lapin::Error> {
        let Outgoing { exchange, routing_key, properties, body } = message;
        let exchange = self.names.of(exchange);
        let key = ShortString::try_new(routing_key).unwrap_or_default();
        self.channel.basic_publish(exchange, key, Default::default(), &body, properties).await
    }

    /// Only a plain acknowledgement is a success.
    async fn confirmed(
        &self,
        exchange: Exchange,
        sent: Result<PublisherConfirm, lapin::Error>,
    ) -> Result<(), PublishError> {
        let answer = match sent {
            Ok(confirm) => confirm.await,
            Err(error) => Err(error),
        };
        let (sent, outcome) = match answer {
            Ok(Confirmation::Ack(None)) => (Sent::Confirmed, Ok(())),
            Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(_) | Confirmation::NotRequested) => {
                (Sent::Refused, Err(PublishError::Refused))
            }
            Err(error) => (Sent::Lost, Err(PublishError::Channel(error))),
        };
        self.meter.count(exchange, sent);
        outcome
    }
}
