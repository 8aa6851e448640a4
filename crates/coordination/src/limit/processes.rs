//! How many processes ask limits, so that each knows its share when Redis is away.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use deadpool_redis::redis::Script;
use kernel::chain;
use tokio::task::AbortHandle;
use tokio::time::interval;
use tokio_util::task::TaskTracker;
use tracing::debug;
use uuid::Uuid;

use super::Limit;
use super::shape::microseconds;
use crate::redis::link::Link;
use crate::registry::key::{Kind, physical};

/// How often a process shows that it is alive.
const EVERY: Duration = Duration::from_secs(5);
/// How long a sign of life counts.
const COUNTS: Duration = Duration::from_secs(15);

/// The number last seen; 1 before anything was seen.
pub(super) struct Processes {
    alive: Arc<AtomicU32>,
    beat: OnceLock<AbortHandle>,
}

impl Processes {
    pub(super) fn new() -> Self {
        Self { alive: Arc::new(AtomicU32::new(1)), beat: OnceLock::new() }
    }

    /// Shows this process from its first question on, and counts the others.
    pub(super) fn take_part(&self, link: &Arc<Link>, namespace: &str) {
        self.beat.get_or_init(|| {
            let key = physical(namespace, Kind::Processes, "limiter", &[]);
            let beat = beat(Arc::clone(link), key, Arc::clone(&self.alive));
            // A tracker of its own: it ends with the limiter, so shutdown need not wait for it.
            TaskTracker::new().spawn(beat).abort_handle()
        });
    }

    pub(super) fn alive(&self) -> u32 {
        self.alive.load(Ordering::Relaxed)
    }

    /// This process's part of `limit`. A part smaller than one unit is one unit in a longer window.
    pub(super) fn share(&self, limit: &Limit) -> Limit {
        let alive = self.alive();
        let share = limit.clone().at_most(limit.most / alive);
        match limit.most {
            most if most > 0 && most < alive => {
                share.at_most(1).per(limit.per * alive.div_ceil(most))
            }
            _ => share,
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        if let Some(beat) = self.beat.get() {
            beat.abort();
        }
    }
}

async fn beat(link: Arc<Link>, key: String, alive: Arc<AtomicU32>) {
    let script = Script::new(include_str!("alive.lua"));
    let me = Uuid::new_v4();
    let mut beats = interval(EVERY);
    loop {
        beats.tick().await;
        let mut call = script.prepare_invoke();
        call.key(&key).arg(me.as_bytes()).arg(microseconds(COUNTS));
        match link.invoke::<u32>(&call).await {
            Ok(seen) => alive.store(seen.max(1), Ordering::Relaxed),
            // The last number stands: a process that died meanwhile costs its share for a while.
            Err(away) => debug!(error = %chain(&away), "processes not counted"),
        }
    }
}
