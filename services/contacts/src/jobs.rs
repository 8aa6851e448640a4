//! Works imports and exports off.
//!
//! The tables are the work. A broker message is a hint to look now; the sweep looks every few seconds,
//! and finds what a dead process has left as soon as its lock (L7, L8) runs out.
//!
//! Invariants: two workers at one run are a waste and no danger, its row decides whose end counts; a
//! run that ends by a failure of ours says so, and one that meets a server which is away waits.

mod janitor;
mod ticks;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coordination::{Fence, LockError, LockName, Locked, Locks, Patience};
use kernel::ids::{ExportId, ImportId, WorkspaceId};
use kernel::{Clock, Retryable, chain};
use messaging::{Broker, Consumer, ConsumerOptions, Family};
use relay::Relay;
use service::Life;
use storage::{Database, StorageError};
use thiserror::Error;
use tokio::sync::Notify;
use tracing::{error, warn};

pub(crate) use self::ticks::Ticks;
use crate::files::{Files, FilesError};
use crate::import::read::FileError;
use crate::{export, import};

/// How often the tables are looked at.
const EVERY: Duration = Duration::from_secs(2);
/// How long a run rests after a server was away.
const REST: Duration = Duration::from_secs(5);
/// Runs of one process at once: each holds a connection and some megabytes.
const MOST: usize = 4;

/// What a run works with.
pub(crate) struct Jobs {
    pub(crate) db: Database,
    pub(crate) files: Files,
    pub(crate) locks: Locks,
    pub(crate) relay: Relay,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) life: Life,
    /// How long the file of an export is kept.
    pub(crate) keep_exports: Duration,
    busy: Mutex<HashSet<Job>>,
    wake: Notify,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Job {
    Import(ImportId, WorkspaceId),
    Export(ExportId, WorkspaceId),
}

/// A run could not go on.
#[derive(Debug, Error)]
pub(crate) enum WorkError {
    /// The database did not answer, or refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The file store did not.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// No lock can be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// What is stored of the run is none.
    #[error("what was asked for cannot be read")]
    Stored(#[from] serde_json::Error),
    /// The copy of the file cannot be read.
    #[error(transparent)]
    Reading(FileError),
    /// The file of an export cannot be written.
    #[error(transparent)]
    Writing(#[from] export::TableError),
}

impl Retryable for WorkError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Storage(error) => error.is_transient(),
            Self::Files(error) => error.is_transient(),
            Self::Lock(error) => error.is_transient(),
            Self::Reading(FileError::Disk(_) | FileError::Stopped) => true,
            Self::Writing(error) => error.is_transient(),
            Self::Stored(_) | Self::Reading(FileError::Unfit { .. }) => false,
        }
    }
}

impl From<diesel::result::Error> for WorkError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Storage(error.into())
    }
}

/// What [`Jobs`] is made of.
pub(crate) struct Parts {
    pub(crate) db: Database,
    pub(crate) files: Files,
    pub(crate) locks: Locks,
    pub(crate) relay: Relay,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) keep_exports: Duration,
}

/// Starts working off what there is.
pub(crate) fn start(life: &Life, broker: &Broker, parts: Parts) {
    let Parts { db, files, locks, relay, clock, keep_exports } = parts;
    let (busy, wake) = (Mutex::default(), Notify::new());
    let life_of_jobs = life.clone();
    let jobs =
        Jobs { db, files, locks, relay, clock, life: life_of_jobs, keep_exports, busy, wake };
    let jobs = Arc::new(jobs);
    let options = ConsumerOptions::new("contacts", Family::Sync.queues());
    let consumer = Consumer::new(broker, options, ticks::Ticked(Arc::clone(&jobs)));
    let stopping = life.stopping();
    life.spawn_vital("import and export ticks", async move {
        consumer.run(stopping).await;
        Ok(())
    });
    life.spawn_vital("import and export sweep", Arc::clone(&jobs).sweep());
    life.spawn_vital("import and export janitor", janitor::run(jobs));
}

impl Jobs {
    /// Looks at the tables, now and then and when somebody says so.
    async fn sweep(self: Arc<Self>) -> anyhow::Result<()> {
        let stop = self.life.stopping();
        while !stop.is_cancelled() {
            match self.open().await {
                Ok(open) => open.into_iter().for_each(|job| self.begin(job)),
                Err(error) => {
                    warn!(error = %chain(&error), "search for imports and exports will be repeated")
                }
            }
            let pause = tokio::time::timeout(EVERY, self.wake.notified());
            let _woken = stop.run_until_cancelled(pause).await;
        }
        Ok(())
    }

    async fn open(&self) -> Result<Vec<Job>, StorageError> {
        let mut conn = self.db.connection().await?;
        let imports = import::store::all_open(&mut conn).await?;
        let exports = export::store::all_open(&mut conn).await?;
        let imports = imports.into_iter().map(|(id, workspace)| Job::Import(id, workspace));
        Ok(imports
            .chain(exports.into_iter().map(|(id, workspace)| Job::Export(id, workspace)))
            .collect())
    }

    /// Begins a run that this process is not at already, if it has a hand free.
    fn begin(self: &Arc<Self>, job: Job) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if busy.len() >= MOST || !busy.insert(job) {
            return;
        }
        drop(busy);
        let jobs = Arc::clone(self);
        self.life.tasks().spawn(async move {
            let _done = Done(&jobs, job);
            let stop = jobs.life.stopping();
            let _ended = stop.run_until_cancelled(Box::pin(jobs.run(job))).await;
        });
    }

    async fn run(&self, job: Job) {
        let Err(error) = Box::pin(self.locked(job)).await else { return };
        if error.is_transient() {
            warn!(error = %chain(&error), job = ?job, "import or export will go on when it can");
            tokio::time::sleep(REST).await;
            return;
        }
        error!(error = %chain(&error), job = ?job, "import or export failed");
        if let Err(error) = self.give_up(job).await {
            warn!(error = %chain(&error), job = ?job, "the failure will be told when it can");
        }
    }

    /// Runs it while nobody else does. A lock that is taken or lost means that somebody else is at it, or
    /// will be.
    async fn locked(&self, job: Job) -> Result<(), WorkError> {
        let name = match job {
            Job::Import(_, workspace) => LockName::ContactImport(workspace),
            Job::Export(_, workspace) => LockName::ContactExport(workspace),
        };
        let work = async |held: coordination::Held| match job {
            Job::Import(id, _) => import::work::run(self, id, held.fence().map(Fence::get)).await,
            Job::Export(id, _) => export::work::run(self, id).await,
        };
        match Box::pin(self.locks.with_held(name, Patience::None, work)).await? {
            Locked::Ran(done) | Locked::Lost(Some(done)) => done,
            Locked::Busy | Locked::Lost(None) => Ok(()),
        }
    }

    async fn give_up(&self, job: Job) -> Result<(), StorageError> {
        let mut conn = self.db.connection().await?;
        match job {
            Job::Import(id, _) => import::store::give_up(&mut conn, id, self.clock.now()).await,
            Job::Export(id, _) => export::store::give_up(&mut conn, id, self.clock.now()).await,
        }
    }
}

/// Takes a run out of what this process is at, however it ended.
struct Done<'a>(&'a Jobs, Job);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}
