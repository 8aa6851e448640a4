//! What a service writes to consume queues.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contracts::Undecodable;
use contracts::names::header;
use kernel::Retryable;
use thiserror::Error;
use uuid::Uuid;

pub use self::delivery::Delivery;
use crate::topology::Queue;

mod delivery;
pub(crate) use self::delivery::Envelope;

/// Turns batches of messages into committed effects.
pub trait BatchHandler: Send + Sync + 'static {
    /// What the queues carry.
    type Message: Payload;

    /// Applies `batch`, which is in the order of arrival and never empty: one [`Verdict`] for each
    /// delivery, in the same order. Returns only after the effects are committed.
    ///
    /// `Err` means that nothing of the batch took effect (the transaction rolled back): the
    /// deliveries come again, in this batch or one by one, until it is known which one is at fault.
    fn handle(
        &self,
        batch: Vec<Delivery<Self::Message>>,
    ) -> impl Future<Output = Result<Vec<Verdict>, Fault>> + Send;
}

/// What becomes of one delivery.
#[derive(Debug)]
pub enum Verdict {
    /// Its effects are committed, now or by an earlier delivery.
    Done,
    /// It can not be handled yet (a lock is busy, a limit is reached): it comes back, and this does
    /// not count as a failure.
    Park {
        /// At least this long, as far as the wait ladder reaches (one hour).
        wait: Duration,
    },
    /// It failed and comes back after the next step of the ladder; after the last one it is dead.
    Retry(Fault),
    /// It can not be handled: kept for a person.
    Dead(Fault),
}

/// Why a delivery failed.
#[derive(Debug, Error)]
pub enum Fault {
    /// The same delivery may succeed later.
    #[error("delivery failed, will be retried")]
    Transient(#[source] Box<dyn Error + Send + Sync>),
    /// The same delivery will fail again.
    #[error("delivery failed for good")]
    Permanent(#[source] Box<dyn Error + Send + Sync>),
}

impl<E: Retryable + Send + Sync + 'static> From<E> for Fault {
    fn from(error: E) -> Self {
        if error.is_transient() {
            Self::Transient(error.into())
        } else {
            Self::Permanent(error.into())
        }
    }
}

impl Fault {
    /// The handler panicked. Nothing says that it would not panic again.
    pub(crate) fn panicked() -> Self {
        Self::Permanent("the handler panicked".into())
    }

    pub(crate) fn miscounted(verdicts: usize, deliveries: usize) -> Self {
        Self::Permanent(format!("{verdicts} verdicts for {deliveries} deliveries").into())
    }
}

/// A message body that a consumer can read: any [`contracts::Message`], or [`Raw`].
pub trait Payload: Sized + Send + 'static {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// [`Undecodable`] when it is something else: the delivery becomes a dead letter.
    fn read(body: &Bytes) -> Result<Self, Undecodable>;
}

impl<M: contracts::Message> Payload for M {
    fn read(body: &Bytes) -> Result<Self, Undecodable> {
        contracts::Message::read(body.clone())
    }
}

/// A body as it came, for consumers that keep or show messages of any type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw(pub Bytes);

impl Payload for Raw {
    fn read(body: &Bytes) -> Result<Self, Undecodable> {
        Ok(Self(body.clone()))
    }
}
