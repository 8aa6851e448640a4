//! Asking for locks, and waiting for them.
//!
//! Invariant: a waiter is told, not polling; it asks again only for safety, after the time in which
//! the lock must have run out, a second, or a quarter of the ttl, whichever comes first.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::LockError;
use super::guard::{BatchGuard, STAY};
use super::meters::Waiter;
use super::store::{Queue, Share, StoreAway, Take, Taken};
use super::waiters::Wake;
use crate::registry::key::LockKey;

/// The longest pause between two questions.
const ASK_AGAIN: Duration = Duration::from_secs(1);

const JOIN: Take = Take { share: Share::Each, queue: Queue::Join };
const ALL: Take = Take { share: Share::All, queue: Queue::Stay };

/// Takes whichever it can until everything is held or `wait` is over.
pub(super) async fn each(mut guard: BatchGuard, wait: Duration) -> Result<BatchGuard, LockError> {
    let asked = Instant::now();
    if guard.busy().is_empty() {
        guard.settle(Duration::ZERO, false);
        return Ok(guard);
    }
    if let Err(away) = guard.take(STAY).await {
        return guard.degrade(away);
    }
    guard.observe();
    let has_waited = !guard.busy().is_empty() && !wait.is_zero();
    if has_waited && let Err(away) = wait_for_busy(&mut guard, asked + wait).await {
        return guard.degrade(away);
    }
    guard.settle(asked.elapsed(), has_waited);
    Ok(guard)
}

/// Takes all of them together, or none within `wait`.
///
/// It holds nothing while it waits: it waits for one of the busy locks, then tries the rest, and
/// gives that one back when another is busy. So two batches never wait for each other.
pub(super) async fn all(mut guard: BatchGuard, wait: Duration) -> Result<BatchGuard, LockError> {
    let asked = Instant::now();
    let wait = if guard.is_bound() { wait } else { Duration::ZERO };
    match take_all(&mut guard, asked + wait).await {
        Ok(has_waited) => {
            guard.observe();
            guard.settle(asked.elapsed(), has_waited);
            Ok(guard)
        }
        Err(away) => guard.degrade(away),
    }
}

async fn take_all(guard: &mut BatchGuard, end: Instant) -> Result<bool, StoreAway> {
    let mut has_waited = false;
    while !guard.busy().is_empty() {
        let taken = guard.take(ALL).await?;
        if guard.busy().is_empty() {
            break;
        }
        let is_held =
            |taken: &&Taken| matches!(taken, Taken::Busy { free_in } if !free_in.is_zero());
        let place = taken.iter().position(|taken| is_held(&taken)).unwrap_or(0);
        guard.give_up().await?;
        if Instant::now() >= end {
            break;
        }
        has_waited = true;
        let others = guard.set_aside(place);
        wait_for_busy(guard, end).await?;
        let is_ours = guard.busy().is_empty();
        guard.restore(others);
        if !is_ours {
            guard.give_up().await?;
            break;
        }
    }
    Ok(has_waited)
}

/// Waits in the queues of everything busy; leaves those it has not got at `end`.
async fn wait_for_busy(guard: &mut BatchGuard, end: Instant) -> Result<(), StoreAway> {
    let _waiter = Waiter::start(guard.busy());
    guard.holding.listen();
    while !guard.busy().is_empty() {
        let taken = guard.take(JOIN).await?;
        if guard.busy().is_empty() {
            return Ok(());
        }
        let ask_again = Instant::now() + pause(guard, &taken);
        woken(guard, ask_again.min(end)).await;
        if Instant::now() >= end {
            break;
        }
    }
    let left: Vec<LockKey> = guard.busy().iter().map(|name| name.key()).collect();
    guard.holding.leave(&left).await;
    Ok(())
}

/// Returns at `until`, when told to ask again, or when nothing is busy any more.
async fn woken(guard: &mut BatchGuard, until: Instant) {
    while !guard.busy().is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        match timeout(left, guard.holding.woken()).await {
            Ok(Wake::Granted { key, fence }) if guard.granted(&key, fence) => (),
            Ok(Wake::Granted { .. } | Wake::Retry) | Err(_) => return,
        }
    }
}

/// Until the first of the busy locks must have run out, spread so that waiters do not ask in step.
fn pause(guard: &BatchGuard, taken: &[Taken]) -> Duration {
    let free_in = taken.iter().filter_map(|taken| match taken {
        Taken::Busy { free_in } => Some(*free_in),
        Taken::Ours { .. } => None,
    });
    let jitter = Duration::from_micros(u64::from(guard.holding.rhythm()) * 80);
    let soonest = free_in.min().unwrap_or_default() + Duration::from_millis(1) + jitter;
    let ttl = guard.busy().iter().map(|name| guard.ask(name).ttl).min().unwrap_or(ASK_AGAIN);
    soonest.min(ASK_AGAIN).min(ttl / 4)
}
