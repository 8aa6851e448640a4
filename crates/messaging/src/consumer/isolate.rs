//! Finds out which messages of a failed batch are at fault.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::batch::Pending;
use super::intake::Incoming;
use super::session::{Session, SessionEnd};
use crate::handler::{BatchHandler, Fault, Verdict};

/// So many transient failures in a row, without a success, are a dependency's and not theirs.
const IN_A_ROW: usize = 3;

/// What became of the messages.
pub(super) enum Isolated {
    /// Every one has its verdict and is settled.
    Settled,
    /// A dependency seems to be away; the rest is still pending.
    Held(Fault),
}

/// Where a message stands: the tag of its delivery, and its place in it.
type Place = (u64, usize);

/// The deliveries in hand, by tag.
type Deliveries = BTreeMap<u64, Incoming>;

impl<H: BatchHandler> Session<'_, H> {
    /// Handles `pending` message by message; a delivery is settled before the next message is tried.
    pub(super) async fn isolate(&self, pending: &mut Pending) -> Result<Isolated, SessionEnd> {
        let taken = std::mem::take(&mut pending.deliveries).into_iter();
        let mut deliveries: Deliveries = taken.map(|incoming| (incoming.tag, incoming)).collect();
        let mut queue = undecided(&deliveries);
        let start = pending.probed.checked_rem(queue.len()).unwrap_or(0);
        queue.rotate_left(start);
        let mut suspects: Vec<Place> = Vec::new();
        let mut last_fault = None;
        let mut is_alive = false;
        while let Some(place) = queue.pop_front() {
            match self.attempt_one(&deliveries, place).await {
                Ok(verdict) => {
                    is_alive = true;
                    self.decide(&mut deliveries, place, verdict).await?;
                    self.convict(&mut deliveries, &mut suspects).await?;
                }
                Err(fault @ Fault::Permanent(_)) => {
                    self.decide(&mut deliveries, place, Verdict::Dead(fault)).await?;
                }
                Err(fault @ Fault::Transient(_)) => {
                    suspects.push(place);
                    last_fault = Some(fault);
                    if suspects.len() == IN_A_ROW {
                        is_alive = false;
                        break;
                    }
                }
            }
        }
        if is_alive {
            self.convict(&mut deliveries, &mut suspects).await?;
        }
        pending.probed = start + suspects.len();
        pending.deliveries = deliveries.into_values().collect();
        match last_fault {
            Some(fault) if !pending.deliveries.is_empty() => Ok(Isolated::Held(fault)),
            _ => Ok(Isolated::Settled),
        }
    }

    /// Tries `suspects` a last time: others succeed, so a failure is their own.
    async fn convict(
        &self,
        deliveries: &mut Deliveries,
        suspects: &mut Vec<Place>,
    ) -> Result<(), SessionEnd> {
        for place in suspects.drain(..) {
            let verdict = match self.attempt_one(deliveries, place).await {
                Ok(verdict) => verdict,
                Err(fault @ Fault::Transient(_)) => Verdict::Retry(fault),
                Err(fault @ Fault::Permanent(_)) => Verdict::Dead(fault),
            };
            self.decide(deliveries, place, verdict).await?;
        }
        Ok(())
    }

    async fn attempt_one(&self, deliveries: &Deliveries, place: Place) -> Result<Verdict, Fault> {
        let record = deliveries.get(&place.0).and_then(|incoming| incoming.records.get(place.1));
        let envelope = record.map(|record| Arc::clone(&record.envelope));
        let verdicts = self.attempt(envelope.as_slice()).await?;
        verdicts.into_iter().next().ok_or_else(|| Fault::miscounted(0, 1))
    }

    /// Notes a verdict, and settles the delivery when it was the last one.
    async fn decide(
        &self,
        deliveries: &mut Deliveries,
        (tag, at): Place,
        verdict: Verdict,
    ) -> Result<(), SessionEnd> {
        let Some(incoming) = deliveries.get_mut(&tag) else { return Ok(()) };
        if let Some(record) = incoming.records.get_mut(at) {
            record.verdict = Some(verdict);
        }
        if !incoming.is_decided() {
            return Ok(());
        }
        self.settle(deliveries.remove(&tag).into_iter().collect()).await
    }
}

fn undecided(deliveries: &Deliveries) -> VecDeque<Place> {
    let places = deliveries.iter().flat_map(|(tag, incoming)| {
        let records = incoming.records.iter().enumerate();
        records.filter(|(_, record)| record.verdict.is_none()).map(|(at, _)| (*tag, at))
    });
    places.collect()
}
