//! Wake-ups on a Redis Cluster: a channel per slot that is waited for, all on one connection.
//!
//! `PUBLISH` counts the listeners of one node only, so `release.lua` could not tell that a waiter is
//! dead; `SPUBLISH` on a channel in the lock's own slot can. What is missed while a node's
//! connection is made anew is made up for by the waiters' own questions, within a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::cluster_async::ClusterConnection;
use deadpool_redis::redis::{ProtocolVersion, PushInfo, PushKind, RedisError, from_redis_value};
use kernel::chain;
use thiserror::Error;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;
use uuid::Uuid;

use super::deployment::{DIAL_TIMEOUT, cluster};
use super::subscriber::dispatch;
use crate::lock::waiters::Waiters;
use crate::registry::key::LockKey;

/// A channel that nobody asked for during this is left; whoever waits asks every second.
const IDLE: Duration = Duration::from_secs(30);
/// The pause before a lost connection is made again.
const AGAIN: Duration = Duration::from_millis(100);

#[derive(Debug, Error)]
enum ShardsError {
    #[error("the cluster does not take a subscription")]
    Failed(#[from] RedisError),
    #[error("the cluster does not answer the subscriber in time")]
    TimedOut(#[from] Elapsed),
}

/// The channels that this process listens on.
pub(crate) struct Shards {
    urls: Vec<String>,
    connection: watch::Sender<Option<ClusterConnection>>,
    /// When each was last asked for.
    channels: Mutex<HashMap<String, Instant>>,
}

impl Shards {
    pub(crate) fn new(urls: Vec<String>) -> Self {
        Self { urls, connection: watch::Sender::new(None), channels: Mutex::default() }
    }

    /// Listens on `channel` before a waiter names it in a queue. A failure costs a hand-off: the
    /// waiter is passed over and asks again.
    pub(crate) async fn listen(&self, channel: &str) {
        let Some(mut connection) = self.connection.borrow().clone() else { return };
        let (is_new, idle) = self.note(channel);
        let change = async {
            if is_new {
                connection.ssubscribe(channel).await?;
            }
            if !idle.is_empty() {
                connection.sunsubscribe(idle).await?;
            }
            Ok::<(), ShardsError>(())
        };
        let changed = match timeout(DIAL_TIMEOUT, change).await {
            Ok(changed) => changed,
            Err(elapsed) => Err(elapsed.into()),
        };
        if let Err(error) = changed {
            debug!(error = %chain(&error), "a shard's channel was not subscribed");
            self.locked().remove(channel);
        }
    }

    /// Whether `channel` is new, and which channels are not needed any more.
    fn note(&self, channel: &str) -> (bool, Vec<String>) {
        let now = Instant::now();
        let mut channels = self.locked();
        let is_new = channels.insert(channel.to_owned(), now).is_none();
        let idle: Vec<String> = if is_new {
            let old = channels.iter().filter(|(_, asked)| now.duration_since(**asked) > IDLE);
            old.map(|(channel, _)| channel.clone()).collect()
        } else {
            Vec::new()
        };
        channels.retain(|channel, _| !idle.contains(channel));
        (is_new, idle)
    }

    /// Receives for as long as it is polled.
    pub(crate) async fn run(&self, waiters: Arc<Waiters>, give_back: impl Fn(LockKey, Uuid)) {
        loop {
            match self.connect().await {
                Ok(mut pushes) => {
                    waiters.wake_all();
                    while let Some(push) = pushes.recv().await {
                        receive(&push, &waiters, &give_back);
                    }
                }
                Err(error) => debug!(error = %chain(&error), "the subscriber connects again"),
            }
            sleep(AGAIN).await;
        }
    }

    async fn connect(&self) -> Result<UnboundedReceiver<PushInfo>, ShardsError> {
        let (sender, pushes) = unbounded_channel();
        let client =
            cluster(&self.urls).use_protocol(ProtocolVersion::RESP3).push_sender(sender).build()?;
        let connection = timeout(DIAL_TIMEOUT, client.get_async_connection()).await??;
        self.locked().clear();
        self.connection.send_replace(Some(connection));
        Ok(pushes)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn receive(push: &PushInfo, waiters: &Waiters, give_back: &impl Fn(LockKey, Uuid)) {
    match push.kind {
        PushKind::SMessage => {
            let payload = push.data.get(1).cloned().map(from_redis_value::<String>);
            if let Some(Ok(text)) = payload {
                dispatch(&text, waiters, give_back);
            }
        }
        PushKind::Disconnection => waiters.wake_all(),
        _ => (),
    }
}
