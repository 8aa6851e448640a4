//! Confirmed publishing: `Ok` means that the broker has the message on disk.
//!
//! Invariant: exactly one task publishes on a channel. On a channel that tasks share, a rejected
//! message can be reported as accepted (measured; the test of this crate shows it), so the channel
//! belongs to one actor and callers hand it jobs. The caller's deadline never abandons a confirm:
//! the actor waits for every one it asked for.

mod caller;
mod lanes;
pub(crate) mod session;

use std::sync::Arc;
use std::time::Duration;

use kernel::{Clock, Retryable};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::broker::LinkState;
use crate::outgoing::Outgoing;

/// The messages are not known to be at the broker. They may be: publish them again under the same
/// message id, or tell the caller that it did not work.
#[derive(Debug, Error)]
pub enum PublishError {
    /// There is no connection.
    #[error("broker is not connected")]
    Unavailable,
    /// The broker takes nothing because it is short of memory or disk.
    #[error("broker is blocked by a resource alarm")]
    Blocked,
    /// The broker refused, e.g. because a queue is full.
    #[error("broker refused the message")]
    Refused,
    /// The deadline passed without an answer.
    #[error("broker did not confirm within {0:?}")]
    TimedOut(Duration),
    /// The connection was lost before the answer.
    #[error("connection was lost before the broker confirmed")]
    Interrupted,
    /// The channel failed before the answer.
    #[error("publishing failed")]
    Channel(#[from] lapin::Error),
}

impl Retryable for PublishError {
    /// Always: a message that can be built can be published later.
    fn is_transient(&self) -> bool {
        true
    }
}

/// Publishes with confirmation. Cheap to clone; all clones share one channel and its order.
#[derive(Clone)]
pub struct Publisher {
    jobs: mpsc::Sender<Job>,
    state: watch::Receiver<LinkState>,
    deadline: Duration,
    clock: Arc<dyn Clock>,
}

/// Messages of one call, and who waits for them.
pub(crate) struct Job {
    messages: Vec<Outgoing>,
    reply: oneshot::Sender<Result<(), PublishError>>,
}

impl Publisher {
    pub(crate) fn new(
        jobs: mpsc::Sender<Job>,
        state: watch::Receiver<LinkState>,
        deadline: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { jobs, state, deadline, clock }
    }

    /// Publishes `message` and waits until the broker has it.
    ///
    /// # Errors
    ///
    /// [`PublishError`] when that is not known within the deadline; at once without connection.
    pub async fn publish(&self, message: Outgoing) -> Result<(), PublishError> {
        self.publish_all(vec![message]).await
    }

    /// Publishes `messages` in their order and waits until the broker has all of them. One
    /// deadline is for all: a few thousand messages fit into it.
    ///
    /// # Errors
    ///
    /// As [`Publisher::publish`], when it is not known of one of them; the others may be there.
    pub async fn publish_all(&self, mut messages: Vec<Outgoing>) -> Result<(), PublishError> {
        if messages.is_empty() {
            return Ok(());
        }
        match *self.state.borrow() {
            LinkState::Up => {}
            LinkState::Connecting => return Err(PublishError::Unavailable),
            LinkState::Blocked => return Err(PublishError::Blocked),
        }
        let traceparent = telemetry::trace::current_traceparent();
        let now = u64::try_from(self.clock.now().timestamp()).unwrap_or(0);
        for message in &mut messages {
            message.stamp(now, traceparent.as_deref());
        }
        let (reply, answer) = oneshot::channel();
        let job = Job { messages, reply };
        let confirmed = async {
            if self.jobs.send(job).await.is_err() {
                return Err(PublishError::Unavailable);
            }
            answer.await.unwrap_or(Err(PublishError::Interrupted))
        };
        timeout(self.deadline, confirmed)
            .await
            .unwrap_or(Err(PublishError::TimedOut(self.deadline)))
    }
}
