//! One run, step by step: wait for the limits, ask for a page, keep it; at the end, merge.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use coordination::Held;
use diesel_async::AsyncConnection;
use kernel::ids::TemplateSyncId;
use kernel::{Clock, Retryable, chain};
use rand::RngExt;
use relay::Relay;
use storage::connections::{self, Connection};
use storage::{Database, StorageError};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use whatsapp::graph::{CallError, TemplatePage};

use super::meters;
use crate::meta::{Meta, NotYet};
use crate::store::runs::{self, Run};
use crate::store::telling::{self, Whose};
use crate::store::{accounts, merge, pages};

/// What is left of the lock's time when a tenure ends: longer than a call takes.
const SPARE: Duration = Duration::from_secs(30);
/// Nobody else needs to look at a run for so long while its worker lives.
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// A run whose lock somebody else has is looked at again after this (F11).
const BUSY: TimeDelta = TimeDelta::seconds(3);
/// A longer wait is not waited for under the lock.
const LONGEST_WAIT: Duration = Duration::from_secs(65);
/// Calls in a row that may fail; with the waits between them they fill the hour of Meta's limit.
const MOST_FAILURES: i32 = 8;
/// How often a list whose cursor expires is begun again.
const MOST_PASSES: i32 = 4;
/// Far more than an account can have (6,000 templates: Meta, message templates, Nov 2025).
const MOST_PAGES: i32 = 5_000;
/// A page of less than this is not made smaller.
const SMALLEST_PAGE: i32 = 1;

/// What a run is worked on with.
pub(super) struct Parts {
    pub(super) db: Database,
    pub(super) meta: Meta,
    pub(super) relay: Relay,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) every: i64,
}

/// Works on runs.
pub(super) struct Steps {
    parts: Parts,
}

/// Why a tenure ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The lock's time is nearly over: take it again.
    Tenure,
    /// The run waits; the sweep finds it when its time has come.
    Resting,
    /// The run is over.
    Over,
}

/// Who has worked on a run last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worked {
    /// This process, which stopped.
    Here,
    /// Perhaps another one.
    Elsewhere,
}

/// What a run needs for its next call.
struct Turn {
    connection: Connection,
    /// Connections that share its account.
    sharing: u32,
}

impl Steps {
    pub(super) const fn new(parts: Parts) -> Self {
        Self { parts }
    }

    /// Nobody here works on the run: lets somebody look at it soon. One that is worked on elsewhere is
    /// not due, and stays as it is.
    pub(super) async fn rest(&self, sync: TemplateSyncId, worked: Worked) {
        let now = self.parts.clock.now();
        let rested = match self.parts.db.connection().await {
            Ok(mut conn) => match worked {
                Worked::Here => runs::rest(&mut conn, sync, now + BUSY, None).await,
                Worked::Elsewhere => runs::look_again(&mut conn, sync, now + BUSY, now).await,
            },
            Err(error) => Err(error),
        };
        if let Err(error) = rested {
            warn!(sync.id = %sync, error = %chain(&error), "run left to the sweep");
        }
    }

    /// Works on a run while the lock is held.
    pub(super) async fn work(
        &self,
        sync: TemplateSyncId,
        held: &Held,
        stop: &CancellationToken,
    ) -> Result<Ended, StorageError> {
        let spare = SPARE.min(held.valid_for() / 2);
        let has_time = |wait: Duration| held.valid_for() > wait.saturating_add(spare);
        loop {
            let mut conn = self.parts.db.connection().await?;
            let Some(run) = runs::read(&mut conn, sync).await? else { return Ok(Ended::Over) };
            let now = self.parts.clock.now();
            if stop.is_cancelled() {
                runs::rest(&mut conn, sync, now, None).await?;
                return Ok(Ended::Resting);
            }
            if !has_time(Duration::ZERO) {
                return Ok(Ended::Tenure);
            }
            if run.is_listed {
                drop(conn);
                self.finish(&run).await?;
                return Ok(Ended::Over);
            }
            runs::rest(&mut conn, sync, now + LEASE, None).await?;
            let connection = connections::find(&mut conn, run.workspace, run.connection).await?;
            let sharing = accounts::sharing(&mut conn, &run.waba).await?;
            drop(conn);
            let Some(connection) = connection else {
                let ended = ("connection_ended", "The connection has ended.");
                self.fail(&run, ended.0, ended.1.to_owned()).await?;
                return Ok(Ended::Over);
            };
            let turn = Turn { connection, sharing };
            match self.admitted(&run, &turn).await {
                Err(NotYet(wait)) => {
                    if let Some(ended) = self.wait(&run, wait, has_time(wait), stop).await? {
                        return Ok(ended);
                    }
                }
                Ok(()) => {
                    if let Some(ended) = self.page(&run, &turn).await? {
                        return Ok(ended);
                    }
                }
            }
        }
    }

