//! What a held lock means, in words.

use std::time::Duration;

use coordination::registry::LockSpec;
use coordination::{Holder, LockTimes};
use serde::Serialize;

/// A renewal that is later than a third of the ttl by this much has failed.
const GRACE: Duration = Duration::from_secs(2);

/// Whether a holder shows signs of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Life {
    /// It renewed the lock when it was due.
    Alive,
    /// It should have renewed the lock and did not: gone, frozen, or cut off.
    Silent,
    /// Locks of this class are not renewed, so nothing can be told.
    Unknown,
}

impl Life {
    pub(super) fn of(times: &LockTimes, ttl_left: Duration) -> Self {
        if times.max_hold.is_none() {
            return Self::Unknown;
        }
        // Renewed every third of the ttl; tried again every tenth when that fails.
        let due = times.ttl / 3 + times.ttl / 10 + GRACE;
        if renewed_ago(times, ttl_left) <= due { Self::Alive } else { Self::Silent }
    }
}

fn renewed_ago(times: &LockTimes, ttl_left: Duration) -> Duration {
    times.ttl.saturating_sub(ttl_left)
}

pub(super) fn explanation(life: Life, times: &LockTimes, holder: &Holder) -> String {
    let left = time_in_words(holder.ttl_left);
    let ago = time_in_words(renewed_ago(times, holder.ttl_left));
    match life {
        Life::Alive => format!("renewed {ago} ago: its holder is at work"),
        Life::Silent => {
            format!("not renewed for {ago}: its holder is gone or frozen; frees itself in {left}")
        }
        Life::Unknown => format!("frees itself in {left} at the latest"),
    }
}

pub(super) fn if_released(spec: &LockSpec, life: Life, waiters: u64) -> String {
    let next = match waiters {
        0 => "the next who asks gets it",
        _ => "the first waiter gets it",
    };
    let twice = match life {
        Life::Alive | Life::Unknown => "the same work may be done twice meanwhile",
        Life::Silent => "if its holder wakes up, it learns that the lock is lost",
    };
    format!("{next}; {twice}. The data is protected by: {}", spec.protection)
}

/// A time as people say it: `850 ms`, `39 s`, `4 min 12 s`, `2 h 5 min`.
pub fn time_in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    let two = |big: u64, unit: &str, small: u64, rest: &str| match small {
        0 => format!("{big} {unit}"),
        _ => format!("{big} {unit} {small} {rest}"),
    };
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(max_hold: Option<Duration>) -> LockTimes {
        LockTimes { ttl: Duration::from_mins(1), max_hold, wait: Duration::ZERO }
    }

    #[test]
    fn a_holder_that_missed_a_renewal_is_silent_and_one_between_two_is_alive() {
        let renewed = times(Some(Duration::from_hours(1)));
        assert_eq!(Life::of(&renewed, Duration::from_secs(59)), Life::Alive);
        assert_eq!(Life::of(&renewed, Duration::from_secs(39)), Life::Alive);
        assert_eq!(Life::of(&renewed, Duration::from_secs(31)), Life::Silent);
        assert_eq!(Life::of(&times(None), Duration::from_secs(31)), Life::Unknown);
    }

    #[test]
    fn times_are_said_in_two_units_at_most() {
        let said = [0.85, 39.0, 60.0, 252.0, 7_500.0, 90_000.0]
            .map(|s| time_in_words(Duration::from_secs_f64(s)));
        assert_eq!(said, ["850 ms", "39 s", "1 min", "4 min 12 s", "2 h 5 min", "1 d 1 h"]);
    }
}
