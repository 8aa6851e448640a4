//! The campaigns that this process advances: one task for each.
//!
//! Invariant: a driver leaves only when nobody woke it since its last look, and whoever wants to wake it
//! either does or becomes the next driver: nothing that was asked for is forgotten in between.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coordination::{LockClass, LockName, Locked, Locks, Patience};
use kernel::chain;
use kernel::ids::CampaignId;
use tokio::sync::{Notify, oneshot};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::advance::{Ended, Engine, TENURE};
use super::meters;

/// How long a tick waits when nobody could say who is at its campaign.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Whether somebody looks at a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// This process does, or another one that holds L5 and is not known to be silent.
    Somebody,
    /// Nobody could say.
    Unknown,
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

/// The campaigns whose drivers are in this process.
#[derive(Default)]
struct Places(Mutex<HashMap<CampaignId, Arc<AtWork>>>);

impl Places {
    fn lock(&self) -> MutexGuard<'_, HashMap<CampaignId, Arc<AtWork>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of a new driver; none when there is one, which is woken.
    fn enter(&self, campaign: CampaignId) -> Option<Arc<AtWork>> {
        match self.lock().entry(campaign) {
            Entry::Occupied(driver) => {
                driver.get().wake();
                None
            }
            Entry::Vacant(place) => Some(Arc::clone(place.insert(Arc::default()))),
        }
    }

    /// Gives the place up, unless somebody woke its driver; `true` when it is given up.
    fn leave(&self, campaign: CampaignId, at_work: &AtWork) -> bool {
        let mut places = self.lock();
        let is_woken = at_work.is_woken.load(Ordering::SeqCst);
        if !is_woken {
            places.remove(&campaign);
        }
        !is_woken
    }

    /// Gives the place up whatever happened, if it is still this driver's.
    fn clear(&self, campaign: CampaignId, at_work: &Arc<AtWork>) {
        let mut places = self.lock();
        if places.get(&campaign).is_some_and(|holder| Arc::ptr_eq(holder, at_work)) {
            places.remove(&campaign);
        }
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
    places: Places,
}

impl Drivers {
    pub(super) fn new(engine: Engine, locks: Locks, tasks: TaskTracker) -> Self {
        meters::register();
        Self { shared: Arc::new(Shared { engine, locks, tasks, places: Places::default() }) }
    }

    /// Makes this process look at the campaign, unless another one is at it.
    pub(super) async fn look(&self, campaign: CampaignId) -> Look {
        let Some(at_work) = self.shared.places.enter(campaign) else { return Look::Somebody };
        let (answer, answered) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn(async move {
            let place = Place { places: &shared.places, campaign, at_work: &at_work };
            shared.drive(campaign, &at_work, answer).await;
            drop(place);
        });
        // A driver that fell over without an answer is as good as none.
        answered.await.unwrap_or(Look::Unknown)
    }
}

/// A driver's place, which it gives up however it ends.
struct Place<'a> {
    places: &'a Places,
    campaign: CampaignId,
    at_work: &'a Arc<AtWork>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.places.clear(self.campaign, self.at_work);
    }
}

impl Shared {
    /// Drives for one tenure after the other, until there is nothing to do for long.
    async fn drive(&self, campaign: CampaignId, at_work: &AtWork, answer: oneshot::Sender<Look>) {
        let mut answer = Some(answer);
        loop {
            let name = LockName::CampaignSend(campaign);
            let work = async || self.tenure(campaign, at_work, &mut answer, TENURE).await;
            let ended = match self.locks.with_lock(name, Patience::None, work).await {
                Ok(Locked::Ran(ended)) => ended,
                Ok(Locked::Busy) => match self.instead(campaign, at_work, &mut answer).await {
                    Some(ended) => ended,
                    None => return,
                },
                Ok(Locked::Lost(_)) => return,
                Err(error) => {
                    warn!(campaign.id = %campaign, error = %chain(&error), "campaign waits for its lock");
                    return;
                }
            };
            match ended {
                Ended::Tenure => (),
                Ended::Resting if !self.places.leave(campaign, at_work) => (),
                Ended::Resting | Ended::Stopping => return,
            }
        }
    }

    /// Drives in place of whoever has L5, if they are silent.
    async fn instead(
        &self,
        campaign: CampaignId,
        at_work: &AtWork,
        answer: &mut Option<oneshot::Sender<Look>>,
    ) -> Option<Ended> {
        match self.engine.takes_over(campaign).await {
            Ok(true) => {
                info!(campaign.id = %campaign, "campaign goes on without its lock: who has it is silent");
                let ttl = self.locks.times(LockClass::CampaignSend).ttl;
                Some(self.tenure(campaign, at_work, answer, ttl).await)
            }
            Ok(false) => {
                debug!(campaign.id = %campaign, "another process is at the campaign");
                tell(answer, Look::Somebody);
                None
            }
            Err(error) => {
                warn!(campaign.id = %campaign, error = %chain(&error), "campaign waits for the database");
                tell(answer, Look::Unknown);
                None
            }
        }
    }

    async fn tenure(
        &self,
        campaign: CampaignId,
        at_work: &AtWork,
        answer: &mut Option<oneshot::Sender<Look>>,
        tenure: Duration,
    ) -> Ended {
        tell(answer, Look::Somebody);
        let at = meters::Driver::new();
        let ended = self.engine.drive(campaign, at_work, tenure).await;
        drop(at);
        ended
    }
}

/// Answers whoever made this driver look, once.
fn tell(answer: &mut Option<oneshot::Sender<Look>>, look: Look) {
    if answer.take().is_some_and(|answer| answer.send(look).is_err()) {
        debug!("nobody waits for the driver's answer any more");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_woken_after_its_last_look_does_not_leave() {
        let (places, campaign) = (Places::default(), CampaignId::new());
        let driver = places.enter(campaign).unwrap();
        driver.looks();
        assert!(places.enter(campaign).is_none(), "there is one driver");
        assert!(!places.leave(campaign, &driver), "it was woken");
        driver.looks();
        assert!(places.leave(campaign, &driver));
        let next = places.enter(campaign);
        places.clear(campaign, &driver);
        assert!(next.is_some() && places.enter(campaign).is_none(), "the next one keeps its place");
    }
}
