//! The task of one connection.

use std::collections::VecDeque;
use std::sync::{PoisonError, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::queue::Queue;
use super::{Event, Lines, Parked, Slot, Waiter};
use crate::limit::shape::{Ahead, SLOT_VALID, Shape};
use crate::limit::{Decision, Lane, Limit, Limiter, Permit};
use crate::registry::LimitName;

/// Slots of the future that a lane of bulk holds at most: so many, or those of [`AHEAD`]. It asks again
/// when it holds no more than half of them.
const FEW: usize = 8;
/// What a process reserves ahead, beyond the few: while half of it is handed out before its time, the
/// other half is asked for.
const AHEAD: Duration = Duration::from_millis(100);
/// Slots of one question.
const AT_ONCE: usize = 64;
/// The distance of two slots that a process hands out, in parts of a thousand of the limit's own: what
/// an answer of Redis's that was late has moved is caught up so slowly that no second holds too many.
const CLOSEST: u32 = 990;
/// Bulk that had to wait asks this much later than it might, for several slots at once. The line
/// stays busy meanwhile: it is reserved half a second ahead.
const PATIENCE: Duration = Duration::from_millis(250);
/// Whoever waits asks at least this often: the lanes above may have left earlier what they had.
const OFTEN: Duration = Duration::from_secs(1);
/// A connection that nobody sends from has no task after this long.
const IDLE: Duration = Duration::from_mins(1);

pub(super) struct Line {
    limiter: Limiter,
    name: LimitName,
    lines: Weak<Lines>,
    /// Weak: the task ends when the pacer and all slots are gone.
    back: mpsc::WeakUnboundedSender<Event>,
    events: mpsc::UnboundedReceiver<Event>,
    lanes: [LaneQueue; 4],
}

struct LaneQueue {
    lane: Lane,
    queue: Queue,
    /// When to ask again.
    ready: Instant,
    /// The times of the slots of the future.
    ahead: VecDeque<Instant>,
    /// The time that one slot of the line costs, once it is known to be paced.
    interval: Duration,
    /// The time of the last slot.
    last: Option<Instant>,
}

impl LaneQueue {
    fn new(lane: Lane, now: Instant) -> Self {
        let (queue, ahead) = (Queue::default(), VecDeque::new());
        Self { lane, queue, ready: now, ahead, interval: Duration::ZERO, last: None }
    }

    /// How many slots to ask for now.
    fn room(&mut self, now: Instant) -> usize {
        if self.queue.is_empty() || now < self.ready {
            return 0;
        }
        if !self.lane.is_bulk() {
            return AT_ONCE;
        }
        while self.ahead.front().is_some_and(|at| *at <= now) {
            self.ahead.pop_front();
        }
        let most = self.most_ahead();
        // The slots that come due until only half is held.
        if let Some(surplus) = self.ahead.len().checked_sub(most / 2 + 1)
            && let Some(due) = self.ahead.get(surplus)
        {
            self.ready = *due;
            return 0;
        }
        most.saturating_sub(self.ahead.len()).min(AT_ONCE)
    }

    fn most_ahead(&self) -> usize {
        let fit = AHEAD.as_micros().checked_div(self.interval.as_micros()).unwrap_or(0);
        usize::try_from(fit).unwrap_or(FEW).max(FEW)
    }

    /// When the next slot is used that Redis gives from `at` on: not too close to the one before, while
    /// that is not later than `latest`.
    fn spaced(&mut self, at: Instant, latest: Instant) -> Instant {
        let closest = self.interval * CLOSEST / 1_000;
        let spaced = self.last.map_or(at, |last| at.max((last + closest).min(latest)));
        self.last = Some(spaced);
        spaced
    }
}

impl Line {
    pub(super) fn new(
        limiter: Limiter,
        name: LimitName,
        lines: Weak<Lines>,
        back: mpsc::WeakUnboundedSender<Event>,
        events: mpsc::UnboundedReceiver<Event>,
    ) -> Self {
        let now = Instant::now();
        let lanes = Lane::ALL.map(|lane| LaneQueue::new(lane, now));
        Self { limiter, name, lines, back, events, lanes }
    }

    /// Serves until the pacer is gone, or nobody sends any more.
    pub(super) async fn run(mut self) {
        loop {
            self.take_events().await;
            while self.serve_highest().await {
                self.take_events().await;
            }
            let waiting = self.lanes.iter().filter(|lane| !lane.queue.is_empty());
            let next = waiting.map(|lane| lane.ready).min();
            let until = next.unwrap_or_else(|| Instant::now() + IDLE);
            match timeout_at(until, self.events.recv()).await {
                Ok(Some(event)) => self.take(event).await,
                Ok(None) => return,
                Err(_) if next.is_some() => (),
                Err(_) if self.ends() => return,
                Err(_) => (),
            }
        }
    }

    /// Whether the task may end: with the pacer, or when nobody waits.
    fn ends(&self) -> bool {
        let Some(lines) = self.lines.upgrade() else { return true };
        // Whoever wants a slot says so under the same lock.
        let mut by_name = lines.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let is_idle = self.events.is_empty();
        if is_idle {
            by_name.remove(&self.name);
        }
        is_idle
    }

    async fn take_events(&mut self) {
        let mut unused = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Wants(waiter) => self.push(waiter),
                Event::Back(permit) => unused.push(permit),
            }
        }
        self.give_back(unused).await;
    }

    async fn take(&mut self, event: Event) {
        match event {
            Event::Wants(waiter) => self.push(waiter),
            Event::Back(permit) => self.give_back(vec![permit]).await,
        }
    }

    fn push(&mut self, waiter: Waiter) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.lane == waiter.line.lane) {
            lane.queue.push(waiter);
        }
    }

    /// Newest first: only the newest slot of a pace can be taken back.
    async fn give_back(&self, mut unused: Vec<Permit>) {
        self.limiter.count_unused(unused.len());
        unused.sort_by_key(|permit| std::cmp::Reverse(permit.newest()));
        for permit in unused {
            self.limiter.refund(permit).await;
        }
    }

    /// Asks once for the highest lane that may ask; `false` when none may.
    async fn serve_highest(&mut self) -> bool {
        let now = Instant::now();
        // Without the pacer nobody waits any more.
        let Some(back) = self.back.upgrade() else { return false };
        for lane in &mut self.lanes {
            let room = lane.room(now);
            let waiters = lane.queue.take(room);
            if !waiters.is_empty() {
                serve(&self.limiter, lane, waiters, &back).await;
                return true;
            }
        }
        false
    }
}

