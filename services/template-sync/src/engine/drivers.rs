//! The runs that this process works on: one task for each, under L6 of the run's connection.
//!
//! Invariant: two workers of one run are a waste and no danger: a page is added, and a run ended, only
//! by whoever names how far the run has come (`store::pages`).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coordination::{Held, LockName, Locked, Locks, Patience};
use kernel::chain;
use kernel::ids::{ConnectionId, TemplateSyncId};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::step::{Ended, Steps, Worked};

/// Runs that one process works on at once at most, and that one look finds.
pub(super) const MOST: i64 = 16;

/// The drivers of this process; clones share them.
#[derive(Clone)]
pub(super) struct Drivers {
    shared: Arc<Shared>,
}

struct Shared {
    steps: Steps,
    locks: Locks,
    tasks: TaskTracker,
    stop: CancellationToken,
    at_work: Mutex<HashSet<TemplateSyncId>>,
}

impl Shared {
    fn at_work(&self) -> MutexGuard<'_, HashSet<TemplateSyncId>> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run's place among those at work, given up however its task ends.
struct Place(Arc<Shared>, TemplateSyncId);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.at_work().remove(&self.1);
    }
}

impl Drivers {
    pub(super) fn new(
        steps: Steps,
        locks: Locks,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let at_work = Mutex::default();
        Self { shared: Arc::new(Shared { steps, locks, tasks, stop, at_work }) }
    }

    /// Works on `due` runs, as far as there is room and this process does not do so already.
    pub(super) fn look(&self, due: Vec<(TemplateSyncId, ConnectionId)>) {
        let most = usize::try_from(MOST).unwrap_or(usize::MAX);
        for (sync, connection) in due {
            let mut at_work = self.shared.at_work();
            if self.shared.stop.is_cancelled() || at_work.len() >= most || !at_work.insert(sync) {
                continue;
            }
            drop(at_work);
            let place = Place(Arc::clone(&self.shared), sync);
            self.shared.tasks.spawn(async move {
                place.0.drive(sync, connection).await;
                drop(place);
            });
        }
    }
}

impl Shared {
    /// Holds L6 for one tenure after the other, until the run is over or has to wait for long.
    async fn drive(&self, sync: TemplateSyncId, connection: ConnectionId) {
        loop {
            let name = LockName::TemplateSync(connection);
            let work = async |held: Held| self.steps.work(sync, &held, &self.stop).await;
            match self.locks.with_held(name, Patience::None, work).await {
                Ok(Locked::Ran(Ok(Ended::Tenure))) => (),
                Ok(Locked::Ran(Ok(Ended::Over | Ended::Resting))) => return,
                Ok(Locked::Ran(Err(error))) => {
                    warn!(sync.id = %sync, error = %chain(&error), "sync will be gone on with");
                    return self.steps.rest(sync, Worked::Here).await;
                }
                Ok(Locked::Busy) => {
                    debug!(sync.id = %sync, "somebody else has the connection's lock");
                    return self.steps.rest(sync, Worked::Elsewhere).await;
                }
                Ok(Locked::Lost(_)) => {
                    warn!(sync.id = %sync, "sync lost its lock and will be gone on with");
                    return self.steps.rest(sync, Worked::Here).await;
                }
                Err(error) => {
                    warn!(sync.id = %sync, error = %chain(&error), "sync waits for its lock");
                    return self.steps.rest(sync, Worked::Here).await;
                }
            }
        }
    }
}
