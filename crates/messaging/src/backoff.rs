//! Pauses between attempts: doubling, bounded, and jittered so that processes do not march in step.

use std::time::Duration;

/// A growing pause.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    last: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts at `first` and doubles up to `last`.
    pub(crate) fn new(first: Duration, last: Duration) -> Self {
        Self { first, last, next: first }
    }

    /// For connections and channels: a broker that is back is noticed within a second.
    pub(crate) fn reconnect() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(1))
    }

    /// For a dependency that is away while deliveries are held.
    pub(crate) fn hold() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(5))
    }

    /// The next pause, between half of the step and all of it.
    pub(crate) fn pause(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.last);
        step.mul_f64(rand::random_range(0.5..=1.0))
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_its_bound_and_starts_again_after_a_success() {
        let mut backoff = Backoff::reconnect();
        let pauses: Vec<Duration> = (0..8).map(|_| backoff.pause()).collect();
        assert!(pauses[0] >= Duration::from_millis(25) && pauses[0] <= Duration::from_millis(50));
        assert!(pauses[7] >= Duration::from_millis(500) && pauses[7] <= Duration::from_secs(1));
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(50));
    }
}
