//! Advances campaigns: scheduled → preparing → running → completed.
//!
//! A tick names a campaign to look at. Whoever takes it becomes the campaign's *driver*: it holds L5,
//! freezes, feeds and waits, and ends when there is nothing to do for long; then the sweep finds the
//! campaign when its time has come. While it drives, `next_look_at` says when it will have looked again;
//! when that has passed it is silent, and another one takes its place, without L5 while that lasts.
//!
//! Invariants:
//! - two drivers of one campaign are a waste and no danger: each step locks rows and looks again;
//! - a tick is acknowledged when a driver is at the campaign, here or in another process, or the sweep will
//!   find the campaign within seconds;
//! - nothing is fed for a campaign that is not running, in quiet hours, or after its end.

mod advance;
mod consumer;
mod drivers;
mod ending;
mod expiry;
mod feeding;
mod freezing;
mod meters;
mod pace;
mod recount;
mod sweep;
mod tick;

use std::sync::Arc;

use coordination::{Limiter, Locks};
use kernel::{Clock, Retryable};
use messaging::{Broker, Consumer, ConsumerOptions, Family};
use relay::Relay;
use sending::{ContentError, Sender};
use service::Life;
use storage::{Database, StorageError};
use thiserror::Error;

use self::advance::Engine;
use self::consumer::Ticked;
use self::drivers::Drivers;
pub(crate) use self::tick::Ticks;

/// What the engine works with.
pub(crate) struct Parts {
    pub(crate) db: Database,
    pub(crate) locks: Locks,
    pub(crate) limiter: Limiter,
    pub(crate) sender: Sender,
    pub(crate) relay: Relay,
    pub(crate) clock: Arc<dyn Clock>,
    /// R1 for connections without their own, per minute.
    pub(crate) api_per_minute: u32,
}

/// A campaign could not be advanced.
#[derive(Debug, Error)]
pub(crate) enum EngineError {
    /// The database did not answer, or refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The stored audience or template is none.
    #[error("a campaign's audience or template cannot be read")]
    Stored(#[from] serde_json::Error),
    /// A message cannot be written down.
    #[error(transparent)]
    Content(#[from] ContentError),
}

impl Retryable for EngineError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Storage(error) => error.is_transient(),
            Self::Stored(_) | Self::Content(_) => false,
        }
    }
}

impl From<diesel::result::Error> for EngineError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Storage(error.into())
    }
}

pub(crate) fn start(life: &Life, broker: &Broker, parts: Parts) {
    let (db, clock, locks) = (parts.db.clone(), Arc::clone(&parts.clock), parts.locks.clone());
    let engine = Engine::new(parts, life.stopping());
    let drivers = Drivers::new(engine, locks, life.tasks().clone());
    let consumer = Consumer::new(
        broker,
        ConsumerOptions::new("campaigns", Family::Campaigns.queues()),
        Ticked::new(drivers.clone()),
    );
    let stopping = life.stopping();
    life.spawn_vital("campaign ticks", async move {
        consumer.run(stopping).await;
        Ok(())
    });
    let expiry = expiry::run(db.clone(), Arc::clone(&clock), life.stopping());
    life.spawn_vital("campaign expiry", expiry);
    let sweep = sweep::run(drivers, db.clone(), clock, life.stopping());
    life.spawn_vital("campaign sweep", sweep);
    life.spawn_vital("campaign recount", recount::run(db, life.stopping()));
}
