//! What the work under a lock can know of it.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::fence::Fence;
use super::meters;
use super::term::{Loss, Term};
use crate::registry::LockClass;

/// A lock while its work runs; cheap to clone into what the work starts.
#[derive(Clone, Debug)]
pub struct Held {
    class: Option<LockClass>,
    fence: Option<Fence>,
    term: Arc<Term>,
}

/// The lock was lost: stop, and commit nothing it protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the lock was lost")]
pub struct LockLost;

impl Held {
    pub(super) const fn new(
        class: Option<LockClass>,
        fence: Option<Fence>,
        term: Arc<Term>,
    ) -> Self {
        Self { class, fence, term }
    }

    /// The grant's number, for the guard in SQL; `None` when the class is not fenced or the work
    /// runs unlocked.
    pub const fn fence(&self) -> Option<Fence> {
        self.fence
    }

    /// Cancelled when the lock is lost; for what the work has started elsewhere.
    pub fn lost(&self) -> &CancellationToken {
        self.term.token()
    }

    /// How long nobody else can have it, by this process's clock; [`Duration::MAX`] when the work
    /// runs unlocked.
    pub fn valid_for(&self) -> Duration {
        self.term.valid_for()
    }

    /// Asks before an effect that the lock protects.
    ///
    /// # Errors
    ///
    /// [`LockLost`] when it was lost or has run out.
    pub fn check(&self) -> Result<(), LockLost> {
        if self.term.is_valid() { Ok(()) } else { Err(LockLost) }
    }

    /// Counts a write that the fence refused, and says that the lock is lost: for the caller whose
    /// guarded statement changed no row.
    pub fn fenced_off(&self) -> LockLost {
        if let Some(class) = self.class {
            meters::fence_rejected(class, 1);
        }
        self.term.lose(Loss::Taken);
        LockLost
    }
}
