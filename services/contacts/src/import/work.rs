//! Works an import off: reads its file into a session, then makes contacts of it in one transaction.
//!
//! Invariants:
//! - nothing of a file is visible before all of it is, and then the import says that it is over: both are
//!   in one transaction, which sees that the import is still this worker's;
//! - a worker that dies leaves nothing but an import that is not over: the next one begins again.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::names::event::IMPORT_COMPLETED;
use kernel::chain;
use kernel::ids::ImportId;
use serde_json::Value;
use storage::events;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::warn;

use super::options::Options;
use super::person::Person;
use super::read::{self, FileError, Item, Reject, Understood};
use super::staging::{Merged, Staging};
use super::store::{self, Changes, Import, Status};
use crate::announce;
use crate::jobs::{Jobs, WorkError};

/// People in one statement.
const BATCH: usize = 5_000;
/// Batches that wait for the database: what memory holds.
const WAITING: usize = 2;
/// Rejects that are kept one by one; the others are counted.
const MOST_REJECTS: i64 = 100_000;
/// How often it is told how far an import is.
const TELL: Duration = Duration::from_millis(500);
/// An import that was begun so often and never ended takes its process with it: it is given up.
const MOST_ATTEMPTS: i32 = 20;

/// What a reader gives to the database at once.
#[derive(Default)]
struct Batch {
    understood: Option<Understood>,
    people: Vec<Person>,
    rejects: Vec<Reject>,
}

/// Why an import ends without effect.
struct Failed {
    code: String,
    detail: String,
}

/// Works import `id` off, under a lock whose number is `fence`.
pub(crate) async fn run(jobs: &Jobs, id: ImportId, fence: Option<i64>) -> Result<(), WorkError> {
    let mut conn = jobs.db.connection().await?;
    let Some(import) = store::begin(&mut conn, id, fence, jobs.clock.now()).await? else {
        return Ok(());
    };
    drop(conn);
    let options: Options = serde_json::from_value(import.options.clone())?;
    if import.attempts > MOST_ATTEMPTS {
        let detail =
            format!("given up after {MOST_ATTEMPTS} attempts; is a process killed for its memory?");
        return fail(jobs, None, &import, Failed { code: "given_up".into(), detail }).await;
    }
    let Some(file) = jobs.files.fetch(&super::path(id)).await? else {
        let detail =
            "the uploaded file is gone; do all processes see the same files.folder?".to_owned();
        return fail(jobs, None, &import, Failed { code: "file_missing".into(), detail }).await;
    };
    let mut work =
        Work { jobs, import, staging: Staging::open(&jobs.db).await?, counts: Counts::default() };
    match work.read(file, &options).await? {
        Read::All => work.end(&options).await,
        Read::Stopped => Ok(()),
        Read::Unfit(failed) => fail(jobs, Some(&mut work.staging), &work.import, failed).await,
    }
}

struct Work<'a> {
    jobs: &'a Jobs,
    import: Import,
    staging: Staging,
    counts: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    accepted: i64,
    rejected: i64,
}

/// How reading ended.
enum Read {
    All,
    /// The import was cancelled, or is somebody else's.
    Stopped,
    Unfit(Failed),
}

