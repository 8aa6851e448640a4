//! How many requests may be in flight, and whose.
//!
//! Invariants:
//! - campaigns never fill the part that is kept for everything else;
//! - while campaigns of another connection wait, no connection holds more than half of the campaigns'
//!   part;
//! - a seat is given back when it is dropped, whatever happened to its request.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kernel::ids::ConnectionId;
use storage::send_ledger::Source;
use storage::send_ledger::claim::Stream;
use tokio::sync::oneshot;

/// One part in so many of the room is kept for replies.
const KEPT_PART: usize = 8;

/// While many wait, campaigns are seated by so many at once: a claim costs the same for one as for all.
const WORTHWHILE: usize = 8;

/// The requests that may be in flight; cheap to clone.
#[derive(Clone)]
pub(crate) struct Room {
    shared: Arc<Shared>,
}

struct Shared {
    most: usize,
    /// Of `most`, what campaigns may have.
    for_campaigns: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    replies: usize,
    campaigns: usize,
    by_connection: HashMap<ConnectionId, usize>,
    queue: VecDeque<Waiter>,
}

struct Waiter {
    stream: Stream,
    want: usize,
    give: oneshot::Sender<Vec<Seat>>,
}

/// The right to have one request in flight.
pub(crate) struct Seat {
    room: Arc<Shared>,
    /// The connection, of a campaign's seat.
    campaigns_of: Option<ConnectionId>,
}

impl Room {
    /// A room for `most` requests.
    pub(crate) fn new(most: usize) -> Self {
        let for_campaigns = (most - most / KEPT_PART).max(1);
        Self { shared: Arc::new(Shared { most, for_campaigns, state: Mutex::default() }) }
    }

    /// Waits until `stream` may have at least one request in flight; takes `want` at most.
    pub(crate) async fn take(&self, stream: Stream, want: usize) -> Vec<Seat> {
        loop {
            let given = {
                let (give, given) = oneshot::channel();
                let waiter = Waiter { stream, want: want.max(1), give };
                self.shared.lock().queue.push_back(waiter);
                given
            };
            self.shared.serve();
            if let Ok(seats) = given.await {
                return seats;
            }
        }
    }

    /// Takes up to `want` seats that are free now and that nobody waits for.
    pub(crate) fn take_free(&self, stream: Stream, want: usize) -> Vec<Seat> {
        let mut state = self.shared.lock();
        if !state.queue.is_empty() {
            return Vec::new();
        }
        let free = self.shared.free(&state, stream).min(want);
        self.shared.seat(&mut state, stream, free)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held cannot have left the numbers half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many more `stream` may have.
    fn free(&self, state: &State, stream: Stream) -> usize {
        let free = self.most.saturating_sub(state.replies + state.campaigns);
        if stream.source != Source::Campaign {
            return free;
        }
        let free = free.min(self.for_campaigns.saturating_sub(state.campaigns));
        let is_other = |waiter: &Waiter| {
            waiter.stream.source == Source::Campaign
                && waiter.stream.connection_id != stream.connection_id
        };
        if !state.queue.iter().any(is_other) {
            return free;
        }
        let own = state.by_connection.get(&stream.connection_id).copied().unwrap_or(0);
        free.min((self.for_campaigns / 2).max(1).saturating_sub(own))
    }

    fn seat(self: &Arc<Self>, state: &mut State, stream: Stream, count: usize) -> Vec<Seat> {
        let campaigns_of = (stream.source == Source::Campaign).then_some(stream.connection_id);
        match campaigns_of {
            Some(connection) if count > 0 => {
                state.campaigns += count;
                *state.by_connection.entry(connection).or_default() += count;
            }
            Some(_) => {}
            None => state.replies += count,
        }
        (0..count).map(|_| Seat { room: Arc::clone(self), campaigns_of }).collect()
    }

    /// Seats whoever can be seated, in the order of arrival.
    fn serve(self: &Arc<Self>) {
        let mut seated = Vec::new();
        let mut state = self.lock();
        let mut at = 0;
        while let Some(waiter) = state.queue.get(at) {
            let (stream, want) = (waiter.stream, waiter.want);
            let free = self.free(&state, stream);
            let enough = match stream.source {
                Source::Campaign => want.min(WORTHWHILE).min(self.for_campaigns / 2).max(1),
                Source::Agent | Source::Api | Source::Bot => 1,
            };
            if waiter.give.is_closed() {
                state.queue.remove(at);
            } else if free >= enough
                && let Some(waiter) = state.queue.remove(at)
            {
                let seats = self.seat(&mut state, stream, free.min(want));
                seated.push((waiter.give, seats));
            } else {
                at += 1;
            }
        }
        drop(state);
        // Who does not wait any more drops the seats, which needs the lock.
        for (give, seats) in seated {
            drop(give.send(seats));
        }
    }
}

impl State {
    fn leave(&mut self, campaigns_of: Option<ConnectionId>) {
        let Some(connection) = campaigns_of else {
            self.replies = self.replies.saturating_sub(1);
            return;
        };
        self.campaigns = self.campaigns.saturating_sub(1);
        let own = self.by_connection.entry(connection).or_default();
        *own = own.saturating_sub(1);
        if *own == 0 {
            self.by_connection.remove(&connection);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.room.lock();
        state.leave(self.campaigns_of);
        let is_awaited = !state.queue.is_empty();
        drop(state);
        if is_awaited {
            self.room.serve();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use kernel::ids::CampaignId;

    use super::*;

    fn campaign(connection_id: ConnectionId) -> Stream {
        let campaign_id = Some(CampaignId::new());
        Stream { connection_id, source: Source::Campaign, campaign_id }
    }

    fn bot() -> Stream {
        Stream { connection_id: ConnectionId::new(), source: Source::Bot, campaign_id: None }
    }

    #[tokio::test]
    async fn campaigns_leave_room_for_replies() {
        let room = Room::new(64);
        let bulk = room.take(campaign(ConnectionId::new()), 1_000).await;
        assert_eq!(bulk.len(), 56);
        assert_eq!(room.take(bot(), 100).await.len(), 8);
    }

    #[tokio::test]
    async fn half_of_the_campaigns_part_comes_free_for_another_connection_that_waits() {
        let room = Room::new(64);
        let (first, second) = (campaign(ConnectionId::new()), campaign(ConnectionId::new()));
        let mut bulk = room.take(first, 1_000).await;
        let mut other = Box::pin(room.take(second, 1_000));
        assert!((&mut other).now_or_never().is_none());
        assert!(room.take_free(first, 1).is_empty(), "overtook who waits");
        let mut more = Box::pin(room.take(first, 8));
        assert!((&mut more).now_or_never().is_none());
        bulk.truncate(48);
        assert_eq!(other.await.len(), 8);
        bulk.truncate(40);
        assert_eq!(more.await.len(), 8, "nobody else waits any more");
    }

    #[tokio::test]
    async fn a_seat_that_nobody_takes_any_more_is_free_again() {
        let room = Room::new(8);
        let bulk = room.take(bot(), 8).await;
        let mut waiting = Box::pin(room.take(bot(), 8));
        assert!((&mut waiting).now_or_never().is_none());
        drop(bulk);
        drop(waiting);
        assert_eq!(room.take(bot(), 8).await.len(), 8);
    }
}
