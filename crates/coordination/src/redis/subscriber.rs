//! The one connection of a process on which it is told of locks that were handed to it.
//!
//! Invariant: whatever may have been missed is made up for by asking again: everybody who waits is
//! woken once whenever the connection is new.

use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::redis::RedisError;
use deadpool_redis::redis::aio::PubSub;
use futures_util::StreamExt as _;
use kernel::chain;
use thiserror::Error;
use tokio::time::error::Elapsed;
use tokio::time::{interval, sleep, timeout};
use tracing::debug;
use uuid::Uuid;

use super::deployment::{DIAL_TIMEOUT, DialError, Dialer};
use crate::lock::fence::Fence;
use crate::lock::waiters::{Waiters, Wake};
use crate::registry::key::LockKey;

/// The pause before a lost connection is made again.
const AGAIN: Duration = Duration::from_millis(100);
/// How often a quiet connection is checked, and how long the answer may take.
const CHECK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Error)]
enum SubscriberError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("Redis does not take a subscription")]
    Failed(#[from] RedisError),
    #[error("Redis does not answer the subscriber in time")]
    TimedOut(#[from] Elapsed),
    #[error("the subscriber's connection ended")]
    Ended,
}

/// Listens on `channel` for as long as it is polled; a lock for somebody who does not wait any more
/// goes to `give_back`.
pub(crate) async fn run(
    dialer: Dialer,
    channel: String,
    waiters: Arc<Waiters>,
    give_back: impl Fn(LockKey, Uuid),
) {
    loop {
        if let Err(error) = listen(&dialer, &channel, &waiters, &give_back).await {
            debug!(error = %chain(&error), "the subscriber connects again");
        }
        sleep(AGAIN).await;
    }
}

async fn listen(
    dialer: &Dialer,
    channel: &str,
    waiters: &Waiters,
    give_back: &impl Fn(LockKey, Uuid),
) -> Result<(), SubscriberError> {
    // Asked anew each time: Sentinel may name another server by now.
    let Some(client) = dialer.server().await? else { return Err(SubscriberError::Ended) };
    let subscribe = async {
        let mut connection = client.get_async_pubsub().await?;
        connection.subscribe(channel).await?;
        Ok::<PubSub, RedisError>(connection)
    };
    let (mut sink, mut messages) = timeout(DIAL_TIMEOUT, subscribe).await??.split();
    waiters.wake_all();
    let mut check = interval(CHECK_EVERY);
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => {
                    if let Ok(text) = message.get_payload::<String>() {
                        dispatch(&text, waiters, give_back);
                    }
                }
                None => return Err(SubscriberError::Ended),
            },
            _ = check.tick() => {
                timeout(CHECK_EVERY, sink.ping::<()>()).await??;
            }
        }
    }
}

/// `release.lua` writes the messages: fence (0: none), token, key.
pub(super) fn dispatch(text: &str, waiters: &Waiters, give_back: &impl Fn(LockKey, Uuid)) {
    let mut fields = text.splitn(3, ' ');
    let (Some(fence), Some(token), Some(key)) = (fields.next(), fields.next(), fields.next())
    else {
        return;
    };
    let (Ok(fence), Ok(token)) = (fence.parse(), Uuid::try_parse(token)) else { return };
    let key = LockKey::from_tagged(key);
    let fence = (fence > 0).then_some(Fence(fence));
    if !waiters.wake(token, Wake::Granted { key: key.clone(), fence }) {
        give_back(key, token);
    }
}