    async fn admitted(&self, run: &Run, turn: &Turn) -> Result<(), NotYet> {
        let Turn { connection, sharing } = turn;
        if run.is_new {
            self.parts.meta.admit_first(connection, *sharing, run.id).await
        } else {
            self.parts.meta.admit_call(connection, *sharing).await
        }
    }

    /// Waits for the limits, under the lock when it is not for long.
    async fn wait(
        &self,
        run: &Run,
        wait: Duration,
        has_time: bool,
        stop: &CancellationToken,
    ) -> Result<Option<Ended>, StorageError> {
        let (now, span) = (self.parts.clock.now(), TimeDelta::from_std(wait).unwrap_or(LEASE));
        let mut conn = self.parts.db.connection().await?;
        if wait > LONGEST_WAIT {
            runs::rest(&mut conn, run.id, now + span, Some("rate_limit")).await?;
            return Ok(Some(Ended::Resting));
        }
        runs::rest(&mut conn, run.id, now + span + LEASE, Some("rate_limit")).await?;
        drop(conn);
        if !has_time {
            return Ok(Some(Ended::Tenure));
        }
        let _is_over: Option<()> = stop.run_until_cancelled(tokio::time::sleep(wait)).await;
        Ok(None)
    }

    /// Asks for a page and keeps it.
    async fn page(&self, run: &Run, turn: &Turn) -> Result<Option<Ended>, StorageError> {
        let token = self.parts.meta.token(&turn.connection)?;
        let asked_at = self.parts.clock.now();
        let limit = u32::try_from(run.page_size).unwrap_or(1);
        let graph = &self.parts.meta.graph;
        match graph.template_page(&token, &run.waba, limit, run.after.as_deref()).await {
            Ok(page) => self.keep(run, page, asked_at).await,
            Err(error) => {
                self.parts.meta.learn(&turn.connection, &error).await;
                self.stumble(run, &error).await
            }
        }
    }

    async fn keep(
        &self,
        run: &Run,
        page: TemplatePage,
        asked_at: DateTime<Utc>,
    ) -> Result<Option<Ended>, StorageError> {
        if page.after.is_some() && page.after == run.after || run.pages >= MOST_PAGES {
            let text = "Meta's list does not come to an end. Try again later.".to_owned();
            self.fail(run, "endless_list", text).await?;
            return Ok(Some(Ended::Over));
        }
        let look_at = self.parts.clock.now() + LEASE;
        let mut conn = self.parts.db.connection().await?;
        let is_kept = (*conn)
            .transaction(async |tx| pages::keep(tx, run, page, asked_at, look_at).await)
            .await?;
        if is_kept {
            meters::page();
        }
        Ok(None)
    }

