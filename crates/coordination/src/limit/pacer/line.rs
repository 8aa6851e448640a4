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

/// Slots of the future that a lane of bulk holds at most.
const BATCH: usize = 8;
/// It asks again when it holds no more than this.
const LOW: usize = BATCH / 2;
/// Slots of one question in the lanes above.
const AT_ONCE: usize = 64;
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
}

impl LaneQueue {
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
        // The slots that come due until only the low mark is held.
        if let Some(surplus) = self.ahead.len().checked_sub(LOW + 1)
            && let Some(due) = self.ahead.get(surplus)
        {
            self.ready = *due;
            return 0;
        }
        BATCH - self.ahead.len()
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
        let lanes = Lane::ALL.map(|lane| LaneQueue {
            lane,
            queue: Queue::default(),
            ready: now,
            ahead: VecDeque::new(),
        });
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
    let mut left = Vec::new();
    for (waiter, offer) in waiters.into_iter().zip(offers) {
        match offer.decision {
            Decision::Go(permit) => {
                // Never too early, and never later than allowed, wherever between question and
                // answer Redis's clock was read.
                let (at, until) = (answered + offer.delay, asked + offer.delay + SLOT_VALID);
                if offer.delay > Duration::ZERO {
                    lane.ahead.push_back(at);
                }
                give(waiter, Ok(Slot { permit: Some(permit), at, until, back: back.clone() }));
            }
            Decision::Wait { after, by } if by != line.policy() || after > longest(&line) => {
                give(waiter, Err(Parked { after, by }));
            }
            Decision::Wait { after, .. } => {
                let is_paced = Shape::of(&line, Ahead::Horizon).interval.is_some();
                let patience =
                    if is_paced && lane.lane.is_bulk() { PATIENCE } else { Duration::ZERO };
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
