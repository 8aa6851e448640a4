//! Several messages of one connection in one question, each with a limit of its own.

use std::time::Duration;

use kernel::chain;
use tokio::time::Instant;
use tracing::debug;
use uuid::Uuid;

use super::script::{self, Reservation, Reserved};
use super::shape::{Ahead, Shape};
use super::{Charge, Decision, Extent, Keeper, Limit, Limiter, Permit};

/// The most messages of one script: it holds Redis up for half a millisecond.
const AT_ONCE: usize = 64;

/// What one message got.
pub(super) struct Offer {
    pub(super) decision: Decision,
    /// How long after the answer it may be used.
    pub(super) delay: Duration,
}

impl Limiter {
    /// Asks for one unit of `line`, the connection's limit, for each of `own`: the messages' own
    /// limits, of the same connection. The answers come in the same order; a message whose own limit
    /// binds takes nothing from the line, and lets the next ones pass.
    ///
    /// One round trip for each 64 messages. Asked in a lane of bulk, slots of the future are not
    /// given: for those there is the [`Pacer`](super::Pacer).
    pub async fn check_each(&self, line: &Limit, own: &[Option<Limit>]) -> Vec<Decision> {
        let mut decisions = Vec::with_capacity(own.len());
        for some in own.chunks(AT_ONCE) {
            let offers = self.reserve(line, some, Ahead::Now).await;
            decisions.extend(offers.into_iter().map(|offer| offer.decision));
        }
        decisions
    }

    /// At most 64 messages at once; see [`Limiter::check_each`].
    pub(super) async fn reserve(
        &self,
        line: &Limit,
        own: &[Option<Limit>],
        ahead: Ahead,
    ) -> Vec<Offer> {
        if self.sorted(std::iter::once(line).chain(own.iter().flatten())).is_some() {
            return self.reserve_sorted(line, own).await;
        }
        let (shared, asked) = (&self.shared, Instant::now());
        let known: Vec<Option<Decision>> =
            own.iter().map(|own| self.known_denial(line, own.as_ref(), ahead, asked)).collect();
        let open: Vec<Option<Limit>> = own
            .iter()
            .zip(&known)
            .filter(|(_, known)| known.is_none())
            .map(|(own, _)| own.clone())
            .collect();
        let mut answers = if open.is_empty() {
            Vec::new()
        } else {
            let unit = Uuid::new_v4();
            match script::reserve(shared, line, &open, unit, ahead).await {
                Ok(reserved) => self.offers(line, &open, unit, reserved, asked),
                Err(away) => {
                    debug!(error = %chain(&away), "limits kept in process");
                    open.iter().map(|own| self.offer_alone(line, own.as_ref())).collect()
                }
            }
        }
        .into_iter();
        let offers = known.into_iter().filter_map(|known| match known {
            Some(decision) => Some(Offer { decision, delay: Duration::ZERO }),
            None => answers.next(),
        });
        offers.collect()
    }

    /// The same one by one, when not all of the limits bind.
    async fn reserve_sorted(&self, line: &Limit, own: &[Option<Limit>]) -> Vec<Offer> {
        let mut offers = Vec::with_capacity(own.len());
        for own in own {
            let limits: Vec<Limit> = std::iter::once(line).chain(own).cloned().collect();
            let decision = self.check(&limits, 1).await;
            offers.push(Offer { decision, delay: Duration::ZERO });
        }
        offers
    }

    /// What is known without asking. Slots of the future are asked for whenever the pacer sees fit.
    fn known_denial(
        &self,
        line: &Limit,
        own: Option<&Limit>,
        ahead: Ahead,
        now: Instant,
    ) -> Option<Decision> {
        let denials = &self.shared.denials;
        let find = |limit: &Limit| denials.find(std::slice::from_ref(limit), 1, now);
        let for_line = match ahead {
            Ahead::Now => find(line),
            Ahead::Horizon => denials.pause(&line.name, now).map(|left| (left, line.policy())),
        };
        let (after, by) = for_line.or_else(|| own.and_then(find))?;
        self.shared.meters.over(by, 1);
        self.shared.meters.in_lane(line.lane, false);
        Some(Decision::Wait { after, by })
    }

    fn offers(
        &self,
        line: &Limit,
        own: &[Option<Limit>],
        unit: Uuid,
        reserved: Reserved,
        asked: Instant,
    ) -> Vec<Offer> {
        self.shared.meters.usage(line, reserved.used, reserved.factor);
        let offers = reserved.answers.into_iter().zip(own).zip(1..);
        let offers = offers.map(|((answer, own), number)| match answer {
            Reservation::Slot { delay, before, after } => {
                let line = Charge { limit: line.clone(), before, after };
                // A message's own limit is only taken back when it is a log.
                let is_log = |own: &&Limit| Shape::of(own, Ahead::Now).interval.is_none();
                let own = own.as_ref().filter(is_log).map(|own| Charge {
                    limit: own.clone(),
                    before: 0,
                    after: 0,
                });
                let charges = std::iter::once(line).chain(own).collect();
                let permit =
                    Permit { charges, unit, first: number, last: number, keeper: Keeper::Redis };
                Offer { decision: Decision::Go(permit), delay }
            }
            Reservation::Denied { after, is_own } => {
                let binding = own.as_ref().filter(|_| is_own).unwrap_or(line);
                self.shared.denials.note(binding, 1, asked, after);
                let decision = Decision::Wait { after, by: binding.policy() };
                Offer { decision, delay: Duration::ZERO }
            }
        });
        let offers: Vec<Offer> = offers.collect();
        for (offer, own) in offers.iter().zip(own) {
            self.count(line, own.as_ref(), &offer.decision, false);
        }
        offers
    }

    fn offer_alone(&self, line: &Limit, own: Option<&Limit>) -> Offer {
        let limits: Vec<Limit> = std::iter::once(line).chain(own).cloned().collect();
        let answer = self.shared.decide_alone(&limits, Uuid::new_v4(), 1, Extent::All);
        let decision = answer.into_decision(&limits);
        self.count(line, own, &decision, true);
        Offer { decision, delay: Duration::ZERO }
    }

    fn count(&self, line: &Limit, own: Option<&Limit>, decision: &Decision, is_fallback: bool) {
        let meters = &self.shared.meters;
        for limit in std::iter::once(line).chain(own) {
            meters.decided(std::slice::from_ref(limit), 1, decision, is_fallback);
        }
    }
}
