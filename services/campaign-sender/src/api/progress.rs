//! How far a campaign is, how fast it goes, and when it will be done.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::Serialize;
use storage::campaigns::Numbers;

use super::shown_time;
use crate::store::pace::Ended;

/// Full minutes that a speed is taken from.
const MINUTES: i64 = 5;
/// A measured speed of at least so many hundredths of the limit is the limit's doing.
const NEAR_THE_LIMIT: f64 = 0.85;

/// The last full minutes before a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
}

/// How fast a campaign went, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Pace {
    /// Messages tried per minute; `None` until it has run for a full minute.
    pub(super) per_minute: Option<f64>,
}

/// What a progress bar needs.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Progress {
    done: i64,
    total: i64,
    rate_per_minute: Option<f64>,
    /// When the last one will have been tried, if nothing changes.
    eta: Option<String>,
    eta_basis: Option<Basis>,
}

/// What an estimate goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Basis {
    /// The connection's limit.
    Limit,
    /// The speed of the last minutes.
    Speed,
}

impl Window {
    pub(super) fn before(now: DateTime<Utc>) -> Self {
        let until = now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(now);
        Self { since: until - TimeDelta::minutes(MINUTES), until, now }
    }

    /// The minutes to look at, the one that is not full yet included.
    pub(super) fn span(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        (self.since, self.now + TimeDelta::minutes(1))
    }

    /// Messages that have been ready since before this should have been taken.
    pub(super) fn patience(&self) -> DateTime<Utc> {
        self.now - TimeDelta::minutes(1)
    }

    /// The speed over the full minutes since the campaign first did something in the window.
    pub(super) fn pace(&self, ended: Option<&Ended>) -> Pace {
        let full = ended.and_then(|ended| {
            let minutes = (self.until - ended.first_minute).num_minutes();
            (minutes > 0).then_some((ended.in_full_minutes(self.until), minutes))
        });
        Pace { per_minute: full.map(|(n, minutes)| rounded(float(n) / float(minutes))) }
    }

    /// Whether anything ended in this minute or the one before.
    pub(super) fn is_moving(&self, ended: Option<&Ended>) -> bool {
        ended.is_some_and(|ended| ended.last_minute >= self.until - TimeDelta::minutes(1))
    }
}

impl Progress {
    /// For a campaign that does not run: how far it came.
    pub(super) fn at_rest(numbers: &Numbers) -> Self {
        let (done, total) = (numbers.ended(), numbers.total);
        Self { done, total, rate_per_minute: None, eta: None, eta_basis: None }
    }

    /// For one that runs on a connection with `limit` messages per minute.
    pub(super) fn running(numbers: &Numbers, pace: Pace, limit: u32, now: DateTime<Utc>) -> Self {
        let open = numbers.pending() + numbers.in_flight;
        let (per_minute, basis) = expected(pace, limit);
        let seconds = (float(open) * 60.0 / per_minute.max(0.001)).ceil();
        let eta = std::time::Duration::try_from_secs_f64(seconds)
            .ok()
            .and_then(|left| TimeDelta::from_std(left).ok())
            .and_then(|left| now.checked_add_signed(left));
        Self {
            rate_per_minute: pace.per_minute,
            eta: eta.map(shown_time),
            eta_basis: Some(basis),
            ..Self::at_rest(numbers)
        }
    }
}

/// Whether the limit is what holds a campaign of this speed.
pub(super) fn is_near_the_limit(pace: Pace, limit: u32) -> bool {
    pace.per_minute.is_some_and(|pace| pace >= f64::from(limit) * NEAR_THE_LIMIT)
}

fn expected(pace: Pace, limit: u32) -> (f64, Basis) {
    match pace.per_minute {
        Some(pace) if pace > 0.0 && pace < f64::from(limit) * NEAR_THE_LIMIT => {
            (pace, Basis::Speed)
        }
        // One that stands still is not expected to stand still for ever.
        Some(_) | None => (f64::from(limit.max(1)), Basis::Limit),
    }
}

/// Counts of people and minutes fit.
fn float(n: i64) -> f64 {
    f64::from(i32::try_from(n).unwrap_or(i32::MAX))
}

fn rounded(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn open(pending: i64) -> Numbers {
        Numbers { total: pending, ..Numbers::default() }
    }

    #[test]
    fn the_speed_is_that_of_full_minutes() {
        let window = Window::before(at("2026-11-25T10:05:30Z"));
        assert_eq!(window.pace(None).per_minute, None);
        let ended = |first: &str, last: &str, n, in_last| Ended {
            first_minute: at(first),
            last_minute: at(last),
            n,
            in_last_minute: in_last,
        };
        let begun = ended("2026-11-25T10:05:00Z", "2026-11-25T10:05:00Z", 50, 50);
        assert_eq!(window.pace(Some(&begun)).per_minute, None, "no minute is full");
        let busy = ended("2026-11-25T10:03:00Z", "2026-11-25T10:05:00Z", 250, 50);
        assert_eq!(window.pace(Some(&busy)).per_minute, Some(100.0));
        assert!(window.is_moving(Some(&busy)));
        let stopped = ended("2026-11-25T10:00:00Z", "2026-11-25T10:01:00Z", 250, 50);
        assert_eq!(window.pace(Some(&stopped)).per_minute, Some(50.0));
        assert!(!window.is_moving(Some(&stopped)));
    }

    #[test]
    fn an_estimate_says_what_it_goes_by() {
        let now = at("2026-11-25T10:00:00Z");
        let by = |per_minute| {
            let progress = Progress::running(&open(600), Pace { per_minute }, 100, now);
            (progress.eta.unwrap(), progress.eta_basis.unwrap())
        };
        assert_eq!(by(None), ("2026-11-25T10:06:00.000Z".into(), Basis::Limit));
        assert_eq!(by(Some(97.0)), ("2026-11-25T10:06:00.000Z".into(), Basis::Limit));
        assert_eq!(by(Some(50.0)), ("2026-11-25T10:12:00.000Z".into(), Basis::Speed));
        assert_eq!(by(Some(0.0)).1, Basis::Limit);
    }
}
