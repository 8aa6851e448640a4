//! The keys that one owner token holds, and their way back.
//!
//! Invariant: a key is noted before Redis is asked for it and forgotten only when Redis said that
//! it is not ours, so whatever cuts a call short, the release covers it.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use deadpool_redis::redis::Script;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::warn;
use uuid::Uuid;

use super::Shared;
use crate::link::RedisAway;

/// How long a release that could not be awaited is tried. Shutdown waits no longer for it; after
/// that the ttl frees the key.
const LEFTOVER: Duration = Duration::from_secs(5);

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("take.lua")));
static RELEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("release.lua")));
static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("renew.lua")));

/// What a release found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The locks were held to the end.
    Kept,
    /// At least one had expired, was flushed or taken over.
    Lost,
}

pub(super) struct Holding {
    shared: Arc<Shared>,
    token: Uuid,
    keys: Vec<String>,
    /// Before this nobody else can have got one of the keys, unless Redis lost data.
    valid_until: Option<Instant>,
}

impl Holding {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, token: Uuid::now_v7(), keys: Vec::new(), valid_until: None }
    }

    /// A number that differs between waiters, so that they do not poll in step.
    pub(super) fn rhythm(&self) -> u32 {
        self.token.as_fields().3.iter().fold(0, |mixed, byte| mixed ^ u32::from(*byte))
    }

    pub(super) fn is_valid(&self) -> bool {
        self.valid_until.is_none_or(|until| Instant::now() < until)
    }

    /// Asks for each key; the answer has a flag for each, in order.
    pub(super) async fn take(
        &mut self,
        keys: Vec<(String, Duration)>,
    ) -> Result<Vec<bool>, RedisAway> {
        let mut call = TAKE.prepare_invoke();
        call.arg(self.token.as_bytes());
        for (key, ttl) in &keys {
            call.key(key).arg(milliseconds(*ttl));
        }
        let sent = Instant::now();
        let shortest = keys.iter().map(|(_, ttl)| *ttl).min();
        let noted = self.keys.len();
        self.keys.extend(keys.into_iter().map(|(key, _)| key));
        let taken = match self.shared.link.invoke::<Vec<bool>>(&call).await {
            Ok(taken) => taken,
            Err(away) => {
                if matches!(away, RedisAway::NotConnected) {
                    self.keys.truncate(noted);
                }
                return Err(away);
            }
        };
        let mut flags = taken.iter();
        let asked = self.keys.split_off(noted);
        self.keys.extend(asked.into_iter().filter(|_| flags.next() == Some(&true)));
        if let (Some(ttl), true) = (shortest, taken.contains(&true)) {
            let until = sent + validity(ttl);
            self.valid_until = Some(self.valid_until.map_or(until, |earlier| earlier.min(until)));
        }
        Ok(taken)
    }

    /// Keeps one lock alive, and returns when it is lost or was held for `max_hold`.
    pub(super) async fn lost(&mut self, ttl: Duration, max_hold: Option<Duration>) {
        let since = Instant::now();
        let Some(mut until) = self.valid_until else { return std::future::pending().await };
        let Some(max_hold) = max_hold else { return sleep_until(until).await };
        let end = since + max_hold;
        let mut next = since + ttl / 3;
        loop {
            sleep_until(next.min(until).min(end)).await;
            let now = Instant::now();
            if now >= until.min(end) {
                return;
            }
            match timeout_at(until, self.renew(ttl)).await {
                Ok(Ok(true)) => {
                    until = now + validity(ttl);
                    self.valid_until = Some(until);
                    next = now + ttl / 3;
                }
                Ok(Ok(false)) => return,
                // Redis may come back before the lock runs out: try again, more often.
                Ok(Err(_)) | Err(_) => next = Instant::now() + ttl / 10,
            }
        }
    }

    async fn renew(&self, ttl: Duration) -> Result<bool, RedisAway> {
        let mut call = RENEW.prepare_invoke();
        call.key(&self.keys).arg(self.token.as_bytes()).arg(milliseconds(ttl));
        self.shared.link.invoke(&call).await
    }

    /// Gives every key back; the answer says of each whether it was still ours.
    ///
    /// A release that fails is left to the drop.
    pub(super) async fn release(&mut self) -> Result<Vec<bool>, RedisAway> {
        if self.keys.is_empty() {
            return Ok(Vec::new());
        }
        let released = release(&self.shared, &self.keys, self.token).await?;
        self.keys.clear();
        Ok(released)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if self.keys.is_empty() {
            return;
        }
        let (shared, keys, token) =
            (Arc::clone(&self.shared), std::mem::take(&mut self.keys), self.token);
        let leftover = async move {
            let given_back = async {
                while release(&shared, &keys, token).await.is_err() {
                    shared.link.available().await;
                }
            };
            if timeout(LEFTOVER, given_back).await.is_err() {
                warn!(locks = keys.len(), "Redis is away: locks left to their ttl");
            }
        };
        self.shared.tasks.spawn_on(leftover, &self.shared.runtime);
    }
}

async fn release(shared: &Shared, keys: &[String], token: Uuid) -> Result<Vec<bool>, RedisAway> {
    let mut call = RELEASE.prepare_invoke();
    call.key(keys).arg(token.as_bytes());
    shared.link.invoke(&call).await
}

/// How much of a ttl can be relied upon, counted from when it was asked for: 1 % for clocks that
/// run at different speeds, 2 ms for Redis's expiry.
fn validity(ttl: Duration) -> Duration {
    ttl.saturating_sub(ttl / 100 + Duration::from_millis(2))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
