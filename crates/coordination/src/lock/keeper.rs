//! Renews what is held and gives back what was dropped, on a thread of its own.
//!
//! Invariants:
//! - a renewal belongs to a guard and ends with it; nothing is renewed beyond its `max_hold`;
//! - a runtime that is busy, or gone, delays neither renewals nor releases;
//! - what failed for a passing reason is tried again until the guard's own deadline.

mod jobs;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use kernel::chain;
use metrics::{Histogram, histogram};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{error, warn};
use uuid::Uuid;

pub(crate) use self::jobs::Jobs;
pub(super) use self::jobs::{Renewal, RenewalId};

use self::jobs::Due;
use super::meters;
use super::store::{Lease, Store};
use super::term::Loss;
use crate::ConnectError;
use crate::registry::key::LockKey;

/// Locks in one renewal: 0.3 ms of Redis's time; more would make other callers wait.
const BATCH: usize = 256;
/// How long a release that could not be awaited is tried. Shutdown waits no longer for it; after
/// that the ttl frees the key.
const PATIENCE: Duration = Duration::from_secs(5);
/// A question whose answer was lost may still be on its way; whatever it takes is given back again.
const AFTERMATH: Duration = Duration::from_secs(1);

/// Locks that nobody holds any more.
pub(super) struct Leftover {
    pub(super) keys: Vec<LockKey>,
    pub(super) token: Uuid,
    /// A question for them was not answered.
    pub(super) is_doubtful: bool,
    /// Shutdown waits for it.
    waits: Option<TaskTrackerToken>,
}

/// What the thread works with.
pub(crate) struct Works {
    pub(crate) store: Store,
    /// Told of locks that were handed to this process; never ends.
    pub(crate) listening: LocalBoxFuture<'static, ()>,
}

/// The way to the thread; it ends when this is dropped and everything is given back.
pub(crate) struct Keeper {
    jobs: Arc<Jobs>,
    tasks: TaskTracker,
}

impl Keeper {
    /// Starts the thread; `connect` makes its own connection there, so that the callers' traffic
    /// does not delay it.
    pub(crate) fn start<C>(tasks: TaskTracker, connect: C) -> std::io::Result<Self>
    where
        C: AsyncFnOnce(Arc<Jobs>) -> Result<Works, ConnectError> + Send + 'static,
    {
        let jobs = Arc::new(Jobs::default());
        let theirs = Arc::clone(&jobs);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("lock-keeper".into()).spawn(move || {
            runtime.block_on(async move {
                match connect(Arc::clone(&theirs)).await {
                    Ok(Works { store, listening }) => tokio::select! {
                        () = run(store, theirs) => (),
                        () = listening => (),
                    },
                    // The callers' connection was made with the same settings.
                    Err(error) => error!(error = %chain(&error), "locks are not renewed"),
                }
            });
        })?;
        Ok(Self { jobs, tasks })
    }

    /// Renews until [`Self::forget`], a loss, or the renewal's end.
    pub(super) fn renew(&self, renewal: Renewal) -> RenewalId {
        self.jobs.add(renewal)
    }

    pub(super) fn forget(&self, id: RenewalId) {
        self.jobs.remove(id);
    }

    /// Gives back what a guard left: locks, and places in queues.
    pub(crate) fn give_back(&self, keys: Vec<LockKey>, token: Uuid, is_doubtful: bool) {
        meters::dropped(keys.len());
        let waits = Some(self.tasks.token());
        self.jobs.leave(Leftover { keys, token, is_doubtful, waits });
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.jobs.close();
    }
}

async fn run(store: Store, jobs: Arc<Jobs>) {
    let lag = histogram!(meters::RENEW_LAG);
    let mut tasks = JoinSet::new();
    loop {
        let woken = jobs.woken();
        let now = Instant::now();
        let leftovers = jobs.leftovers();
        if !leftovers.is_empty() {
            tasks.spawn(give_back(store.clone(), leftovers));
        }
        let due = jobs.due(now);
        if !due.is_empty() {
            tasks.spawn(renew(store.clone(), Arc::clone(&jobs), due, lag.clone()));
        }
        if jobs.is_closed() && tasks.is_empty() {
            return;
        }
        let next = jobs.next();
        tokio::select! {
            () = woken => (),
            Some(_) = tasks.join_next() => (),
            () = async { match next { Some(next) => sleep_until(next).await, None => std::future::pending().await } } => (),
        }
    }
}

