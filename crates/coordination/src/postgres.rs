//! Locks and limits in PostgreSQL: where there is no Redis, and for classes that go on without it.
//!
//! Invariants:
//! - every time is the database's; a client's clock decides nothing that is shared;
//! - no connection is held while somebody waits;
//! - statements that touch several rows take them in the keys' byte order, so none deadlock;
//! - a statement is answered or given up within a second, a connection within three; a database
//!   that does not answer is left alone for a moment, so that its callers are refused at once.

pub(crate) mod limits;
pub(crate) mod listener;
pub(crate) mod locks;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error as QueryError};
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::{Object, Pool, PoolError};
use kernel::{Retryable, chain};
use thiserror::Error;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

/// The connections that coordination uses, and nothing else: a few suffice, as none waits.
pub type PgPool = Pool<AsyncPgConnection>;

/// The most a caller waits for an answer: a commit that has to wait for its disk, and no more.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The most that getting a connection takes, mostly from the pool; with TLS and SCRAM where not.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a database that does not answer is left alone: doubles from the first to the second.
const HOLD_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// PostgreSQL did not do what it was asked; whether it will have done it is unknown.
#[derive(Debug, Error)]
pub enum PostgresAway {
    /// It did not answer a moment ago; nothing was sent.
    #[error("PostgreSQL is away")]
    LeftAlone,
    /// No answer came within a second.
    #[error("PostgreSQL did not answer in time")]
    TimedOut(#[from] Elapsed),
    /// No connection could be had.
    #[error("no connection to PostgreSQL")]
    NoConnection(#[from] PoolError),
    /// The connection broke, or PostgreSQL refused.
    #[error("PostgreSQL failed a statement")]
    Failed(#[from] QueryError),
}

impl Retryable for PostgresAway {
    fn is_transient(&self) -> bool {
        true
    }
}

/// The pool and its breaker.
pub(crate) struct Postgres {
    pool: PgPool,
    breaker: Mutex<Breaker>,
}

#[derive(Default)]
struct Breaker {
    /// Nobody is let through before this, and then one caller at a time.
    closed_until: Option<Instant>,
    hold_off: Duration,
}

impl Postgres {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool, breaker: Mutex::default() }
    }

    /// Whether the last call was answered.
    pub(crate) fn is_available(&self) -> bool {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner).closed_until.is_none()
    }

    /// Runs `work` on a connection of the pool.
    ///
    /// # Errors
    ///
    /// [`PostgresAway`]; what `work` sent may have taken effect.
    pub(crate) async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut AsyncPgConnection) -> Result<T, QueryError>,
    ) -> Result<T, PostgresAway> {
        self.ask_leave()?;
        let answer = self.run_once(work).await;
        match &answer {
            Err(PostgresAway::Failed(error)) if !is_lost_connection(error) => {
                warn!(error = %chain(error), "PostgreSQL refused a statement of the coordination");
                self.answered();
            }
            Err(away) => self.did_not_answer(away),
            Ok(_) => self.answered(),
        }
        answer
    }

    async fn run_once<T>(
        &self,
        work: impl AsyncFnOnce(&mut AsyncPgConnection) -> Result<T, QueryError>,
    ) -> Result<T, PostgresAway> {
        let mut conn = timeout(DIAL_TIMEOUT, self.pool.get()).await??;
        match timeout(RESPONSE_TIMEOUT, work(&mut conn)).await {
            Ok(answer) => Ok(answer?),
            Err(elapsed) => {
                // Whoever had it next would wait for the answer that is missing here.
                drop(Object::take(conn));
                Err(elapsed.into())
            }
        }
    }

    /// Returns when a caller may be let through.
    pub(crate) async fn available(&self) {
        let until = self.breaker.lock().unwrap_or_else(PoisonError::into_inner).closed_until;
        if let Some(until) = until {
            sleep_until(until).await;
        }
    }

    /// A connection of one's own, out of the pool.
    pub(crate) async fn dial(&self) -> Result<AsyncPgConnection, PostgresAway> {
        Ok(Object::take(timeout(DIAL_TIMEOUT, self.pool.get()).await??))
    }

    fn ask_leave(&self) -> Result<(), PostgresAway> {
        let now = Instant::now();
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        match breaker.closed_until {
            Some(until) if now < until => Err(PostgresAway::LeftAlone),
            // This caller tries; the others are refused until it knows.
            Some(_) => {
                breaker.closed_until = Some(now + DIAL_TIMEOUT + RESPONSE_TIMEOUT);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn answered(&self) {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        if breaker.closed_until.is_some() {
            info!("PostgreSQL is back for the coordination");
            *breaker = Breaker::default();
        }
    }

    fn did_not_answer(&self, away: &PostgresAway) {
        // What else is in the pool is likely broken, too.
        let _dropped = self.pool.retain(|_, _| false);
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        if breaker.closed_until.is_none() {
            warn!(error = %chain(away), "PostgreSQL is away for the coordination");
        }
        breaker.hold_off = (breaker.hold_off * 2).clamp(HOLD_OFF.0, HOLD_OFF.1);
        breaker.closed_until = Some(Instant::now() + breaker.hold_off);
    }
}

fn is_lost_connection(error: &QueryError) -> bool {
    matches!(
        error,
        QueryError::DatabaseError(
            DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand,
            _
        ) | QueryError::BrokenTransactionManager
    )
}

/// A time for a bind, in microseconds.
pub(crate) fn microseconds(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// A time from an answer in microseconds; none is negative.
pub(crate) fn duration(us: i64) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap_or(0))
}
