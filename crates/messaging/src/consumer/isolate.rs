//! Finds out which deliveries of a failed batch are at fault.

use std::collections::VecDeque;

use super::batch::Pending;
use super::intake::Incoming;
use super::session::{Session, SessionEnd};
use crate::handler::{BatchHandler, Fault, Verdict};

/// So many transient failures in a row, without a success, are a dependency's and not theirs.
const IN_A_ROW: usize = 3;

/// What became of the deliveries.
pub(super) enum Isolated {
    /// Every one has its verdict and is settled.
    Settled,
    /// A dependency seems to be away; the rest is still pending.
    Held(Fault),
}

impl<H: BatchHandler> Session<'_, H> {
    /// Handles `pending` one by one, each settled before the next is tried.
    pub(super) async fn isolate(&self, pending: &mut Pending) -> Result<Isolated, SessionEnd> {
        let mut queue = VecDeque::from(std::mem::take(&mut pending.deliveries));
        let start = pending.probed.checked_rem(queue.len()).unwrap_or(0);
        queue.rotate_left(start);
        let mut suspects: Vec<Incoming> = Vec::new();
        let mut last_fault = None;
        let mut is_alive = false;
        while let Some(incoming) = queue.pop_front() {
            match self.attempt(std::slice::from_ref(&incoming)).await {
                Ok(verdicts) => {
                    is_alive = true;
                    self.settle(vec![incoming], verdicts).await?;
                    self.convict(&mut suspects).await?;
                }
                Err(Fault::Transient(cause)) => {
                    suspects.push(incoming);
                    last_fault = Some(Fault::Transient(cause));
                    if suspects.len() == IN_A_ROW {
                        is_alive = false;
                        break;
                    }
                }
                Err(fault) => self.settle(vec![incoming], vec![Verdict::Dead(fault)]).await?,
            }
        }
        if is_alive {
            self.convict(&mut suspects).await?;
        }
        pending.probed = start + suspects.len();
        suspects.extend(queue);
        suspects.sort_by_key(|incoming| incoming.tag);
        pending.deliveries = suspects;
        match last_fault {
            Some(fault) if !pending.deliveries.is_empty() => Ok(Isolated::Held(fault)),
            _ => Ok(Isolated::Settled),
        }
    }

    /// Tries `suspects` a last time: others succeed, so a failure is their own.
    async fn convict(&self, suspects: &mut Vec<Incoming>) -> Result<(), SessionEnd> {
        for incoming in suspects.drain(..) {
            let verdicts = match self.attempt(std::slice::from_ref(&incoming)).await {
                Ok(verdicts) => verdicts,
                Err(fault @ Fault::Transient(_)) => vec![Verdict::Retry(fault)],
                Err(fault @ Fault::Permanent(_)) => vec![Verdict::Dead(fault)],
            };
            self.settle(vec![incoming], verdicts).await?;
        }
        Ok(())
    }
}
