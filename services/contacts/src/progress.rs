//! How far an import or an export is.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use service::values::Time;

/// What a progress bar needs.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Progress {
    done: i64,
    total: i64,
    rate_per_minute: Option<f64>,
    /// When all of it will be done, at the speed so far; while it is not.
    eta: Option<Time>,
    eta_basis: Option<&'static str>,
}

impl Progress {
    /// `took` is the time since it began; `now` is given while it is not over.
    pub(crate) fn new(
        (done, total): (i64, i64),
        took: Option<TimeDelta>,
        now: Option<DateTime<Utc>>,
    ) -> Self {
        let took = took.and_then(|took| took.to_std().ok()).filter(|took| !took.is_zero());
        let rate_per_minute = took.filter(|_| done > 0).map(|took| {
            let per_minute = float(done) / took.as_secs_f64() * 60.0;
            (per_minute * 10.0).round() / 10.0
        });
        let left =
            rate_per_minute.filter(|rate| *rate > 0.0).map(|rate| float(total - done) / rate);
        let eta = now.zip(left).and_then(|(now, minutes)| {
            let left = std::time::Duration::try_from_secs_f64(minutes * 60.0).ok()?;
            now.checked_add_signed(TimeDelta::from_std(left).ok()?)
        });
        let eta_basis = eta.map(|_| "speed");
        Self { done, total, rate_per_minute, eta: eta.map(Time), eta_basis }
    }
}

/// Close enough for a rate.
fn float(count: i64) -> f64 {
    i32::try_from(count / 1_000).map_or(f64::from(i32::MAX), f64::from) * 1_000.0
        + i32::try_from(count % 1_000).map_or(0.0, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_takes_as_long_as_what_is_done_did() {
        let now: DateTime<Utc> = "2026-11-30T10:00:00Z".parse().unwrap();
        let progress = Progress::new((1_000, 3_000), Some(TimeDelta::minutes(1)), Some(now));
        assert_eq!(progress.rate_per_minute, Some(1_000.0));
        assert_eq!(progress.eta.map(|eta| eta.0), Some(now + TimeDelta::minutes(2)));
        let over = Progress::new((3_000, 3_000), Some(TimeDelta::minutes(3)), None);
        assert!(over.rate_per_minute == Some(1_000.0) && over.eta.is_none());
        let begun = Progress::new((0, 3_000), Some(TimeDelta::zero()), Some(now));
        assert!(begun.rate_per_minute.is_none() && begun.eta.is_none());
    }
}