    /// A call failed: what to do follows from why.
    async fn stumble(&self, run: &Run, error: &CallError) -> Result<Option<Ended>, StorageError> {
        let now = self.parts.clock.now();
        if error.is_cursor_expired() && run.pass < MOST_PASSES {
            info!(sync.id = %run.id, pages = run.pages, "cursor expired, sync begins again");
            let mut conn = self.parts.db.connection().await?;
            (*conn).transaction(async |tx| pages::restart(tx, run).await).await?;
            return Ok(None);
        }
        let is_last = run.failures + 1 >= MOST_FAILURES;
        if !error.is_transient() || error.is_cursor_expired() || is_last {
            let (code, text) = explained(error);
            self.fail(run, code, text).await?;
            return Ok(Some(Ended::Over));
        }
        let mut conn = self.parts.db.connection().await?;
        if error.wants_less() && run.page_size > SMALLEST_PAGE {
            let smaller = (run.page_size / 2).max(SMALLEST_PAGE);
            runs::stumble(&mut conn, run, smaller, now + LEASE, None).await?;
            return Ok(None);
        }
        let throttled = error.throttled();
        let wait = pause(run.failures, throttled);
        let waits_for = if throttled.is_some() { "meta_limit" } else { "meta" };
        warn!(sync.id = %run.id, error = %chain(error), wait_s = wait.as_secs(), "page will be asked for again");
        let at = now + TimeDelta::from_std(wait).unwrap_or(LEASE);
        runs::stumble(&mut conn, run, run.page_size, at, Some(waits_for)).await?;
        Ok(Some(Ended::Resting))
    }

    async fn fail(&self, run: &Run, code: &str, text: String) -> Result<(), StorageError> {
        let now = self.parts.clock.now();
        let why = (code.to_owned(), text);
        let mut conn = self.parts.db.connection().await?;
        let has_failed =
            (*conn).transaction(async |tx| runs::fail(tx, run, why, now).await).await?;
        if has_failed {
            meters::ended("failed");
            warn!(sync.id = %run.id, connection.id = %run.connection, reason = code,
                "template sync failed; the templates stay as they were");
        }
        Ok(())
    }

    /// All pages are there.
    async fn finish(&self, run: &Run) -> Result<(), StorageError> {
        let now = self.parts.clock.now();
        let mut conn = self.parts.db.connection().await?;
        let ended = (*conn)
            .transaction(async |tx| {
                let merged = merge::finish(tx, run, self.parts.every, now).await?;
                let Some(merged) = merged else { return Ok(None) };
                let whose =
                    Whose { workspace: run.workspace, waba: &run.waba, connection: run.connection };
                let told = telling::tell(tx, whose, &merged.turns, now).await?;
                Ok::<_, StorageError>(Some((merged, told)))
            })
            .await?;
        drop(conn);
        if let Some((merged, told)) = ended {
            meters::ended("completed");
            let merge::Merged { added, changed, removed, .. } = merged;
            info!(sync.id = %run.id, connection.id = %run.connection, added, changed, removed,
                "templates synced");
            self.parts.relay.publish(told).await;
        }
        Ok(())
    }
}

/// How long to wait before the next try: exponential with jitter; for Meta's hourly limit in minutes.
fn pause(failures: i32, throttled: Option<Option<Duration>>) -> Duration {
    let doublings = u32::try_from(failures).unwrap_or(0).min(6);
    let jitter = rand::rng().random_range(0.75..1.25);
    match throttled {
        Some(Some(asked)) => asked.min(Duration::from_hours(1)) + Duration::from_millis(250),
        Some(None) => Duration::from_secs(30 << doublings).mul_f64(jitter),
        None => Duration::from_secs(1 << doublings).mul_f64(jitter),
    }
}

/// Why a sync failed: for programs and for people.
fn explained(error: &CallError) -> (&'static str, String) {
    let CallError::Refused(refusal) = error else {
        return ("meta_unreachable", "Meta gave no answer that can be read, several times.".into());
    };
    let (code, advice) = (
        refusal.error.code,
        whatsapp::error_class::advice(refusal.error.code, refusal.error.subcode),
    );
    let text = format!("Meta refused the list of templates ({code}): {} {advice}", refusal.text);
    let word = match refusal.error.class {
        whatsapp::ErrorClass::Auth => "auth",
        whatsapp::ErrorClass::SlowConnection => "meta_limit",
        _ => "meta_refused",
    };
    (word, text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_meta_may_ask_for_its_own() {
        assert!(pause(0, None) < Duration::from_secs(2));
        assert!(pause(3, None) >= Duration::from_secs(6));
        assert!(pause(99, None) <= Duration::from_secs(80));
        assert!(pause(4, Some(None)) >= Duration::from_secs(360));
        let asked = Duration::from_secs(2);
        assert!(pause(0, Some(Some(asked))) >= asked);
    }
}
