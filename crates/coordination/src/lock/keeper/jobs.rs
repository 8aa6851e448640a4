//! What the keeper has to do, and when.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;
use uuid::Uuid;

use super::Leftover;
use crate::lock::store::Lease;
use crate::lock::term::Term;
use crate::registry::key::LockKey;

/// One guard's renewals.
pub(in crate::lock) struct Renewal {
    /// All of the guard's locks; none: only its deadlines are watched.
    pub(in crate::lock) leases: Vec<Lease>,
    /// The shortest of their ttls.
    pub(in crate::lock) ttl: Duration,
    /// Not renewed beyond this.
    pub(in crate::lock) end: Instant,
    pub(in crate::lock) term: Arc<Term>,
}

/// Tells a guard's renewal from others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::lock) struct RenewalId(u64);

/// A renewal whose time has come.
pub(super) struct Due {
    pub(super) id: RenewalId,
    pub(super) at: Instant,
    pub(super) renewal: Arc<Renewal>,
}

/// Shared by the guards and the keeper's thread.
#[derive(Default)]
pub(crate) struct Jobs {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    renewals: HashMap<RenewalId, Arc<Renewal>>,
    /// May name renewals that are forgotten.
    due: BinaryHeap<Reverse<(Instant, RenewalId)>>,
    leftovers: Vec<Leftover>,
    last: u64,
    is_closed: bool,
}

impl Jobs {
    pub(super) fn add(&self, renewal: Renewal) -> RenewalId {
        let first = renewal.next(Instant::now() + renewal.ttl / 3);
        let mut state = self.locked();
        state.last += 1;
        let id = RenewalId(state.last);
        state.renewals.insert(id, Arc::new(renewal));
        let is_next = state.due.peek().is_none_or(|Reverse((at, _))| first < *at);
        state.due.push(Reverse((first, id)));
        drop(state);
        if is_next {
            self.wake.notify_one();
        }
        id
    }

    /// Whether it was still there.
    pub(super) fn remove(&self, id: RenewalId) -> bool {
        self.locked().renewals.remove(&id).is_some()
    }

    /// Plans the next try, unless the guard is gone or its time ends before.
    pub(super) fn again(&self, id: RenewalId, renewal: &Renewal, at: Instant) {
        let mut state = self.locked();
        if state.renewals.contains_key(&id) {
            state.due.push(Reverse((renewal.next(at), id)));
        }
    }

    pub(super) fn leave(&self, leftover: Leftover) {
        self.locked().leftovers.push(leftover);
        self.wake.notify_one();
    }

    /// A lock came for somebody who does not wait any more.
    pub(crate) fn hand_on(&self, key: LockKey, token: Uuid) {
        self.leave(Leftover { keys: vec![key], token, is_doubtful: false, waits: None });
    }

    pub(super) fn leftovers(&self) -> Vec<Leftover> {
        take(&mut self.locked().leftovers)
    }

    /// Everything whose time has come; each must be planned again or removed.
    pub(super) fn due(&self, now: Instant) -> Vec<Due> {
        let mut state = self.locked();
        let mut due = Vec::new();
        while let Some(Reverse((at, id))) = state.due.peek().copied().filter(|next| next.0.0 <= now)
        {
            state.due.pop();
            if let Some(renewal) = state.renewals.get(&id) {
                due.push(Due { id, at, renewal: Arc::clone(renewal) });
            }
        }
        due
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.locked().due.peek().map(|Reverse((at, _))| *at)
    }

    pub(super) fn woken(&self) -> Notified<'_> {
        self.wake.notified()
    }

    pub(super) fn close(&self) {
        self.locked().is_closed = true;
        self.wake.notify_one();
    }

    /// Nobody can leave anything any more, and everything left was taken up.
    pub(super) fn is_closed(&self) -> bool {
        let state = self.locked();
        state.is_closed && state.leftovers.is_empty()
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Renewal {
    /// `at`, or the guard's last moment if that is earlier.
    fn next(&self, at: Instant) -> Instant {
        let last = self.term.until().map_or(self.end, |until| until.min(self.end));
        if self.leases.is_empty() { last } else { at.min(last) }
    }
}
