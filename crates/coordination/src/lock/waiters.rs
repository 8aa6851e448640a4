//! Who waits in this process, so that a wake-up finds them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use uuid::Uuid;

use super::fence::Fence;
use crate::registry::key::LockKey;

/// What a waiter is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The lock is ours: ownership moved in the step that released it.
    Granted { key: LockKey, fence: Option<Fence> },
    /// Ask again: it may be free, or a wake-up may have been missed.
    Retry,
}

/// Everybody who waits, by token.
#[derive(Default)]
pub(crate) struct Waiters(Mutex<HashMap<Uuid, mpsc::UnboundedSender<Wake>>>);

impl Waiters {
    /// Must come before the question whose answer may be a wait, or a wake-up could be missed.
    pub(crate) fn register(self: &Arc<Self>, token: Uuid) -> Waiting {
        let (sender, wakes) = mpsc::unbounded_channel();
        self.locked().insert(token, sender);
        Waiting { waiters: Arc::clone(self), token, wakes }
    }

    /// Tells the owner of `token`; `false` when nobody waits under it any more, and what it was
    /// given must be given back.
    pub(crate) fn wake(&self, token: Uuid, wake: Wake) -> bool {
        self.locked().get(&token).is_some_and(|waiter| waiter.send(wake).is_ok())
    }

    /// Makes everybody ask again.
    pub(crate) fn wake_all(&self) {
        for waiter in self.locked().values() {
            // One that just left needs no wake-up.
            let _left = waiter.send(Wake::Retry).is_err();
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Uuid, mpsc::UnboundedSender<Wake>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the waiters; left when dropped.
pub(crate) struct Waiting {
    waiters: Arc<Waiters>,
    token: Uuid,
    wakes: mpsc::UnboundedReceiver<Wake>,
}

impl Waiting {
    /// The next wake-up.
    pub(crate) async fn woken(&mut self) -> Wake {
        // The sender is kept until this value is dropped.
        self.wakes.recv().await.unwrap_or(Wake::Retry)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.waiters.locked().remove(&self.token);
    }
}
