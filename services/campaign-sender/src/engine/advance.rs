//! One driver's work: look where the campaign stands, do what is next, wait.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use kernel::ids::CampaignId;
use kernel::{Retryable, chain};
use storage::StorageError;
use storage::campaigns::standing::Status;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::drivers::AtWork;
use super::feeding::Feeding;
use super::pace::{self, Pace};
use super::{EngineError, Parts};
use crate::limit;
use crate::store::feeding;
use crate::store::work::{self, Work};

/// A driver gives L5 back after so long: the registry renews it for an hour at most.
pub(super) const TENURE: Duration = Duration::from_secs(30 * 60);

/// A driver looks again this long after it said it would, at the latest, or it counts as silent.
const GRACE: TimeDelta = TimeDelta::seconds(3);

/// A driver that has nothing to do for longer than this ends.
const PATIENCE: TimeDelta = TimeDelta::seconds(30);

/// How long a campaign is left alone that cannot be advanced.
const BROKEN: TimeDelta = TimeDelta::seconds(60);

/// Why a driver ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// There is nothing to do for long.
    Resting,
    /// It held its lock long enough.
    Tenure,
    /// The process stops.
    Stopping,
}

/// What a driver does after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// There is more.
    Again,
    /// Nothing until then, or until somebody wakes it.
    Wait(Duration),
    /// Nothing for long.
    Rest,
}

/// Advances campaigns.
pub(super) struct Engine {
    pub(super) parts: Parts,
    stop: CancellationToken,
}

impl Engine {
    pub(super) fn new(parts: Parts, stop: CancellationToken) -> Self {
        Self { parts, stop }
    }

    /// Advances a campaign until there is nothing to do for long, or `tenure` is over.
    pub(super) async fn drive(
        &self,
        campaign: CampaignId,
        at_work: &AtWork,
        tenure: Duration,
    ) -> Ended {
        let began = Instant::now();
        let mut pace = Pace::default();
        while !self.stop.is_cancelled() {
            if began.elapsed() > tenure {
                return Ended::Tenure;
            }
            at_work.looks();
            let next = match self.step(campaign, &mut pace).await {
                Ok(next) => next,
                Err(error) => self.after_failure(campaign, &error).await,
            };
            let wait = match next {
                Next::Again => continue,
                Next::Rest => return Ended::Resting,
                Next::Wait(wait) => wait,
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => (),
                () = at_work.woken() => (),
                () = self.stop.cancelled() => (),
            }
        }
        Ended::Stopping
    }

    /// Whether the driver that has L5 fell silent: it did not look again when it had said it would. Of
    /// several that ask, one is told so, and takes its place: nothing that a driver does needs L5. Whoever
    /// is not told so sees to it that the sweep asks again soon.
    ///
    /// # Errors
    ///
    /// When the database cannot be asked.
    pub(super) async fn takes_over(&self, campaign: CampaignId) -> Result<bool, StorageError> {
        let now = self.parts.clock.now();
        let mut conn = self.parts.db.connection().await?;
        if work::take_over(&mut conn, campaign, now - GRACE, now + GRACE).await? {
            return Ok(true);
        }
        work::rest_no_longer(&mut conn, campaign, now + GRACE).await?;
        Ok(false)
    }

