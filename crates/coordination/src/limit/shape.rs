//! A limit in numbers: how it is kept, and up to where.
//!
//! Up to [`EXACT_MOST`] units a limit is an exact log of admissions. Above, it is strict GCRA: with a
//! burst of b units, the others are spread over the window at (L - b)/W, so that no window holds more
//! than L. A slot may be used [`SLOT_VALID`] after its time and a block within [`BLOCK_VALID`]: the
//! window is that much longer, so the promise holds for the uses, too.

use std::time::Duration;

use super::{Lane, Limit};
use crate::registry::Algorithm;

/// The largest limit that is kept as a log.
pub(super) const EXACT_MOST: u32 = 1_000;
/// How long after its time a slot may be used.
pub(super) const SLOT_VALID: Duration = Duration::from_millis(250);
/// How long a block may be used.
pub(super) const BLOCK_VALID: Duration = Duration::from_secs(1);
/// How far ahead slots are reserved at most; a tenth of the window if that is less.
const HORIZON: Duration = Duration::from_millis(500);
/// A process takes at most a hundredth of the limit, and at most this, at a time.
const LARGEST_BLOCK: u32 = 256;
/// Campaigns get at most their part of each twelfth of an exact limit's window, reminders two.
const PARTS: u32 = 12;

/// Whether slots of the future are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ahead {
    /// Only what may be used at once.
    Now,
    /// Bulk's slots up to the horizon as well.
    Horizon,
}

/// The numbers of a limit; see `window.lua`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Units of the window, or of a paced limit's burst, that this lane may use.
    pub(super) ceiling: u32,
    /// The same of the highest lane.
    pub(super) top: u32,
    /// The window, longer by what a slot or block may be late.
    pub(super) window: Duration,
    /// How far ahead slots may be taken.
    pub(super) horizon: Duration,
    /// Units of a twelfth of the window at most; 0: any number.
    pub(super) part: u32,
    /// The time that one unit of a paced limit costs; rounded up, which only makes it stricter.
    pub(super) interval: Option<Duration>,
}

impl Shape {
    pub(super) fn of(limit: &Limit, ahead: Ahead) -> Self {
        let spec = limit.policy().spec();
        let late = match spec.algorithm {
            Algorithm::Lanes => SLOT_VALID,
            Algorithm::Sliding if spec.is_leased && largest_block(limit.most) > 1 => BLOCK_VALID,
            Algorithm::Sliding => Duration::ZERO,
        };
        let window = limit.per.saturating_add(late);
        match (spec.algorithm, limit.most > EXACT_MOST) {
            (Algorithm::Sliding, false) => Self::log(limit, window),
            (Algorithm::Sliding, true) => Self::pace(limit, window),
            (Algorithm::Lanes, false) => Self::log_in_lanes(limit, window),
            (Algorithm::Lanes, true) => Self::pace_in_lanes(limit, window, ahead),
        }
    }

    const fn log(limit: &Limit, window: Duration) -> Self {
        let (ceiling, top) = (limit.most, limit.most);
        Self { ceiling, top, window, horizon: Duration::ZERO, part: 0, interval: None }
    }

    fn log_in_lanes(limit: &Limit, window: Duration) -> Self {
        let left = u64::from(limit.most) * u64::from(limit.lane.leaves()) / 100;
        let ceiling = limit.most.saturating_sub(u32::try_from(left).unwrap_or(limit.most));
        let part = match limit.lane {
            Lane::Agent | Lane::Chatbot => 0,
            Lane::Reminder => ceiling.div_ceil(PARTS).saturating_mul(2),
            Lane::Campaign => ceiling.div_ceil(PARTS),
        };
        Self { ceiling, part, ..Self::log(limit, window) }
    }

    fn pace(limit: &Limit, window: Duration) -> Self {
        let burst = limit.most / 10;
        let interval = Some(interval(window, limit.most - burst));
        Self { ceiling: burst, top: burst, interval, ..Self::log(limit, window) }
    }

    fn pace_in_lanes(limit: &Limit, window: Duration, ahead: Ahead) -> Self {
        let horizon = HORIZON.min(limit.per / 10);
        // All that may be taken before its time counts as burst.
        let early = u128::from(limit.most) * horizon.as_micros();
        let early = early.div_ceil(limit.per.as_micros().max(1));
        let top = Lane::Agent.burst();
        let burst = u32::try_from(early).unwrap_or(u32::MAX).saturating_add(top);
        let interval = Some(interval(window, limit.most.saturating_sub(burst)));
        // Slots of the future are bulk's; the lanes above it pass them by.
        let is_ahead = ahead == Ahead::Horizon || !limit.lane.is_bulk();
        let horizon = if is_ahead { horizon } else { Duration::ZERO };
        let ceiling = limit.lane.burst();
        Self { ceiling, top, horizon, interval, ..Self::log(limit, window) }
    }

    /// Units that may pass at once.
    pub(super) fn burst(&self) -> u32 {
        let ahead = self.interval.map_or(0, |each| {
            u32::try_from(self.horizon.as_micros() / each.as_micros().max(1)).unwrap_or(u32::MAX)
        });
        self.ceiling.saturating_add(ahead)
    }
}

/// The largest block of a leased limit of `most` units.
pub(super) fn largest_block(most: u32) -> u32 {
    (most / 100).clamp(1, LARGEST_BLOCK)
}

fn interval(window: Duration, units: u32) -> Duration {
    Duration::from_micros(microseconds(window).div_ceil(u64::from(units.max(1))).max(1))
}

pub(super) fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