/// Renews everything that is due, in batches.
async fn renew(store: Store, jobs: Arc<Jobs>, due: Vec<Due>, lag: Histogram) {
    let now = Instant::now();
    let mut due: Vec<Due> = due.into_iter().filter(|due| !is_over(&jobs, due, now)).collect();
    let leases: Vec<(usize, &Lease)> = due
        .iter()
        .enumerate()
        .flat_map(|(position, due)| due.renewal.leases.iter().map(move |lease| (position, lease)))
        .collect();
    // What each guard was told: when the oldest question was sent, and whether all is still ours.
    let mut told: Vec<Told> = due.iter().map(|_| Told::default()).collect();
    for batch in leases.chunks(BATCH) {
        let sent = Instant::now();
        let asked: Vec<Lease> = batch.iter().map(|(_, lease)| (*lease).clone()).collect();
        let answer = store.renew(&asked).await;
        for (place, (position, _)) in batch.iter().enumerate() {
            let Some(told) = told.get_mut(*position) else { continue };
            told.sent.get_or_insert(sent);
            match &answer {
                Ok(flags) => told.is_lost |= flags.get(place) == Some(&false),
                Err(_) => told.has_failed = true,
            }
        }
    }
    for (due, told) in due.drain(..).zip(told) {
        lag.record(now.saturating_duration_since(due.at));
        settle(&jobs, due, &told);
    }
}

#[derive(Default)]
struct Told {
    sent: Option<Instant>,
    is_lost: bool,
    has_failed: bool,
}

/// Whether the guard's time is over, so that nothing is to be renewed.
fn is_over(jobs: &Jobs, due: &Due, now: Instant) -> bool {
    let renewal = &due.renewal;
    let loss = if now >= renewal.end {
        Loss::MaxHold
    } else if renewal.term.until().is_some_and(|until| now >= until) {
        Loss::Expired
    } else {
        return false;
    };
    if jobs.remove(due.id) {
        renewal.term.lose(loss);
    }
    true
}

fn settle(jobs: &Jobs, due: Due, told: &Told) {
    let renewal = &due.renewal;
    if told.is_lost {
        // A guard that gave its locks back meanwhile has lost nothing.
        if jobs.remove(due.id) {
            renewal.term.lose(Loss::Taken);
        }
        return;
    }
    match told.sent {
        Some(sent) if !told.has_failed => {
            renewal.term.prolong(sent, renewal.ttl);
            jobs.again(due.id, renewal, sent + renewal.ttl / 3);
        }
        // The backend may come back before the lock runs out.
        _ => jobs.again(due.id, renewal, Instant::now() + renewal.ttl / 10),
    }
}

async fn give_back(store: Store, leftovers: Vec<Leftover>) {
    let all = |doubtful: bool| {
        let leftovers = leftovers.iter().filter(move |leftover| leftover.is_doubtful || !doubtful);
        let keys = leftovers
            .flat_map(|leftover| leftover.keys.iter().map(|key| (key.clone(), leftover.token)));
        keys.collect::<Vec<(LockKey, Uuid)>>()
    };
    let everything = all(false);
    let given_back = async {
        leave(&store, &everything).await;
        let doubtful = all(true);
        if !doubtful.is_empty() {
            sleep(AFTERMATH).await;
            leave(&store, &doubtful).await;
        }
    };
    if timeout(PATIENCE, given_back).await.is_err() {
        warn!(locks = everything.len(), "the locks' backend is away: locks left to their ttl");
    }
    for leftover in leftovers {
        drop(leftover.waits);
    }
}

async fn leave(store: &Store, held: &[(LockKey, Uuid)]) {
    for batch in held.chunks(BATCH) {
        while store.leave(batch).await.is_err() {
            store.available().await;
        }
    }
}
