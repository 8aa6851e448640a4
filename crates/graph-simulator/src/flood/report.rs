//! Counts what became of a flood.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// How a flood was taken. Latencies are in microseconds and cover answered POSTs of any status.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FloodReport {
    /// POSTs made.
    pub posts: u64,
    /// Messages in POSTs that were answered 200.
    pub events: u64,
    /// POSTs answered 200.
    pub acknowledged: u64,
    /// POSTs answered otherwise, by HTTP status.
    pub refused: BTreeMap<u16, u64>,
    /// POSTs without an answer.
    pub unreachable: u64,
    /// How long it took, in seconds.
    pub elapsed_s: f64,
    /// POSTs answered 200 per second.
    pub acknowledged_per_second: f64,
    /// Half of the answers took at most this long.
    pub p50_us: u64,
    /// 90 % of the answers took at most this long.
    pub p90_us: u64,
    /// 99 % of the answers took at most this long.
    pub p99_us: u64,
    /// The slowest answer.
    pub max_us: u64,
}

/// What one connection saw.
#[derive(Debug, Default)]
pub(super) struct Tally {
    latencies_us: Vec<u32>,
    acknowledged: u32,
    refused: BTreeMap<u16, u64>,
    unreachable: u64,
}

impl Tally {
    pub(super) fn answered(&mut self, status: u16, latency: Duration) {
        self.latencies_us.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
        match status {
            200 => self.acknowledged += 1,
            status => *self.refused.entry(status).or_default() += 1,
        }
    }

    pub(super) const fn unreachable(&mut self) {
        self.unreachable += 1;
    }

    pub(super) fn add(&mut self, other: Self) {
        self.latencies_us.extend(other.latencies_us);
        self.acknowledged += other.acknowledged;
        self.unreachable += other.unreachable;
        for (status, count) in other.refused {
            *self.refused.entry(status).or_default() += count;
        }
    }

    pub(super) fn report(mut self, events_per_post: u64, elapsed: Duration) -> FloodReport {
        self.latencies_us.sort_unstable();
        let answered = u64::try_from(self.latencies_us.len()).unwrap_or(u64::MAX);
        FloodReport {
            posts: answered + self.unreachable,
            events: u64::from(self.acknowledged) * events_per_post,
            acknowledged: u64::from(self.acknowledged),
            elapsed_s: elapsed.as_secs_f64(),
            acknowledged_per_second: f64::from(self.acknowledged) / elapsed.as_secs_f64(),
            p50_us: quantile(&self.latencies_us, 50),
            p90_us: quantile(&self.latencies_us, 90),
            p99_us: quantile(&self.latencies_us, 99),
            max_us: quantile(&self.latencies_us, 100),
            refused: self.refused,
            unreachable: self.unreachable,
        }
    }
}

/// The smallest value that `percent` of the sorted values do not exceed; 0 if there are none.
fn quantile(sorted: &[u32], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().map_or(0, u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_ranks() {
        let sorted: Vec<u32> = (1..=200).collect();
        assert_eq!(quantile(&sorted, 50), 100);
        assert_eq!(quantile(&sorted, 99), 198);
        assert_eq!(quantile(&sorted, 100), 200);
        assert_eq!(quantile(&[7], 50), 7);
        assert_eq!(quantile(&[], 50), 0);
    }
}
