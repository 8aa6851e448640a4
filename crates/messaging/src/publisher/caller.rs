//! Who waits for a job.
//!
//! Invariant: a caller hears `Ok` only when every one of its messages was confirmed. It is told when
//! the last of them is let go, however that comes about: a lost session needs no bookkeeping.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;

use super::PublishError;

pub(super) struct Caller {
    reply: Option<oneshot::Sender<Result<(), PublishError>>>,
    unconfirmed: AtomicUsize,
    failure: OnceLock<PublishError>,
}

impl Caller {
    /// One that waits for so many `messages`.
    pub(super) fn new(messages: usize, reply: oneshot::Sender<Result<(), PublishError>>) -> Self {
        let unconfirmed = AtomicUsize::new(messages);
        Self { reply: Some(reply), unconfirmed, failure: OnceLock::new() }
    }

    /// Whether its deadline has passed, so that it was told already.
    pub(super) fn has_left(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// One of its messages is at the broker.
    pub(super) fn confirmed(&self) {
        self.unconfirmed.fetch_sub(1, Ordering::AcqRel);
    }

    /// One of its messages may not be at the broker; the first reason counts.
    pub(super) fn failed(&self, error: PublishError) {
        self.failure.set(error).ok();
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let outcome = match self.failure.take() {
            Some(error) => Err(error),
            None if self.unconfirmed.load(Ordering::Acquire) == 0 => Ok(()),
            None => Err(PublishError::Interrupted),
        };
        if let Some(reply) = self.reply.take() {
            reply.send(outcome).ok();
        }
    }
}