async fn serve(
    limiter: &Limiter,
    lane: &mut LaneQueue,
    waiters: Vec<Waiter>,
    back: &mpsc::UnboundedSender<Event>,
) {
    let Some(line) = waiters.first().map(|waiter| waiter.line.clone()) else { return };
    let own: Vec<Option<Limit>> = waiters.iter().map(|waiter| waiter.own.clone()).collect();
    let asked = Instant::now();
    let offers = limiter.reserve(&line, &own, Ahead::Horizon).await;
    let answered = Instant::now();
    if lane.lane.is_bulk() {
        lane.interval = Shape::of(&line, Ahead::Horizon).interval.unwrap_or_default();
    }
    let mut left = Vec::new();
    for (waiter, offer) in waiters.into_iter().zip(offers) {
        match offer.decision {
            Decision::Go(permit) => {
                // Never too early, and never later than allowed, wherever between question and
                // answer Redis's clock was read.
                let (at, until) = (answered + offer.delay, asked + offer.delay + SLOT_VALID);
                let at = lane.spaced(at, until - SLOT_VALID / 2);
                if at > answered {
                    lane.ahead.push_back(at);
                }
                let slot = Slot::new(permit, at..until, &line.name, limiter, back);
                give(waiter, Ok(slot));
            }
            Decision::Wait { after, by } if by != line.policy() || after > longest(&line) => {
                give(waiter, Err(Parked { after, by }));
            }
            Decision::Wait { after, .. } => {
                let is_paced = lane.interval > Duration::ZERO;
                let patience = if is_paced { PATIENCE } else { Duration::ZERO };
                lane.ready = answered + after.min(OFTEN) + patience;
                left.push(waiter);
            }
        }
    }
    lane.queue.put_back(left);
}

/// A full line is free again after its window; what lasts longer is a stop.
fn longest(line: &Limit) -> Duration {
    Shape::of(line, Ahead::Horizon).window + Duration::from_secs(1)
}

fn give(waiter: Waiter, answer: Result<Slot, Parked>) {
    // Who does not wait any more drops the slot, which gives it back.
    drop(waiter.give.send(answer));
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn paced(interval: Duration) -> (LaneQueue, Instant) {
        let now = Instant::now();
        (LaneQueue { interval, ..LaneQueue::new(Lane::Campaign, now) }, now)
    }

    #[test]
    fn a_late_answer_does_not_make_the_next_slots_close() {
        let (mut lane, now) = paced(10 * MS);
        let far = now + 1_000 * MS;
        // Due every 10 ms; the second answer came 30 ms late, the third in time.
        let late = lane.spaced(now + 40 * MS, far);
        let mut last = late;
        for n in 2..400 {
            let at = lane.spaced(now + n * 10 * MS, far + n * 10 * MS);
            assert!(at - last >= Duration::from_micros(9_900), "slot {n} after {:?}", at - last);
            last = at;
        }
        assert_eq!(last, now + 3_990 * MS, "caught up");
    }

    #[test]
    fn a_slot_is_rather_close_to_another_than_too_late() {
        let (mut lane, now) = paced(10 * MS);
        let stalled = lane.spaced(now + 500 * MS, now + 600 * MS);
        assert_eq!(lane.spaced(now + 10 * MS, now + 130 * MS), now + 130 * MS);
        assert!(stalled > now + 130 * MS);
    }

    #[test]
    fn a_fast_line_reserves_as_far_ahead_as_a_slow_one() {
        assert_eq!(paced(50 * MS).0.most_ahead(), 8);
        assert_eq!(paced(MS).0.most_ahead(), 100);
        assert_eq!(paced(Duration::ZERO).0.most_ahead(), 8, "an exact log has no pace");
    }
}
