//! The one connection to Redis, its time-out and its breaker.
//!
//! Invariants:
//! - callers never dial: they use the live connection or are told at once that there is none;
//! - one call that failed for more than itself takes the connection away from everybody, and only a
//!   probe that wrote something brings a new one, so a frozen Redis costs one time-out.
//!
//! One multiplexed connection is faster than a pool that checks each object it lends (4 to 7 times
//! at 64 tasks): the connection is taken out of the pool once and shared.

use std::time::Duration;

use deadpool_redis::redis::{
    self, Cmd, ErrorKind, FromRedisValue, RedisError, ScriptInvocation, ServerErrorKind,
};
use kernel::{Retryable, chain};
use metrics::{Gauge, describe_gauge, gauge};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::deployment::{Connection, DIAL_TIMEOUT, Deployment, DialError, Dialer};
use super::locks::teach;
use crate::ConnectError;

/// The most a caller waits for an answer: ten times the slowest honest script.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(150);
/// How often a step of an operator's search is repeated at most.
const REPEATS: u32 = 5;
/// How long Redis may take to come back meanwhile.
const RECOVERS: Duration = Duration::from_secs(3);
/// The pause between probes of a Redis that does not answer.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// How often a quiet connection is checked, so that `/readyz` tells the truth without traffic.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// A connection that breaks sooner than this after it came back is flapping.
const STEADY_AFTER: Duration = Duration::from_secs(5);
/// How long a flapping Redis is left alone: doubles from the first to the second.
const HOLD_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// The same for renewals, which come back before a lock runs out; callers are not kept waiting.
const HOLD_OFF_CONTROL: (Duration, Duration) =
    (Duration::from_millis(100), Duration::from_millis(500));

