//! The campaigns that this process advances: one task for each.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coordination::{LockName, Locked, Locks, Patience};
use kernel::chain;
use kernel::ids::CampaignId;
use tokio::sync::{Notify, oneshot};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::advance::{Ended, Engine};
use super::meters;

/// How long a tick waits whose campaign another process is at.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Whether somebody looks at a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// This process does.
    AtIt,
    /// Another one holds L5, or nobody could say.
    Elsewhere,
}

/// A driver as others see it.
#[derive(Default)]
pub(super) struct AtWork {
    nudge: Notify,
    /// Somebody wants it to look once more before it leaves.
    is_woken: AtomicBool,
}

impl AtWork {
    fn wake(&self) {
        self.is_woken.store(true, Ordering::SeqCst);
        self.nudge.notify_one();
    }

    /// A look begins: what was asked for until now is answered by it.
    pub(super) fn looks(&self) {
        self.is_woken.store(false, Ordering::SeqCst);
    }

    pub(super) async fn woken(&self) {
        self.nudge.notified().await;
    }
}

/// The drivers of this process; clones share them.
#[derive(Clone)]
pub(super) struct Drivers {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    locks: Locks,
    tasks: TaskTracker,
    at_work: Mutex<HashMap<CampaignId, Arc<AtWork>>>,
}

impl Drivers {
    pub(super) fn new(engine: Engine, locks: Locks, tasks: TaskTracker) -> Self {
        meters::register();
        Self { shared: Arc::new(Shared { engine, locks, tasks, at_work: Mutex::default() }) }
    }

    /// Makes this process look at the campaign, unless another one is at it.
    pub(super) async fn look(&self, campaign: CampaignId) -> Look {
        let (answer, answered) = oneshot::channel();
        let at_work = match self.shared.lock().entry(campaign) {
            Entry::Occupied(driver) => {
                driver.get().wake();
                return Look::AtIt;
            }
            Entry::Vacant(place) => Arc::clone(place.insert(Arc::default())),
        };
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn(async move {
            let place = Place { shared: &shared, campaign };
            shared.drive(campaign, &at_work, answer).await;
            drop(place);
        });
        // A driver that fell over without an answer is as good as none.
        answered.await.unwrap_or(Look::Elsewhere)
    }
}

/// A driver's entry, which leaves with it, however it ends.
struct Place<'a> {
    shared: &'a Shared,
    campaign: CampaignId,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.shared.lock().remove(&self.campaign);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<CampaignId, Arc<AtWork>>> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds L5 for one tenure after the other, until there is nothing to do for long.
    async fn drive(&self, campaign: CampaignId, at_work: &AtWork, answer: oneshot::Sender<Look>) {
        let mut answer = Some(answer);
        loop {
            let name = LockName::CampaignSend(campaign);
            let work = async || {
                let is_heard = answer.take().is_none_or(|answer| answer.send(Look::AtIt).is_ok());
                if !is_heard {
                    debug!(campaign.id = %campaign, "nobody waits for the driver any more");
                }
                let at = meters::Driver::new();
                let ended = self.engine.drive(campaign, at_work).await;
                drop(at);
                ended
            };
            let ended = match self.locks.with_lock(name, Patience::None, work).await {
                Ok(Locked::Ran(ended)) => ended,
                Ok(Locked::Busy) => {
                    debug!(campaign.id = %campaign, "another process is at the campaign");
                    return;
                }
                Ok(Locked::Lost(_)) => return,
                Err(error) => {
                    warn!(campaign.id = %campaign, error = %chain(&error), "campaign waits for its lock");
                    return;
                }
            };
            let is_asked_for = at_work.is_woken.load(Ordering::SeqCst);
            match ended {
                Ended::Tenure => (),
                Ended::Resting if is_asked_for => (),
                Ended::Resting | Ended::Stopping => return,
            }
        }
    }
}
