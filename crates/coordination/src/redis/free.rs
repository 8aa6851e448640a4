//! The cheap way for batches: most locks are free when asked for, and nobody waits when they are
//! given back.
//!
//! Invariant: what these scripts can not do, a hand-off, they leave untouched to `release.lua`.

use std::sync::LazyLock;
use std::time::Duration;

use deadpool_redis::redis::Script;
use uuid::Uuid;

use super::link::RedisAway;
use super::locks::{RedisLocks, milliseconds};
use crate::lock::store::{Ask, Owner, Queue, Share, Take, Taken};
use crate::registry::key::LockKey;

pub(super) static TAKE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("take_free.lua")));
pub(super) static RELEASE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("release_free.lua")));

/// Locks in one call: Lua's `unpack` puts at most some 8000 values on its stack.
const MOST: usize = 2_000;

/// Whether `asks` can be asked for without fences and queues.
pub(super) fn is_plain(asks: &[(usize, &Ask)], how: Take) -> bool {
    how.share == Share::Each
        && how.queue == Queue::Stay
        && asks.iter().all(|(_, ask)| !ask.is_fenced)
}

/// Whether `held` is a batch of one owner, as `release_free.lua` gives it back.
pub(super) fn is_batch(held: &[(usize, &(LockKey, Uuid))]) -> bool {
    let Some((_, (_, token))) = held.first() else { return false };
    (2..=MOST).contains(&held.len()) && held.iter().all(|(_, (_, other))| other == token)
}

impl RedisLocks {
    pub(super) async fn take_free(
        &self,
        owner: &Owner,
        asks: &[(usize, &Ask)],
    ) -> Result<Vec<Taken>, RedisAway> {
        let mut call = TAKE.prepare_invoke();
        call.arg(self.value(owner.token));
        for (_, ask) in asks {
            call.key(self.spelling.lock(&ask.key));
        }
        let mut ttls: Vec<u64> = asks.iter().map(|(_, ask)| milliseconds(ask.ttl)).collect();
        if ttls.iter().all(|ttl| Some(ttl) == ttls.first()) {
            ttls.truncate(1);
        }
        call.arg(ttls);
        let busy: Vec<(usize, u64)> = self.link.invoke(&call).await?;
        let mut taken = vec![Taken::Ours { fence: None }; asks.len()];
        for (place, ms) in busy {
            if let Some(taken) = place.checked_sub(1).and_then(|place| taken.get_mut(place)) {
                *taken = Taken::Busy { free_in: Duration::from_millis(ms) };
            }
        }
        Ok(taken)
    }

    /// Gives a batch of `token` back; those that somebody waits for in a second question.
    pub(super) async fn release_free(
        &self,
        held: &[(usize, &(LockKey, Uuid))],
        token: Uuid,
    ) -> Result<Vec<bool>, RedisAway> {
        let mut call = RELEASE.prepare_invoke();
        call.arg(self.value(token));
        for (_, (key, _)) in held {
            call.key(self.spelling.lock(key));
        }
        for (_, (key, _)) in held {
            call.key(self.spelling.queue(key));
        }
        let exceptions: Vec<isize> = self.link.invoke(&call).await?;
        let mut released = vec![true; held.len()];
        let mut waited_for = Vec::new();
        for exception in exceptions {
            let Some(place) = exception.unsigned_abs().checked_sub(1) else { continue };
            if exception > 0 {
                set(&mut released, place, false);
            } else {
                waited_for.extend(held.get(place).map(|(_, held)| (place, *held)));
            }
        }
        if !waited_for.is_empty() {
            let handed_on = self.hand_on(&waited_for, "release").await?;
            for ((place, _), is_ours) in waited_for.into_iter().zip(handed_on) {
                set(&mut released, place, is_ours);
            }
        }
        Ok(released)
    }
}

fn set(released: &mut [bool], place: usize, is_ours: bool) {
    if let Some(released) = released.get_mut(place) {
        *released = is_ours;
    }
}
