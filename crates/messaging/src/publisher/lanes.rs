//! Sorts messages into parcels: group commit for lanes.
//!
//! A message that may be bundled leaves at once while its lane is quiet. While a parcel of its lane is
//! on the way it waits, and leaves with all that has come meanwhile: no timer, no delay when it is
//! quiet, large bundles under load.
//!
//! Invariant: a lane has one parcel on the way at most, so its messages arrive in their order.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Job;
use super::caller::Caller;
use crate::bundle::{self, MOST_BYTES, MOST_RECORDS};
use crate::outgoing::Outgoing;
use crate::topology::Exchange;

/// One message for the broker, and who waits for it: a caller for each message that is in it.
pub(super) struct Parcel {
    pub(super) message: Outgoing,
    pub(super) callers: Vec<Arc<Caller>>,
    /// The lane that is busy until it has arrived.
    pub(super) lane: Option<Lane>,
}

/// Where messages may share a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lane(Exchange, String);

/// What waits in each busy lane.
#[derive(Default)]
pub(super) struct Lanes {
    waiting: HashMap<Lane, VecDeque<(Outgoing, Arc<Caller>)>>,
}

impl Lanes {
    /// What may leave now; the rest waits for [`Lanes::next`].
    pub(super) fn sort(&mut self, jobs: impl Iterator<Item = Job>) -> Vec<Parcel> {
        let mut parcels = Vec::new();
        let mut woken = Vec::new();
        for Job { messages, reply } in jobs {
            let caller = Arc::new(Caller::new(messages.len(), reply));
            // The caller was told that its deadline has passed: nothing needs to be sent.
            if caller.has_left() {
                continue;
            }
            for message in messages {
                if message.is_bundled {
                    self.queue(message, Arc::clone(&caller), &mut woken);
                } else {
                    let callers = vec![Arc::clone(&caller)];
                    parcels.push(Parcel { message, callers, lane: None });
                }
            }
        }
        parcels.extend(woken.into_iter().filter_map(|lane| self.next(lane)));
        parcels
    }

    fn queue(&mut self, message: Outgoing, caller: Arc<Caller>, woken: &mut Vec<Lane>) {
        let lane = Lane(message.exchange, message.routing_key.clone());
        match self.waiting.get_mut(&lane) {
            Some(busy) => busy.push_back((message, caller)),
            None => {
                woken.push(lane.clone());
                self.waiting.insert(lane, VecDeque::from([(message, caller)]));
            }
        }
    }

    /// The next parcel of a lane whose last one has arrived; `None`: the lane is quiet.
    pub(super) fn next(&mut self, lane: Lane) -> Option<Parcel> {
        let waiting = self.waiting.get_mut(&lane)?;
        let (mut messages, mut callers, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
        while let Some((message, caller)) = waiting.pop_front() {
            if caller.has_left() {
                continue;
            }
            bytes = bytes.saturating_add(message.body.len());
            if !messages.is_empty() && bytes > MOST_BYTES {
                waiting.push_front((message, caller));
                break;
            }
            messages.push(message);
            callers.push(caller);
            if messages.len() == MOST_RECORDS {
                break;
            }
        }
        match bundle::pack(messages) {
            Some(message) => Some(Parcel { message, callers, lane: Some(lane) }),
            None => {
                self.waiting.remove(&lane);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use uuid::Uuid;

    use super::*;
    use crate::publisher::PublishError;

    type Answer = oneshot::Receiver<Result<(), PublishError>>;

    /// A job with a message for each of `keys`.
    fn job(keys: &[&str], size: usize) -> (Job, Answer) {
        let (reply, answer) = oneshot::channel();
        let message = |key: &&str| {
            let body = vec![0; size].into();
            Outgoing::new(Exchange::Lanes, *key, Uuid::nil(), "t", body).bundled()
        };
        (Job { messages: keys.iter().map(message).collect(), reply }, answer)
    }

    fn sizes(parcels: &[Parcel]) -> Vec<usize> {
        parcels.iter().map(|parcel| parcel.callers.len()).collect()
    }

    #[test]
    fn what_comes_while_a_lane_is_busy_leaves_together() {
        let mut lanes = Lanes::default();
        let (first, mut told) = job(&["a"], 1);
        let mut parcels = lanes.sort([first].into_iter());
        assert_eq!(sizes(&parcels), [1]);
        let (second, _told_second) = job(&["a", "a", "b"], 1);
        let (third, _told_third) = job(&["a"], 1);
        assert_eq!(sizes(&lanes.sort([second, third].into_iter())), [1], "lane b was quiet");

        let Parcel { callers, lane, .. } = parcels.remove(0);
        callers.iter().for_each(|caller| caller.confirmed());
        drop(callers);
        assert!(matches!(told.try_recv(), Ok(Ok(()))));
        let next = lanes.next(lane.unwrap()).unwrap();
        assert_eq!(next.callers.len(), 3);
        assert!(lanes.next(next.lane.unwrap()).is_none());
    }

    #[test]
    fn a_bundle_has_bounds() {
        let mut lanes = Lanes::default();
        let (many, _told) = job(&["a"; 2 * MOST_RECORDS], 1);
        let (large, _told_large) = job(&["b"; 3], MOST_BYTES - 1);
        assert_eq!(sizes(&lanes.sort([many, large].into_iter())), [MOST_RECORDS, 1]);
    }

    #[test]
    fn nobody_hears_ok_before_all_is_confirmed() {
        let mut lanes = Lanes::default();
        let (both, mut told) = job(&["a", "b"], 1);
        let mut parcels = lanes.sort([both].into_iter());
        let last = parcels.pop().unwrap();
        parcels.pop().unwrap().callers.iter().for_each(|caller| caller.confirmed());
        assert!(told.try_recv().is_err(), "one of two");
        drop(last);
        assert!(matches!(told.try_recv(), Ok(Err(PublishError::Interrupted))));
    }

    #[test]
    fn a_caller_that_has_left_sends_nothing() {
        let mut lanes = Lanes::default();
        let (first, _told) = job(&["a"], 1);
        let parcel = lanes.sort([first].into_iter()).remove(0);
        let (late, gone) = job(&["a"], 1);
        assert!(lanes.sort([late].into_iter()).is_empty());
        drop(gone);
        assert!(lanes.next(parcel.lane.unwrap()).is_none());
    }
}
