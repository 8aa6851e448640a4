//! R4: one noisy connection does not make the others wait.
//!
//! Invariants: nothing is dropped, the surplus travels in the slow lane or is delivered again; the
//! surplus of a connection is the end of its events, so that within one POST a person's later event
//! never overtakes an earlier one.

use std::collections::HashMap;
use std::sync::Arc;

use coordination::{Decision, Limiter, Permit};
use kernel::ids::ConnectionId;
use messaging::Outgoing;

use crate::directory::{Line, OverLimit};
use crate::events::Parcel;
use crate::refusal::Refusal;

/// Asks the limiter.
pub(crate) struct Admission {
    limiter: Limiter,
}

/// What one connection has in a POST.
struct Share {
    line: Arc<Line>,
    events: u32,
    /// How many more of them may go fast.
    admitted: u32,
}

impl Admission {
    pub(crate) const fn new(limiter: Limiter) -> Self {
        Self { limiter }
    }

    /// Gives each event its lane.
    ///
    /// # Errors
    ///
    /// [`Refusal::OverLimit`] when a connection that refuses is over its limit: nothing was charged.
    pub(crate) async fn address(&self, parcels: Vec<Parcel>) -> Result<Vec<Outgoing>, Refusal> {
        let mut shares = shares(&parcels);
        self.ask_all_or_none(&mut shares).await?;
        for share in shares.values_mut() {
            if share.line.over_limit == OverLimit::SlowLane {
                share.admitted = self.limiter.admit_up_to(&share.line.limit, share.events).await;
            }
        }
        Ok(parcels
            .into_iter()
            .map(|parcel| {
                let share = parcel.line.as_ref().and_then(|line| shares.get_mut(&line.id));
                let is_fast = share.is_none_or(|share| {
                    let is_admitted = share.admitted > 0;
                    share.admitted = share.admitted.saturating_sub(1);
                    is_admitted
                });
                parcel.addressed(is_fast)
            })
            .collect())
    }

    /// Asks for the connections that refuse their surplus, before anything else is charged.
    async fn ask_all_or_none(
        &self,
        shares: &mut HashMap<ConnectionId, Share>,
    ) -> Result<(), Refusal> {
        let mut permits: Vec<Permit> = Vec::new();
        for share in shares.values_mut() {
            if share.line.over_limit != OverLimit::Refuse {
                continue;
            }
            // A POST larger than the limit could never pass whole, and would be lost after days of
            // being delivered again: it costs all that there is.
            let cost = share.events.min(self.limiter.in_force(&share.line.limit).most());
            match self.limiter.check(std::slice::from_ref(&share.line.limit), cost).await {
                Decision::Go(permit) => {
                    permits.push(permit);
                    share.admitted = share.events;
                }
                Decision::Wait { after, .. } => {
                    for permit in permits {
                        self.limiter.refund(permit).await;
                    }
                    return Err(Refusal::OverLimit { after });
                }
            }
        }
        Ok(())
    }
}

fn shares(parcels: &[Parcel]) -> HashMap<ConnectionId, Share> {
    let mut shares = HashMap::new();
    for line in parcels.iter().filter_map(|parcel| parcel.line.as_ref()) {
        shares
            .entry(line.id)
            .or_insert_with(|| Share { line: Arc::clone(line), events: 0, admitted: 0 })
            .events += 1;
    }
    shares
}