    /// Writes down when this driver will have looked again, unless nearly that is written already.
    async fn promise(
        &self,
        work: &Work,
        written: Option<DateTime<Utc>>,
        look_at: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StorageError> {
        if written.is_some_and(|at| (GRACE / 2..=GRACE * 2).contains(&(at - look_at))) {
            return Ok(written);
        }
        let by = look_at + GRACE;
        let mut conn = self.parts.db.connection().await?;
        work::rest(&mut conn, work.id, by, None).await?;
        Ok(Some(by))
    }

    async fn step(&self, campaign: CampaignId, pace: &mut Pace) -> Result<Next, EngineError> {
        let now = self.parts.clock.now();
        let work = {
            let mut conn = self.parts.db.connection().await?;
            let Some(work) = work::read(&mut conn, campaign).await? else { return Ok(Next::Rest) };
            work
        };
        match work.status {
            Status::Scheduled => match work.due_at {
                Some(due) if due > now => self.rest(&work, due, "schedule", now).await,
                Some(_) | None => self.begin(&work, now).await,
            },
            Status::Preparing => {
                self.promise(&work, work.next_look_at, now).await?;
                self.freeze(&work, now).await
            }
            Status::Running => {
                let written = self.promise(&work, work.next_look_at, now).await?;
                let next = self.run(&work, pace, now).await?;
                if let Next::Wait(wait) = next {
                    let wait = TimeDelta::from_std(wait).unwrap_or(PATIENCE);
                    self.promise(&work, written, self.parts.clock.now() + wait).await?;
                }
                Ok(next)
            }
            Status::Draft
            | Status::Paused
            | Status::Completed
            | Status::CompletedWithIssues
            | Status::Cancelled
            | Status::Failed => Ok(Next::Rest),
        }
    }

    /// Feeds while the window has room, and finds out when everybody had a turn.
    async fn run(
        &self,
        work: &Work,
        pace: &mut Pace,
        now: DateTime<Utc>,
    ) -> Result<Next, EngineError> {
        let limit = limit::of(work.connection, work.per_minute, self.parts.api_per_minute);
        let per_minute = i64::from(self.parts.limiter.in_force(&limit).most()).max(1);
        if work.ends_at.is_some_and(|end| end <= now) {
            self.expire(work, now).await?;
        } else if work.open > pace::low(per_minute) {
            let wait = pace.until(work.open, pace::low(per_minute), per_minute);
            let end = work.ends_at.and_then(|end| (end - now).to_std().ok());
            return Ok(Next::Wait(end.map_or(wait, |end| wait.min(end))));
        } else {
            match self.feed(work, now).await? {
                Feeding::Fed(messages) => {
                    pace.fed(messages);
                    return Ok(Next::Again);
                }
                Feeding::NotRunning => return Ok(Next::Again),
                Feeding::NoChunk => (),
            }
        }
        let opens = {
            let mut conn = self.parts.db.connection().await?;
            feeding::opens(&mut conn, work, now).await?
        };
        match opens {
            Some((at, is_quiet)) => {
                let at = work.ends_at.map_or(at, |end| at.min(end));
                self.rest(work, at, if is_quiet { "quiet_hours" } else { "local_time" }, now).await
            }
            None if work.open == 0 && self.complete(work, now).await? => Ok(Next::Rest),
            None => Ok(Next::Wait(pace.until(work.open, 0, per_minute))),
        }
    }

    /// Waits until `at`: here when that is soon, else by ending and leaving it to the sweep.
    async fn rest(
        &self,
        work: &Work,
        at: DateTime<Utc>,
        waits_for: &'static str,
        now: DateTime<Utc>,
    ) -> Result<Next, EngineError> {
        if at - now <= PATIENCE {
            // Another worker has the chunk when its time is now: no hurry.
            let wait = (at - now).to_std().unwrap_or_default();
            return Ok(Next::Wait(wait.max(Duration::from_millis(100))));
        }
        let mut conn = self.parts.db.connection().await?;
        work::rest(&mut conn, work.id, at, Some(waits_for)).await?;
        Ok(Next::Rest)
    }

    async fn after_failure(&self, campaign: CampaignId, error: &EngineError) -> Next {
        if error.is_transient() {
            warn!(campaign.id = %campaign, error = %chain(error), "campaign waits for the database");
            return Next::Wait(Duration::from_secs(1));
        }
        error!(campaign.id = %campaign, error = %chain(error), "campaign cannot be advanced");
        let until = self.parts.clock.now() + BROKEN;
        let rested = match self.parts.db.connection().await {
            Ok(mut conn) => work::rest(&mut conn, campaign, until, Some("repair")).await,
            Err(away) => Err(away),
        };
        if let Err(away) = rested {
            warn!(campaign.id = %campaign, error = %chain(&away), "campaign waits for the database");
        }
        Next::Rest
    }
}
