//! One driver's work: look where the campaign stands, do what is next, wait.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use coordination::LockClass;
use kernel::ids::CampaignId;
use kernel::{Retryable, chain};
use storage::campaigns::standing::Status;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::drivers::AtWork;
use super::feeding::Feeding;
use super::pace::{self, Pace};
use super::{EngineError, Parts};
use crate::store::feeding;
use crate::store::work::{self, Work};

/// A driver gives L5 back after so long: the registry renews it for an hour at most.
const TENURE: Duration = Duration::from_secs(30 * 60);

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
    /// How long the sweep leaves a campaign alone whose driver was seen: as long as L5 outlives it.
    seen: TimeDelta,
}

impl Engine {
    pub(super) fn new(parts: Parts, stop: CancellationToken) -> Self {
        let ttl = parts.locks.times(LockClass::CampaignSend).ttl;
        let seen = TimeDelta::from_std(ttl).unwrap_or(TimeDelta::seconds(60));
        Self { parts, stop, seen }
    }

    /// Advances a campaign until there is nothing to do for long.
    pub(super) async fn drive(&self, campaign: CampaignId, at_work: &AtWork) -> Ended {
        let began = Instant::now();
        let mut pace = Pace::default();
        while !self.stop.is_cancelled() {
            if began.elapsed() > TENURE {
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

    /// Sees to it that the sweep finds the campaign soon if the driver that has L5 dies; `false` when the
    /// database cannot be told.
    pub(super) async fn will_be_seen(&self, campaign: CampaignId) -> bool {
        let by = self.parts.clock.now() + self.seen;
        let told = match self.parts.db.connection().await {
            Ok(mut conn) => work::rest_no_longer(&mut conn, campaign, by).await,
            Err(away) => Err(away),
        };
        if let Err(away) = &told {
            warn!(campaign.id = %campaign, error = %chain(away), "campaign waits for the database");
        }
        told.is_ok()
    }

    async fn step(&self, campaign: CampaignId, pace: &mut Pace) -> Result<Next, EngineError> {
        let now = self.parts.clock.now();
        let work = {
            let mut conn = self.parts.db.connection().await?;
            let Some(work) = work::read(&mut conn, campaign).await? else { return Ok(Next::Rest) };
            let is_at_work = matches!(work.status, Status::Preparing | Status::Running);
            if is_at_work && work.next_look_at.is_none_or(|at| at < now + self.seen / 2) {
                work::rest(&mut conn, campaign, now + self.seen, None).await?;
            }
            work
        };
        match work.status {
            Status::Scheduled => match work.due_at {
                Some(due) if due > now => self.rest(&work, due, "schedule", now).await,
                Some(_) | None => self.begin(&work, now).await,
            },
            Status::Preparing => self.freeze(&work, now).await,
            Status::Running => self.run(&work, pace, now).await,
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
        let default = i64::from(self.parts.api_per_minute);
        let per_minute = work.per_minute.map_or(default, i64::from).max(1);
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
