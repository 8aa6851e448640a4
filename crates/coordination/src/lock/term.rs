//! How long what is held can be relied upon.
//!
//! Invariant: decided by this process's monotonic clock and what it was told, whichever says "lost"
//! first; a term that was lost stays lost.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Why a lock was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It ran out before it was given back or renewed.
    Expired,
    /// Somebody else has it, or the backend lost it.
    Taken,
    /// It was held for as long as one holder may.
    MaxHold,
}

/// One guard's term, shared with its renewals.
#[derive(Debug, Default)]
pub(super) struct Term {
    until: Mutex<Option<Instant>>,
    loss: OnceLock<Loss>,
    lost: CancellationToken,
}

impl Term {
    /// What was asked for at `sent` is ours; with several, the one that runs out first counts.
    pub(super) fn begin(&self, sent: Instant, ttl: Duration) {
        let until = sent + reliable(ttl);
        let mut now = self.locked();
        *now = Some(now.map_or(until, |earlier| earlier.min(until)));
    }

    /// All of it was renewed by a question sent at `sent`.
    pub(super) fn prolong(&self, sent: Instant, ttl: Duration) {
        *self.locked() = Some(sent + reliable(ttl));
    }

    /// Before this nobody else can have got it, unless the backend lost data; `None`: for ever.
    pub(super) fn until(&self) -> Option<Instant> {
        *self.locked()
    }

    pub(super) fn is_valid(&self) -> bool {
        self.loss.get().is_none() && self.until().is_none_or(|until| Instant::now() < until)
    }

    pub(super) fn valid_for(&self) -> Duration {
        match (self.loss.get(), self.until()) {
            (Some(_), _) => Duration::ZERO,
            (None, None) => Duration::MAX,
            (None, Some(until)) => until.saturating_duration_since(Instant::now()),
        }
    }

    /// The first loss counts.
    pub(super) fn lose(&self, why: Loss) {
        if self.loss.set(why).is_ok() {
            self.lost.cancel();
        }
    }

    pub(super) fn loss(&self) -> Option<Loss> {
        self.loss.get().copied()
    }

    pub(super) const fn token(&self) -> &CancellationToken {
        &self.lost
    }

    /// Returns when it is lost, by whatever comes first.
    pub(super) async fn lost(&self) {
        loop {
            let Some(until) = self.until() else { return self.lost.cancelled().await };
            tokio::select! {
                () = self.lost.cancelled() => return,
                () = sleep_until(until) => (),
            }
            if !self.is_valid() {
                return self.lose(Loss::Expired);
            }
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much of a ttl can be relied upon, counted from when it was asked for: 1 % for clocks that
/// run at different speeds, 2 ms for the backend's expiry.
pub(super) fn reliable(ttl: Duration) -> Duration {
    ttl.saturating_sub(ttl / 100 + Duration::from_millis(2))
}
