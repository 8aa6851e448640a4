//! The keys that one owner token holds or waits for, and their way back.
//!
//! Invariant: a key is noted before the backend is asked for it and forgotten only when the backend
//! said that it is neither ours nor queued for, so whatever cuts a call short, the release covers it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use super::keeper::{Renewal, RenewalId};
use super::store::{Ask, Lease, Owner, Queue, StoreAway, Take, Taken};
use super::term::{Term, reliable};
use super::waiters::{Waiting, Wake};
use crate::registry::key::LockKey;

pub(super) struct Holding {
    shared: Arc<Shared>,
    owner: Owner,
    /// Held, queued for, or perhaps either.
    keys: Vec<LockKey>,
    /// When the question was sent that was last answered "busy": a hand-off is not older.
    last_busy: Option<Instant>,
    /// Two "busy" were so far apart (this process stood still, say) that a hand-off in between may
    /// have run out: a wake-up that still comes tells nothing.
    may_be_stale: bool,
    is_doubtful: bool,
    term: Arc<Term>,
    renewal: Option<RenewalId>,
    /// Kept for as long as the token may hold anything: a wake-up that comes late, after a question
    /// was answered "yours", must not look like one for nobody and be given back.
    waiting: Option<Waiting>,
}

impl Holding {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let owner = Owner { token: shared.tokens.next(), process: shared.process };
        Self {
            shared,
            owner,
            keys: Vec::new(),
            last_busy: None,
            may_be_stale: false,
            is_doubtful: false,
            term: Arc::default(),
            renewal: None,
            waiting: None,
        }
    }

    pub(super) const fn term(&self) -> &Arc<Term> {
        &self.term
    }

    /// A number up to 255 that differs between waiters, so that they do not ask in step.
    pub(super) fn rhythm(&self) -> u32 {
        self.owner.token.as_fields().3.iter().fold(0, |mixed, byte| mixed ^ u32::from(*byte))
    }

    /// Registers for wake-ups; before [`Self::take`] joins a queue.
    pub(super) fn listen(&mut self) {
        let register = || self.shared.waiters.register(self.owner.token);
        self.waiting.get_or_insert_with(register);
    }

    /// The next wake-up, after [`Self::listen`].
    pub(super) async fn woken(&mut self) -> Wake {
        match &mut self.waiting {
            Some(waiting) => waiting.woken().await,
            None => std::future::pending().await,
        }
    }

    /// Asks for each key; the answers are in order.
    pub(super) async fn take(&mut self, asks: &[Ask], how: Take) -> Result<Vec<Taken>, StoreAway> {
        let noted = self.keys.len();
        let known: HashSet<&LockKey> = self.keys.iter().collect();
        let new = asks.iter().map(|ask| &ask.key).filter(|key| !known.contains(key));
        let new: Vec<LockKey> = new.cloned().collect();
        self.keys.extend(new);
        let sent = Instant::now();
        let was_doubtful = std::mem::replace(&mut self.is_doubtful, true);
        let taken = match self.shared.store.take(&self.owner, asks, how).await {
            Ok(taken) => taken,
            Err(away) => {
                if away.is_unasked() {
                    self.is_doubtful = was_doubtful;
                    self.keys.truncate(noted);
                }
                return Err(away);
            }
        };
        self.is_doubtful = was_doubtful;
        let mut free = HashSet::new();
        for (ask, taken) in asks.iter().zip(&taken) {
            match taken {
                Taken::Ours { .. } => self.term.begin(sent, ask.ttl),
                Taken::Busy { .. } if how.queue == Queue::Join => self.note_busy(sent, ask.ttl),
                Taken::Busy { .. } => {
                    free.insert(&ask.key);
                }
            }
        }
        if !free.is_empty() {
            self.keys.retain(|key| !free.contains(key));
        }
        Ok(taken)
    }

    /// A releasing script made `ask`'s lock ours. Its ttl counts from the grant, which came after
    /// our last question that was answered "busy".
    /// `false` when it may have run out since, so that only another question tells whose it is
    /// (model-checked in `tests/model/hand_off.rs`).
    pub(super) fn granted(&self, ask: &Ask) -> bool {
        let Some(sent) = self.last_busy.filter(|_| !self.may_be_stale) else { return false };
        self.term.begin(sent, ask.ttl);
        true
    }

    fn note_busy(&mut self, sent: Instant, ttl: Duration) {
        let before = self.last_busy.replace(sent);
        self.may_be_stale |= before.is_some_and(|before| before.elapsed() >= reliable(ttl));
    }

    /// From now on nothing depends on what is held: it is valid for ever.
    pub(super) fn unbind(&mut self) {
        self.stop_renewing();
        self.term = Arc::default();
    }

    /// Leaves the queues of `keys`; one that fails is left to the drop.
    pub(super) async fn leave(&mut self, keys: &[LockKey]) {
        let waiting: Vec<_> = keys.iter().map(|key| (key.clone(), self.owner.token)).collect();
        if !waiting.is_empty() && self.shared.store.leave(&waiting).await.is_ok() {
            self.keys.retain(|key| !keys.contains(key));
        }
    }

    /// Renews `leases` from now on until `end`; without any, only the deadlines are watched.
    pub(super) fn keep(&mut self, leases: Vec<(LockKey, Duration)>, end: Instant) {
        if self.renewal.is_some() {
            return;
        }
        let ttl = leases.iter().map(|(_, ttl)| *ttl).min().unwrap_or_default();
        let token = self.owner.token;
        let leases = leases.into_iter().map(|(key, ttl)| Lease { key, token, ttl }).collect();
        let renewal = Renewal { leases, ttl, end, term: Arc::clone(&self.term) };
        self.renewal = Some(self.shared.keeper.renew(renewal));
    }

    /// Returns when what is held is lost.
    pub(super) async fn lost(&self) {
        self.term.lost().await;
    }

    /// Gives every key back; the answer says of each of them whether it was still ours.
    ///
    /// A release that fails is left to the drop.
    pub(super) async fn release(&mut self) -> Result<Vec<(LockKey, bool)>, StoreAway> {
        self.stop_renewing();
        if self.keys.is_empty() {
            return Ok(Vec::new());
        }
        let held: Vec<_> = self.keys.iter().map(|key| (key.clone(), self.owner.token)).collect();
        let released = self.shared.store.release(&held).await?;
        let keys = std::mem::take(&mut self.keys);
        Ok(keys.into_iter().zip(released).collect())
    }

    fn stop_renewing(&mut self) {
        if let Some(renewal) = self.renewal.take() {
            self.shared.keeper.forget(renewal);
        }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.stop_renewing();
        let keys = std::mem::take(&mut self.keys);
        if !keys.is_empty() {
            self.shared.keeper.give_back(keys, self.owner.token, self.is_doubtful);
        }
    }
}