/// Redis did not do what it was asked; whether it will have done it is unknown.
#[derive(Debug, Error)]
pub enum RedisAway {
    /// There is no connection; nothing was sent.
    #[error("Redis is away")]
    NotConnected,
    /// No answer came within 150 ms.
    #[error("Redis did not answer in time")]
    TimedOut(#[from] Elapsed),
    /// The connection broke, or Redis refused.
    #[error("Redis failed a command")]
    Failed(#[from] RedisError),
}

impl Retryable for RedisAway {
    fn is_transient(&self) -> bool {
        true
    }
}

/// The shared connection and the task that keeps it.
pub(crate) struct Link {
    live: watch::Sender<Option<Live>>,
    keeper: AbortHandle,
    is_cluster: bool,
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The callers' questions; its state is the process's.
    Calls,
    /// Renewals and leftover releases.
    Control,
}

#[derive(Clone)]
struct Live {
    /// Tells a failure on an older connection from one on this.
    generation: u64,
    connection: Connection,
}

impl Link {
    /// Tries once to connect, then hands the connection to its keeper.
    pub(crate) async fn open(
        deployment: &Deployment,
        namespace: &str,
        role: Role,
    ) -> Result<Self, ConnectError> {
        let dialer = Dialer::new(deployment)?;
        let is_cluster = dialer.is_cluster();
        let live = watch::Sender::new(None);
        describe_gauge!("switchyard_redis_available", "1 while Redis answers.");
        let keeper = Keeper {
            dialer,
            probe_key: format!("{namespace}:probe"),
            live: live.clone(),
            available: match role {
                Role::Calls => gauge!("switchyard_redis_available"),
                Role::Control => Gauge::noop(),
            },
            hold_off: match role {
                Role::Calls => HOLD_OFF,
                Role::Control => HOLD_OFF_CONTROL,
            },
        };
        let first = keeper.try_dial().await;
        keeper.publish(0, first.clone());
        // A tracker of its own: the keeper ends with the link, so shutdown need not wait for it.
        let keeper = TaskTracker::new().spawn(keeper.run(first)).abort_handle();
        Ok(Self { live, keeper, is_cluster })
    }

    /// Whether a script may only touch keys of one slot.
    pub(crate) const fn is_cluster(&self) -> bool {
        self.is_cluster
    }

    /// A step of an operator's search: one that is late or fails is repeated for a moment, on a new
    /// connection, instead of the whole search.
    pub(crate) async fn patiently<T>(
        &self,
        step: impl AsyncFn() -> Result<T, RedisAway>,
    ) -> Result<T, RedisAway> {
        for _ in 0..REPEATS {
            match step().await {
                Ok(answer) => return Ok(answer),
                Err(away) => debug!(error = %chain(&away), "a step of a search is repeated"),
            }
            if timeout(RECOVERS, self.available()).await.is_err() {
                break;
            }
        }
        step().await
    }

    /// Never connected: where there is no Redis.
    pub(crate) fn absent() -> Self {
        let keeper = TaskTracker::new().spawn(async {}).abort_handle();
        Self { live: watch::Sender::new(None), keeper, is_cluster: false }
    }

    pub(crate) fn is_available(&self) -> bool {
        self.live.borrow().is_some()
    }

    /// Waits until there is a connection.
    pub(crate) async fn available(&self) {
        // The sender lives in `self`: the wait can not fail.
        let _present = self.live.subscribe().wait_for(Option::is_some).await.is_ok();
    }

    /// Runs a script; a Redis that does not know it (restarted, flushed) is taught it on the way.
    pub(crate) async fn invoke<T: FromRedisValue>(
        &self,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, RedisAway> {
        let mut live = self.live()?;
        let taught = async {
            loop {
                match call.invoke_async(&mut live.connection).await {
                    // Flushed again between the lesson and the question.
                    Err(error) if is_unknown_script(&error) => (),
                    answer => return answer,
                }
            }
        };
        let answer = timeout(RESPONSE_TIMEOUT, taught).await;
        self.judge(live.generation, answer)
    }

    /// Runs one plain command.
    pub(crate) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisAway> {
        let mut live = self.live()?;
        let answer = timeout(RESPONSE_TIMEOUT, command.query_async(&mut live.connection)).await;
        self.judge(live.generation, answer)
    }

    fn live(&self) -> Result<Live, RedisAway> {
        self.live.borrow().clone().ok_or(RedisAway::NotConnected)
    }

    fn judge<T>(
        &self,
        generation: u64,
        answer: Result<Result<T, RedisError>, Elapsed>,
    ) -> Result<T, RedisAway> {
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if concerns_only_the_call(&error) => {
                warn!(error = %chain(&error), "Redis refused one command");
                Err(error.into())
            }
            Ok(Err(error)) => Err(self.give_up(generation, error.into())),
            Err(elapsed) => Err(self.give_up(generation, elapsed.into())),
        }
    }

    /// Takes the connection of this generation away from everybody.
    fn give_up(&self, generation: u64, away: RedisAway) -> RedisAway {
        let is_first = self.live.send_if_modified(|now| {
            let is_same = now.as_ref().is_some_and(|now| now.generation == generation);
            if is_same {
                *now = None;
            }
            is_same
        });
        if is_first {
            warn!(error = %chain(&away), "Redis is away: locks and limits degrade");
        }
        away
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Whether other calls may still succeed: a key of a wrong type, say, must not cost everybody Redis.
fn concerns_only_the_call(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Extension
            | ErrorKind::UnexpectedReturnType
            | ErrorKind::Server(
                ServerErrorKind::ResponseError
                    | ServerErrorKind::CrossSlot
                    | ServerErrorKind::ExecAbort
                    | ServerErrorKind::NoPerm
            )
    )
}

struct Keeper {
    dialer: Dialer,
    probe_key: String,
    live: watch::Sender<Option<Live>>,
    available: Gauge,
    hold_off: (Duration, Duration),
}

/// Why a new connection is not good enough.
#[derive(Debug, Error)]
enum ProbeError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("Redis did not take a write in time")]
    TimedOut(#[from] Elapsed),
    #[error("Redis refused a write")]
    Refused(#[from] RedisError),
}

impl Keeper {
    async fn run(self, mut first: Option<Connection>) {
        let mut hold_off = Duration::ZERO;
        for generation in 1.. {
            let connection = match first.take() {
                Some(connection) => connection,
                None => self.dial().await,
            };
            let since = Instant::now();
            self.publish(generation, Some(connection.clone()));
            self.watch_over(connection).await;
            self.publish(generation, None);
            hold_off = if since.elapsed() < STEADY_AFTER {
                (hold_off * 2).clamp(self.hold_off.0, self.hold_off.1)
            } else {
                Duration::ZERO
            };
            sleep(hold_off).await;
        }
    }

    fn publish(&self, generation: u64, connection: Option<Connection>) {
        self.available.set(if connection.is_some() { 1.0 } else { 0.0 });
        self.live.send_replace(connection.map(|connection| Live { generation, connection }));
    }

    /// Dials until a connection answers.
    async fn dial(&self) -> Connection {
        loop {
            if let Some(connection) = self.try_dial().await {
                info!("Redis is back");
                return connection;
            }
            sleep(PROBE_EVERY).await;
        }
    }

    async fn try_dial(&self) -> Option<Connection> {
        match self.dial_once().await {
            Ok(connection) => Some(connection),
            Err(error) => {
                debug!(error = %chain(&error), "Redis can not be reached");
                None
            }
        }
    }

    async fn dial_once(&self) -> Result<Connection, ProbeError> {
        let mut connection = self.dialer.dial().await?;
        self.probe(&mut connection).await?;
        timeout(DIAL_TIMEOUT, teach(&mut connection)).await??;
        Ok(connection)
    }

    /// One write: a replica, a loading or a full Redis answers a ping but can not hold a lock.
    async fn probe(&self, connection: &mut Connection) -> Result<(), ProbeError> {
        let mut write = redis::cmd("SET");
        write.arg(&self.probe_key).arg(1).arg("PX").arg(1_000);
        timeout(RESPONSE_TIMEOUT, write.query_async::<()>(connection)).await??;
        Ok(())
    }

    /// Returns when a caller found the connection broken, or a check did.
    async fn watch_over(&self, mut connection: Connection) {
        let mut live = self.live.subscribe();
        loop {
            let is_broken = timeout(CHECK_EVERY, live.wait_for(Option::is_none)).await.is_ok();
            if is_broken {
                return;
            }
            if let Err(error) = self.probe(&mut connection).await {
                warn!(error = %chain(&error), "Redis is away: locks and limits degrade");
                return;
            }
        }
    }
}
