//! Meta's own throughput and pair limits, so that a sender's limiter has something to run into.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Limits the simulator enforces; refused calls are answered 130429 or 131056.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Messages a phone number may move in any 1 s, inbound and outbound together.
    /// 80 by default (Meta, "Throughput", 21 November 2025).
    pub messages_per_second: usize,
    /// Milliseconds one message to the same person costs: 6,000 (Meta, "About the platform",
    /// 5 December 2025).
    pub pair_interval_ms: u64,
    /// Messages to the same person that may be sent ahead on credit: 45 (same page).
    pub pair_burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { messages_per_second: 80, pair_interval_ms: 6_000, pair_burst: 45 }
    }
}

/// Remembers what was let through.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    recent: HashMap<String, VecDeque<Instant>>,
    /// When each pair's credit is whole again.
    pairs: HashMap<(String, String), Instant>,
}

impl Limiter {
    /// Counts an inbound message against the number's throughput; it is never refused.
    pub(crate) fn count_inbound(&mut self, number: &str) {
        self.window(number, Instant::now()).push_back(Instant::now());
    }

    /// Lets a send pass, or gives the code of the limit in its way. A refused send costs nothing.
    pub(crate) fn admit(&mut self, limits: &Limits, number: &str, person: &str) -> Result<(), i64> {
        let now = Instant::now();
        if self.window(number, now).len() >= limits.messages_per_second {
            return Err(130_429);
        }
        let interval = Duration::from_millis(limits.pair_interval_ms);
        let credit = interval.saturating_mul(limits.pair_burst.saturating_sub(1));
        let whole = self.pairs.entry((number.to_owned(), person.to_owned())).or_insert(now);
        if whole.saturating_duration_since(now) > credit {
            return Err(131_056);
        }
        *whole = (*whole).max(now).checked_add(interval).unwrap_or(now);
        self.window(number, now).push_back(now);
        Ok(())
    }

    /// The number's messages of the last second.
    fn window(&mut self, number: &str, now: Instant) -> &mut VecDeque<Instant> {
        let window = self.recent.entry(number.to_owned()).or_default();
        while window.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(1)) {
            window.pop_front();
        }
        window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eighty_first_message_of_a_second_is_refused() {
        let (mut limiter, limits) = (Limiter::default(), Limits::default());
        limiter.count_inbound("1");
        for person in 0..79 {
            assert_eq!(limiter.admit(&limits, "1", &person.to_string()), Ok(()));
        }
        assert_eq!(limiter.admit(&limits, "1", "next"), Err(130_429));
        assert_eq!(limiter.admit(&limits, "2", "next"), Ok(()), "another number has its own");
    }

    #[test]
    fn a_person_takes_a_burst_and_then_one_per_interval() {
        let (mut limiter, limits) = (Limiter::default(), Limits::default());
        for _ in 0..45 {
            assert_eq!(limiter.admit(&limits, "1", "a"), Ok(()));
        }
        assert_eq!(limiter.admit(&limits, "1", "a"), Err(131_056));
        assert_eq!(limiter.admit(&limits, "1", "b"), Ok(()));
    }
}
