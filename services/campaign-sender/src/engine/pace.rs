//! How far ahead of its messages a campaign is fed, and how long what was fed will last.

use std::time::Duration;

use tokio::time::Instant;

/// Messages that make the next chunk due come down to this much of the limit: five seconds of it.
const AHEAD_PER_MINUTE: i64 = 12;

/// Open messages at which the next chunk is due, at most: with it, the window is four chunks.
const LOW_AT_MOST: i64 = 1_500;

const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(30);

/// While nothing moves although it could.
const STALLED: Duration = Duration::from_secs(2);

/// What a driver sees of its campaign's pace.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Messages this driver fed.
    fed: i64,
    /// When it looked last, and how many of them had ended.
    last: Option<(Instant, i64)>,
    idle: u32,
}

/// How many open messages are few enough for the next chunk.
pub(super) fn low(per_minute: i64) -> i64 {
    (per_minute / AHEAD_PER_MINUTE).min(LOW_AT_MOST)
}

impl Pace {
    pub(super) fn fed(&mut self, messages: usize) {
        self.fed += i64::try_from(messages).unwrap_or(0);
    }

    /// How long until `open` messages have come down to `low`: as the limit allows, or as it was seen.
    pub(super) fn until(&mut self, open: i64, low: i64, per_minute: i64) -> Duration {
        let (now, ended) = (Instant::now(), self.fed - open);
        let surplus = number(open - low);
        let by_limit = Duration::from_secs(60) * surplus / number(per_minute);
        let moved = self.last.map(|(at, before)| (now - at, ended - before));
        self.last = Some((now, ended));
        let by_sight = match moved {
            Some((elapsed, moved)) if moved > 0 => {
                self.idle = 0;
                // A little early is cheaper than a sender that has nothing.
                let seen = elapsed.saturating_mul(surplus) / number(moved) * 3 / 4;
                // What was seen for a moment only is no pace yet.
                seen.min(elapsed * 4)
            }
            Some(_) | None => {
                self.idle = (self.idle + 1).min(8);
                (SHORTEST * 2u32.pow(self.idle - 1)).min(STALLED)
            }
        };
        by_limit.max(by_sight).clamp(SHORTEST, LONGEST)
    }
}

/// At least one.
fn number(count: i64) -> u32 {
    u32::try_from(count.clamp(1, 1_000_000)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_some_seconds_of_the_limit_and_four_chunks_at_most() {
        assert_eq!(low(100), 8);
        assert_eq!(low(6_000), 500);
        assert_eq!(low(600_000), 1_500);
    }

    #[tokio::test(start_paused = true)]
    async fn a_campaign_on_a_low_limit_is_looked_at_twice_a_minute() {
        let mut pace = Pace::default();
        pace.fed(500);
        assert_eq!(pace.until(500, low(100), 100), LONGEST);
        tokio::time::advance(LONGEST).await;
        assert_eq!(pace.until(450, low(100), 100), LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_slower_than_the_limit_is_waited_for_as_long_as_it_takes() {
        let mut pace = Pace::default();
        pace.fed(1_000);
        pace.until(1_000, 500, 600_000);
        tokio::time::advance(Duration::from_secs(1)).await;
        // 100 a second, 400 too many: three quarters of four seconds.
        assert_eq!(pace.until(900, 500, 600_000), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_move_is_looked_at_less_and_less() {
        let mut pace = Pace::default();
        pace.fed(10);
        let waits: Vec<_> = (0..9).map(|_| pace.until(10, 0, 600_000)).collect();
        assert!(waits.is_sorted() && waits.first() == Some(&SHORTEST));
        assert_eq!(waits.last(), Some(&STALLED));
    }
}
