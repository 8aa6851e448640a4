//! Which backend grants the locks of a class that goes on in PostgreSQL while Redis is away.
//!
//! Invariants (model-checked in `tests/model/switch.rs`):
//! - a process takes or renews only upon a reading of the class's row that it asked for less than
//!   [`CONFIRMED`] ago, by its own monotonic clock;
//! - a flip is dated after its commit, and the new backend grants only when, by the database's
//!   clock, every reading of the old row has run out and with it every lock renewed upon one;
//! - a flip compares the epoch, so two processes never flip twice what they saw once.

mod locks;
mod rows;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kernel::chain;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{debug, warn};

pub(crate) use self::locks::{Placed, SwitchedLocks};
use self::rows::Row;
use crate::postgres::{Postgres, PostgresAway};
use crate::redis::link::Link;
use crate::registry::{LockClass, WhenAway};

/// How long a reading of the row may be acted upon.
const CONFIRMED: Duration = Duration::from_secs(5);
/// How often it is read.
const READ_EVERY: Duration = Duration::from_secs(1);
/// How long Redis must have been away: a switch costs the class its ttl, a restart mostly less.
const AWAY_FOR: Duration = Duration::from_secs(3);

/// Where locks of a class are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Backend {
    Redis,
    Postgres,
}

/// What this process knows of the rows; shared by everything that takes or renews.
#[derive(Default)]
pub(crate) struct Switch(Mutex<HashMap<LockClass, Reading>>);

#[derive(Clone, Copy)]
struct Reading {
    backend: Backend,
    epoch: i64,
    /// How long ago the last flip was dated, when the row was read; `None`: not dated yet.
    since: Option<Duration>,
    asked: Instant,
}

impl Switch {
    /// Where a lock of `class` with this `ttl` may be taken or renewed now; `None`: nowhere, until
    /// a switch is over or the row could be read again.
    pub(crate) fn backend(&self, class: LockClass, ttl: Duration) -> Option<Backend> {
        let reading = self.locked().get(&class).copied()?;
        let is_confirmed = reading.asked.elapsed() < CONFIRMED;
        let is_over = reading.epoch == 0 || reading.since.is_some_and(|age| age >= wait(ttl));
        (is_confirmed && is_over).then_some(reading.backend)
    }

    fn note(&self, rows: Vec<Row>, asked: Instant) {
        let mut readings = self.locked();
        // A class without a row was never switched.
        for class in switched() {
            let row = rows.iter().find(|row| row.class == class.spec().label);
            let reading = row
                .map_or(Reading { backend: Backend::Redis, epoch: 0, since: None, asked }, |row| {
                    Reading { backend: row.backend, epoch: row.epoch, since: row.since, asked }
                });
            readings.insert(class, reading);
        }
    }

    /// The classes that are on `backend`, each with the epoch that was read.
    fn on(&self, backend: Backend) -> Vec<(LockClass, i64)> {
        let readings = self.locked();
        let on = readings.iter().filter(|(_, reading)| reading.backend == backend);
        on.map(|(class, reading)| (*class, reading.epoch)).collect()
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<LockClass, Reading>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The classes that have a row.
fn switched() -> impl Iterator<Item = LockClass> {
    let is_switched = |class: &LockClass| class.spec().when_away == WhenAway::Postgres;
    LockClass::ALL.into_iter().filter(is_switched)
}

/// How old a flip must be before its backend grants locks of this ttl: readings run out, then locks
/// that were renewed upon them; and clocks may differ by 2 %.
fn wait(ttl: Duration) -> Duration {
    let longest = CONFIRMED + ttl;
    longest + longest / 50 + Duration::from_millis(100)
}

/// Reads the rows and switches them, for as long as it is polled.
pub(crate) struct Watch {
    pub(crate) switch: Arc<Switch>,
    pub(crate) postgres: Arc<Postgres>,
    /// Whether this answers decides where this process wants the locks.
    pub(crate) redis: Arc<Link>,
    /// How long Redis must have answered everybody before locks go back there.
    pub(crate) back_after: Duration,
}

impl Watch {
    pub(crate) async fn run(self) {
        let mut ticks = interval(READ_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changed = Instant::now();
        let mut was_available = self.redis.is_available();
        loop {
            ticks.tick().await;
            let is_available = self.redis.is_available();
            if is_available != was_available {
                (changed, was_available) = (Instant::now(), is_available);
            }
            if let Err(away) = self.look(is_available, changed.elapsed()).await {
                debug!(error = %chain(&away), "the rows of the backends can not be read");
            }
        }
    }

    async fn look(&self, is_available: bool, lasted: Duration) -> Result<(), PostgresAway> {
        let asked = Instant::now();
        let rows = self.postgres.run(rows::read).await?;
        let has_undated = rows.iter().any(|row| row.since.is_none());
        self.switch.note(rows, asked);
        if has_undated {
            self.postgres.run(rows::date).await?;
        }
        if is_available && lasted >= self.back_after {
            let classes = self.switch.on(Backend::Postgres);
            self.flip(classes, Backend::Redis).await
        } else if !is_available && lasted >= AWAY_FOR {
            self.postgres.run(rows::note_away).await?;
            let classes = self.switch.on(Backend::Redis);
            self.flip(classes, Backend::Postgres).await
        } else {
            Ok(())
        }
    }

    async fn flip(&self, seen: Vec<(LockClass, i64)>, to: Backend) -> Result<(), PostgresAway> {
        if seen.is_empty() {
            return Ok(());
        }
        let (classes, epochs) =
            seen.into_iter().map(|(class, epoch)| (class.spec().label.to_owned(), epoch)).unzip();
        let quiet = self.back_after;
        let flipped = self
            .postgres
            .run(async move |conn| rows::flip(conn, classes, epochs, to, quiet).await)
            .await?;
        for class in flipped {
            warn!(lock.class = class, backend = ?to, "locks move to another backend");
        }
        Ok(())
    }
}
