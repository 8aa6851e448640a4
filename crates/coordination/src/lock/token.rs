//! Tokens that tell owners apart, made without asking the system for each.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::Instant;
use uuid::{Builder, Uuid};

/// Makes a process's tokens: the time in ms as in `UUIDv7`, a counter, and random bytes that the
/// process drew at start. Two tokens are equal only when two processes drew the same 42 bits and
/// count alike in the same millisecond.
pub(crate) struct Tokens {
    /// The process's own, random beyond its time.
    process: Uuid,
    start: Instant,
    last: AtomicU32,
}

impl Tokens {
    pub(crate) fn new(process: Uuid) -> Self {
        Self { process, start: Instant::now(), last: AtomicU32::new(0) }
    }

    pub(crate) fn next(&self) -> Uuid {
        let began_ms = self.process.get_timestamp().map_or(0, |made| {
            let (seconds, nanos) = made.to_unix();
            seconds * 1_000 + u64::from(nanos / 1_000_000)
        });
        let since_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(0);
        let [c0, c1, c2, c3] = self.last.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let [.., r0, r1, r2, r3, r4, r5] = self.process.into_bytes();
        // The variant takes two bits of the third byte: none of the counter's.
        let random = [r0, r1, r2, c0, c1, c2, c3, r3, r4, r5];
        Builder::from_unix_timestamp_millis(began_ms + since_ms, &random).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn tokens_of_several_processes_never_repeat() {
        let processes = [0; 4].map(|_| Tokens::new(Uuid::now_v7()));
        let tokens = processes.iter().flat_map(|tokens| (0..70_000).map(|_| tokens.next()));
        assert_eq!(tokens.collect::<HashSet<_>>().len(), 280_000);
    }

    #[test]
    fn a_token_tells_when_it_was_made() {
        let made = Tokens::new(Uuid::now_v7()).next().get_timestamp().unwrap();
        let now = Uuid::now_v7().get_timestamp().unwrap();
        assert!(now.to_unix().0.abs_diff(made.to_unix().0) <= 1);
    }
}