impl Work<'_> {
    /// Reads the file into the session, on a thread of its own.
    async fn read(&mut self, file: File, options: &Options) -> Result<Read, WorkError> {
        let (sender, mut batches) = mpsc::channel(WAITING);
        let (bytes, options) = (Arc::new(AtomicU64::new(0)), options.clone());
        let counter = Arc::clone(&bytes);
        let reader = self.jobs.life.tasks().spawn_blocking(move || {
            let mut batches = Batches { sender, batch: Batch::default() };
            read::read(file, &options, counter, &mut |item| batches.take(item))?;
            batches.send()
        });
        let mut told = Instant::now();
        while let Some(Batch { understood, people, mut rejects }) = batches.recv().await {
            self.counts.accepted += count(people.len());
            let room = usize::try_from(MOST_REJECTS - self.counts.rejected).unwrap_or(0);
            self.counts.rejected += count(rejects.len());
            rejects.truncate(room);
            self.staging.add(people, rejects).await?;
            if understood.is_none() && told.elapsed() < TELL {
                continue;
            }
            told = Instant::now();
            let understood = understood.map(serde_json::to_value).transpose()?;
            if !self.tell(understood, bytes.load(Ordering::Relaxed)).await? {
                return Ok(Read::Stopped);
            }
        }
        match reader.await {
            Ok(Ok(())) => Ok(Read::All),
            Ok(Err(FileError::Unfit { code, detail })) => {
                Ok(Read::Unfit(Failed { code: code.to_owned(), detail }))
            }
            Ok(Err(error)) => Err(WorkError::Reading(error)),
            Err(_) => {
                let detail =
                    "the file cannot be read: our reader broke down over it; save it as CSV"
                        .to_owned();
                Ok(Read::Unfit(Failed { code: "unreadable".to_owned(), detail }))
            }
        }
    }

    /// Tells how far it is; `false` when nobody wants the import any more.
    async fn tell(&self, understood: Option<Value>, read: u64) -> Result<bool, WorkError> {
        let changes = Changes {
            understood,
            read_bytes: Some(i64::try_from(read).unwrap_or(i64::MAX).min(self.import.file_bytes)),
            accepted: Some(self.counts.accepted),
            rejected: Some(self.counts.rejected),
            ..Changes::default()
        };
        let mut conn = self.jobs.db.connection().await?;
        Ok(store::change(&mut conn, &self.import, &changes).await?)
    }

    /// Makes contacts of what was read.
    async fn end(mut self, options: &Options) -> Result<(), WorkError> {
        if self.counts.accepted == 0 {
            let detail = match self.counts.rejected {
                0 => "the file has a header and nobody below it".to_owned(),
                rejected => format!("none of the {rejected} records can be used; see the rejects"),
            };
            let failed = Failed { code: "nobody".to_owned(), detail };
            return fail(self.jobs, Some(&mut self.staging), &self.import, failed).await;
        }
        let people = self.staging.fold().await?;
        let writing = Changes {
            status: Some(Status::Writing.as_str()),
            read_bytes: Some(self.import.file_bytes),
            accepted: Some(self.counts.accepted),
            rejected: Some(self.counts.rejected),
            duplicates: Some(self.counts.accepted - people),
            ..Changes::default()
        };
        let mut conn = self.jobs.db.connection().await?;
        if !store::change(&mut conn, &self.import, &writing).await? {
            return Ok(());
        }
        drop(conn);
        self.write(options).await
    }

    /// Takes effect, or counts what it would be.
    async fn write(mut self, options: &Options) -> Result<(), WorkError> {
        let Self { jobs, import, staging, .. } = &mut self;
        let (workspace, now) = (import.workspace(), jobs.clock.now());
        let counted = match options.dry_run {
            true => Some(staging.would_merge(workspace, options).await?),
            false => None,
        };
        staging.begin().await?;
        let merged = match counted {
            Some(merged) => merged,
            None => staging.merge(workspace, options, now).await?,
        };
        end(jobs, staging, import, completed(merged, now), now).await
    }
}

/// Ends an import in the transaction of its effect, which has begun, if it is still this worker's; else
/// the effect is taken back. The transaction of a session that is dropped is, too.
async fn end(
    jobs: &Jobs,
    staging: &mut Staging,
    import: &Import,
    changes: Changes,
    now: DateTime<Utc>,
) -> Result<(), WorkError> {
    if !store::change(staging.session(), import, &changes).await? {
        return Ok(());
    }
    staging.keep_rejects(import.id()).await?;
    let how = (changes.status.unwrap_or_default(), changes.error_code.as_deref());
    let whose = (import.workspace(), import.id().as_uuid());
    let event = announce::ended(IMPORT_COMPLETED, whose, how, now);
    events::append(staging.session(), std::slice::from_ref(&event), now).await?;
    staging.commit().await?;
    jobs.relay.publish(vec![event]).await;
    // The janitor finds what cannot be removed now.
    if let Err(error) = jobs.files.remove(&super::path(import.id())).await {
        warn!(error = %chain(&error), "an uploaded file will be removed later");
    }
    Ok(())
}

/// Ends an import without effect, and says why.
async fn fail(
    jobs: &Jobs,
    staging: Option<&mut Staging>,
    import: &Import,
    failed: Failed,
) -> Result<(), WorkError> {
    let mut opened;
    let staging = match staging {
        Some(staging) => staging,
        None => {
            opened = Staging::open(&jobs.db).await?;
            &mut opened
        }
    };
    let now = jobs.clock.now();
    let changes = Changes {
        status: Some(Status::Failed.as_str()),
        error_code: Some(failed.code),
        error: Some(failed.detail),
        ended_at: Some(now),
        ..Changes::default()
    };
    staging.begin().await?;
    end(jobs, staging, import, changes, now).await
}

fn completed(merged: Merged, now: DateTime<Utc>) -> Changes {
    Changes {
        status: Some(Status::Completed.as_str()),
        created: Some(merged.created),
        updated: Some(merged.updated),
        unchanged: Some(merged.unchanged),
        ended_at: Some(now),
        ..Changes::default()
    }
}

/// Collects what is read, and hands it over.
struct Batches {
    sender: mpsc::Sender<Batch>,
    batch: Batch,
}

impl Batches {
    fn take(&mut self, item: Item) -> Result<(), FileError> {
        match item {
            Item::Understood(understood) => {
                self.batch.understood = Some(understood);
                return self.send();
            }
            Item::Person(person) => self.batch.people.push(*person),
            Item::Reject(reject) => self.batch.rejects.push(reject),
        }
        let is_full = self.batch.people.len() + self.batch.rejects.len() >= BATCH;
        if is_full { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), FileError> {
        self.sender.blocking_send(std::mem::take(&mut self.batch)).or(Err(FileError::Stopped))
    }
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
