//! The actor that owns the publishing channel.

use std::future::Future;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::types::ShortString;
use lapin::{Channel, Confirmation, PublisherConfirm};
use tokio::sync::mpsc;

use super::caller::Caller;
use super::lanes::{Lane, Lanes, Parcel};
use super::{Job, PublishError};
use crate::meter::{Sent, SentMeter};
use crate::outgoing::{Outgoing, clipped};
use crate::topology::{Exchange, Topology};

/// Jobs that wait for the actor; a full queue makes callers wait within their deadline.
pub(crate) const QUEUED_JOBS: usize = 4_096;
/// Jobs taken at once: they leave in one write.
const BURST: usize = 256;
/// Messages in hand at most; more would only wait in the broker's socket buffer.
const IN_HAND: usize = 4_000;

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

/// How a parcel's way ended.
struct Arrived {
    messages: usize,
    lane: Option<Lane>,
    is_lost: bool,
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
        let mut lanes = Lanes::default();
        let mut on_the_way = FuturesUnordered::new();
        let mut in_hand = 0_usize;
        loop {
            if jobs.is_closed() && jobs.is_empty() && on_the_way.is_empty() {
                return Ended::Drained;
            }
            tokio::select! {
                biased;
                // First, so that new jobs are written in their order before the next are taken.
                Some(arrived) = on_the_way.next() => {
                    let Arrived { messages, lane, is_lost } = arrived;
                    in_hand = in_hand.saturating_sub(messages);
                    if is_lost {
                        return Ended::Lost;
                    }
                    let next = lane.and_then(|lane| lanes.next(lane));
                    on_the_way.extend(next.map(|parcel| self.send(parcel)));
                }
                () = &mut lost => return Ended::Lost,
                taken = jobs.recv_many(&mut burst, BURST), if in_hand < IN_HAND => {
                    if taken == 0 && on_the_way.is_empty() {
                        return Ended::Drained;
                    }
                    in_hand += burst.iter().map(|job| job.messages.len()).sum::<usize>();
                    let parcels = lanes.sort(burst.drain(..));
                    on_the_way.extend(parcels.into_iter().map(|parcel| self.send(parcel)));
                }
                () = &mut stop, if !jobs.is_closed() => jobs.close(),
            }
        }
    }

    /// Publishes one parcel, waits for its confirm and tells its callers.
    async fn send(&self, parcel: Parcel) -> Arrived {
        let Parcel { message, callers, lane } = parcel;
        let exchange = message.exchange;
        let answer = match self.publish(message).await {
            Ok(confirm) => confirm.await,
            Err(error) => Err(error),
        };
        let messages = callers.len();
        let is_lost = answer.is_err();
        let sent = match answer {
            // Only a plain acknowledgement is a success.
            Ok(Confirmation::Ack(None)) => {
                callers.iter().for_each(|caller| caller.confirmed());
                Sent::Confirmed
            }
            Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(_) | Confirmation::NotRequested) => {
                fail(&callers, || PublishError::Refused);
                Sent::Refused
            }
            Err(error) => {
                fail(&callers, || PublishError::Channel(error.clone()));
                Sent::Lost
            }
        };
        self.meter.count(exchange, sent, messages);
        Arrived { messages, lane, is_lost }
    }

    /// Puts the frames into the channel on its first poll, and ends when they are written.
    #[expect(clippy::disallowed_methods, reason = "this is the one task that owns the channel")]
    async fn publish(&self, message: Outgoing) -> Result<PublisherConfirm, lapin::Error> {
        let Outgoing { exchange, routing_key, properties, body, .. } = message;
        let exchange = self.names.of(exchange);
        let key = ShortString::try_new(routing_key).unwrap_or_default();
        self.channel.basic_publish(exchange, key, Default::default(), &body, properties).await
    }
}

fn fail(callers: &[Arc<Caller>], error: impl Fn() -> PublishError) {
    callers.iter().for_each(|caller| caller.failed(error()));
}
