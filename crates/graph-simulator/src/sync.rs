//! Locks without poisoning, and background tasks that end with the simulator.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Locks `mutex`; a holder that panicked leaves the data usable, because every change is one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs work on the runtime that started the simulator, whichever thread asks for it.
#[derive(Clone, Debug)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    runtime: Handle,
    stopping: CancellationToken,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            tracker: TaskTracker::new(),
            runtime: Handle::current(),
            stopping: CancellationToken::new(),
        }
    }

    /// Starts `work`; it is dropped at its next await when the simulator stops.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let until_stopped = self.stopping.clone().run_until_cancelled_owned(work);
        self.tracker.spawn_on(until_stopped, &self.runtime);
    }

    /// Starts `work` that ends by itself when the simulator stops.
    pub(crate) fn spawn_to_its_end(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn_on(work, &self.runtime);
    }

    /// Tells all work to end.
    pub(crate) fn cancel(&self) {
        self.stopping.cancel();
        self.tracker.close();
    }

    /// Waits until all work has ended.
    pub(crate) async fn ended(&self) {
        self.tracker.wait().await;
    }
}
