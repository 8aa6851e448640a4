//! Connections that must rest: nothing of theirs is claimed meanwhile.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kernel::ids::ConnectionId;
use tokio::time::Instant;

/// Which connections rest, and until when.
#[derive(Default)]
pub(crate) struct Rests {
    until: Mutex<HashMap<ConnectionId, Instant>>,
}

impl Rests {
    /// Lets a connection rest; a longer rest stays.
    pub(crate) fn add(&self, connection: ConnectionId, rest: Duration) {
        let until = Instant::now() + rest;
        let mut all = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = all.entry(connection).or_insert(until);
        *entry = (*entry).max(until);
    }

    /// How long a connection still rests.
    pub(crate) fn left(&self, connection: ConnectionId) -> Option<Duration> {
        let now = Instant::now();
        let mut all = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let until = all.get(&connection).copied()?;
        if until <= now {
            all.remove(&connection);
            return None;
        }
        Some(until - now)
    }
}
