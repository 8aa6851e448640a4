//! A process on the way of statuses says that it lives, and when it failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kernel::{Clock, chain};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;
use uuid::Uuid;

use crate::{Database, StorageError, status_pipeline};

/// How often; well below the silence after which a process counts as dead.
const EVERY: Duration = Duration::from_secs(1);

/// A process that has been silent for so long stood still, and others may have taken it for dead: what it had
/// in hand may be late now that it goes on.
const STOOD_STILL: Duration = Duration::from_secs(3);

/// The pulse of one process; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    has_failed: Arc<AtomicBool>,
}

impl Pulse {
    /// Starts beating as `part/<random>`. A start counts as a failure: nobody knows what was missed
    /// before it. A stop leaves no trace.
    pub fn start(
        part: &str,
        db: Database,
        clock: Arc<dyn Clock>,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let this = Self { has_failed: Arc::new(AtomicBool::new(true)) };
        let name = format!("{part}/{}", Uuid::new_v4().simple());
        tasks.spawn(this.clone().run(name, db, clock, stop));
        this
    }

    /// A status may have been sent away or set aside just now.
    pub fn failed(&self) {
        self.has_failed.store(true, Ordering::Relaxed);
    }

    async fn run(self, name: String, db: Database, clock: Arc<dyn Clock>, stop: CancellationToken) {
        let mut last = Instant::now();
        loop {
            let stood_still = last.elapsed() > STOOD_STILL;
            last = Instant::now();
            let has_failed = self.has_failed.swap(false, Ordering::Relaxed) || stood_still;
            if let Err(error) = beat(&db, &name, clock.as_ref(), has_failed).await {
                debug!(error = %chain(&error), "pulse not recorded");
                if has_failed {
                    self.failed();
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
                break;
            }
        }
        if let Err(error) = leave(&db, &name).await {
            debug!(error = %chain(&error), "pulse will be taken for dead");
        }
    }
}

async fn beat(
    db: &Database,
    name: &str,
    clock: &dyn Clock,
    has_failed: bool,
) -> Result<(), StorageError> {
    let mut conn = db.connection().await?;
    let now = clock.now();
    status_pipeline::beat(&mut conn, name, now, has_failed.then_some(now)).await
}

async fn leave(db: &Database, name: &str) -> Result<(), StorageError> {
    let mut conn = db.connection().await?;
    status_pipeline::leave(&mut conn, name).await
}
