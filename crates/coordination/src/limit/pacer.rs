//! Hands a connection's slots to those who wait for them: few questions to Redis, fair turns.
//!
//! One task for each process and connection reserves slots for those who wait, a little ahead, and
//! gives them out in order within a lane, campaigns in turns. Whoever gets one a moment before its time
//! prepares its use meanwhile. Invariants:
//! - a slot is used at its time or within a quarter of a second after, or not at all;
//! - an unused slot is given back; a process that dies or is paused loses eight, or those of 100 ms if
//!   they are more;
//! - who is cancelled while waiting leaves nothing behind.

mod line;
mod queue;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

use super::{Limit, Limiter, Permit};
use crate::registry::{LimitName, Policy};
use kernel::ids::CampaignId;

/// How long before its time a slot is handed out: enough to claim what it is for, so that the use is
/// in time and not in a bunch with others.
const LEAD: Duration = Duration::from_millis(40);

/// Whose turns a message takes in the campaigns' lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The campaign; `None` for everything else.
    pub campaign: Option<CampaignId>,
    /// Turns of a round, compared with other campaigns of the connection; 0 counts as 1.
    pub weight: u32,
}

impl Share {
    /// Work that belongs to no campaign.
    pub const NONE: Self = Self { campaign: None, weight: 1 };
}

/// The message can not be sent soon: park it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a limit is reached for {after:?}")]
pub struct Parked {
    /// When to ask again.
    pub after: Duration,
    /// The limit that binds.
    pub by: Policy,
}

/// The right to send one message at its time. Dropped unused, it is given back.
#[must_use]
pub struct Slot {
    /// `None` once it was used.
    permit: Option<Permit>,
    at: Instant,
    until: Instant,
    line: LimitName,
    limiter: Limiter,
    back: mpsc::UnboundedSender<Event>,
}

impl Slot {
    fn new(
        permit: Permit,
        good: Range<Instant>,
        line: &LimitName,
        limiter: &Limiter,
        back: &mpsc::UnboundedSender<Event>,
    ) -> Self {
        let (line, limiter, back) = (line.clone(), limiter.clone(), back.clone());
        Self { permit: Some(permit), at: good.start, until: good.end, line, limiter, back }
    }

    /// Waits for the slot's time, 40 ms at most, and uses it, if it is still good: where the process
    /// was paused or the connection throttled meanwhile it is `false`, and who sends asks again.
    pub async fn spend(mut self) -> bool {
        sleep_until(self.at).await;
        let is_good = self.is_good();
        if is_good {
            self.permit = None;
        }
        is_good
    }

    fn is_good(&self) -> bool {
        let now = Instant::now();
        now <= self.until && self.limiter.shared.denials.pause(&self.line, now).is_none()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("permit", &self.permit)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            // Without its task the slot is lost, which only makes the limit stricter.
            let _is_gone = self.back.send(Event::Back(permit)).is_err();
        }
    }
}

/// One who waits for a slot.
#[derive(Debug)]
struct Waiter {
    line: Limit,
    own: Option<Limit>,
    share: Share,
    give: oneshot::Sender<Result<Slot, Parked>>,
}

#[derive(Debug)]
enum Event {
    Wants(Waiter),
    Back(Permit),
}

/// Hands out slots; cheap to clone.
#[derive(Clone)]
pub struct Pacer {
    shared: Arc<Lines>,
}

struct Lines {
    limiter: Limiter,
    tasks: TaskTracker,
    by_name: Mutex<HashMap<LimitName, mpsc::UnboundedSender<Event>>>,
}

impl Pacer {
    /// Asks `limiter`; `tasks` runs a task for each connection that is sent from, which ends with the
    /// pacer or after a minute of quiet.
    pub fn new(limiter: Limiter, tasks: TaskTracker) -> Self {
        Self { shared: Arc::new(Lines { limiter, tasks, by_name: Mutex::default() }) }
    }

    /// Waits until the next slot of `line`, a connection's limit with its lane, and of `own`, the
    /// message's own limit, if it has one, is near: [`Slot::spend`] waits for the rest.
    ///
    /// # Errors
    ///
    /// [`Parked`] when the message's own limit binds, or the whole lane is stopped for longer than
    /// its window: then waiting here would only hold the caller up.
    pub async fn slot(
        &self,
        line: &Limit,
        own: Option<&Limit>,
        share: Share,
    ) -> Result<Slot, Parked> {
        loop {
            let (give, got) = oneshot::channel();
            let waiter = Waiter { line: line.clone(), own: own.cloned(), share, give };
            self.shared.send(waiter);
            let Ok(answer) = got.await else {
                // Its task ended with the process.
                return Err(Parked { after: Duration::from_secs(1), by: line.policy() });
            };
            let slot = answer?;
            sleep_until(slot.at.checked_sub(LEAD).unwrap_or(slot.at)).await;
            if slot.is_good() {
                return Ok(slot);
            }
        }
    }
}

impl Lines {
    fn send(self: &Arc<Self>, waiter: Waiter) {
        let name = waiter.line.name.clone();
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let line = by_name.entry(name.clone()).or_insert_with(|| {
            let (back, events) = mpsc::unbounded_channel();
            let lines = Arc::downgrade(self);
            let line = line::Line::new(self.limiter.clone(), name, lines, back.downgrade(), events);
            self.tasks.spawn(line.run());
            back
        });
        // Its task takes the name away before it ends.
        let _is_gone = line.send(Event::Wants(waiter)).is_err();
    }
}
