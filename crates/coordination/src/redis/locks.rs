//! Locks on Redis: one string each, a list of waiters and a fence beside it.
//!
//! A lock's value is its owner's token, then `@` and the process's label (nothing in Laravel's
//! spelling), so that `GET` tells who holds it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use deadpool_redis::redis::cluster_routing::Slot;
use deadpool_redis::redis::{RedisError, Script, ScriptInvocation, cmd};
use futures_util::future::try_join_all;
use uuid::Uuid;

use super::deployment::Connection;
use super::free;
use super::link::{Link, RedisAway};
use super::shards::Shards;
use crate::lock::fence::Fence;
use crate::lock::store::{Ask, Lease, Owner, ProcessId, Queue, Share, Take, Taken};
use crate::registry::key::{LockKey, Spelling};

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("take.lua")));
pub(super) static RELEASE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("release.lua")));
static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("renew.lua")));

/// Loads the scripts, so that the first callers need not.
pub(super) async fn teach(connection: &mut Connection) -> Result<(), RedisError> {
    for script in [&TAKE, &RELEASE, &RENEW, &free::TAKE, &free::RELEASE] {
        script.load_async(connection).await?;
    }
    Ok(())
}

/// Locks of one process on Redis; cheap to clone.
#[derive(Clone)]
pub(crate) struct RedisLocks {
    pub(super) link: Arc<Link>,
    pub(super) spelling: Arc<Spelling>,
    /// What stands behind the token in every value of this process.
    label: Arc<str>,
    /// On a cluster: where wake-ups come from.
    shards: Option<Arc<Shards>>,
}

impl RedisLocks {
    pub(crate) fn new(
        link: Arc<Link>,
        spelling: Arc<Spelling>,
        label: &str,
        shards: Option<Arc<Shards>>,
    ) -> Self {
        let label = if spelling.is_laravel() { String::new() } else { format!("@{label}") };
        Self { link, spelling, label: label.into(), shards }
    }

    pub(crate) async fn available(&self) {
        self.link.available().await;
    }

    pub(crate) async fn take(
        &self,
        owner: &Owner,
        asks: &[Ask],
        how: Take,
    ) -> Result<Vec<Taken>, RedisAway> {
        if let ([ask], Queue::Stay) = (asks, how.queue)
            && !ask.is_fenced
        {
            return Ok(vec![self.take_plain(owner, ask).await?]);
        }
        if how.queue == Queue::Join
            && let Some(shards) = &self.shards
        {
            for ask in asks {
                shards.listen(&self.channel(owner, &ask.key)).await;
            }
        }
        if let [one] = asks {
            return self.take_slot(owner, &[(0, one)], how).await;
        }
        let slots = self.by_slot(asks, |ask| &ask.key);
        let parts = slots.iter().map(|slot| self.take_slot(owner, slot, how));
        let taken = put_back(asks.len(), &slots, try_join_all(parts).await?);
        let is_ours = |taken: &&Taken| matches!(taken, Taken::Ours { .. });
        let ours = taken.iter().filter(is_ours).count();
        if how.share == Share::All && (1..asks.len()).contains(&ours) {
            return self.undo(owner, asks, taken).await;
        }
        Ok(taken)
    }

    /// Another slot was busy: gives back what was taken.
    async fn undo(
        &self,
        owner: &Owner,
        asks: &[Ask],
        taken: Vec<Taken>,
    ) -> Result<Vec<Taken>, RedisAway> {
        let ours = asks.iter().zip(&taken).filter(|(_, taken)| matches!(taken, Taken::Ours { .. }));
        let ours: Vec<_> = ours.map(|(ask, _)| (ask.key.clone(), owner.token)).collect();
        self.release(&ours).await?;
        let busy = taken.into_iter().map(|taken| match taken {
            Taken::Ours { .. } => Taken::Busy { free_in: Duration::ZERO },
            Taken::Busy { free_in } => Taken::Busy { free_in },
        });
        Ok(busy.collect())
    }

    async fn take_slot(
        &self,
        owner: &Owner,
        asks: &[(usize, &Ask)],
        how: Take,
    ) -> Result<Vec<Taken>, RedisAway> {
        if free::is_plain(asks, how) {
            return self.take_free(owner, asks).await;
        }
        let mut call = TAKE.prepare_invoke();
        call.arg(self.value(owner.token));
        call.arg(if how.share == Share::All { "all" } else { "each" });
        for (_, ask) in asks {
            self.add_keys(&mut call, &ask.key);
            call.arg(milliseconds(ask.ttl)).arg(u8::from(ask.is_fenced));
            call.arg(match how.queue {
                Queue::Stay => String::new(),
                Queue::Join => self.entry(owner, ask),
            });
        }
        let answers: Vec<(bool, i64)> = self.link.invoke(&call).await?;
        let taken = answers.into_iter().map(|(is_ours, number)| match is_ours {
            true => Taken::Ours { fence: (number > 0).then_some(Fence(number)) },
            false => {
                Taken::Busy { free_in: Duration::from_millis(u64::try_from(number).unwrap_or(0)) }
            }
        });
        Ok(taken.collect())
    }

    /// The fast way: one plain command, no script.
    async fn take_plain(&self, owner: &Owner, ask: &Ask) -> Result<Taken, RedisAway> {
        let mut set = cmd("SET");
        set.arg(self.spelling.lock(&ask.key)).arg(self.value(owner.token));
        set.arg("NX").arg("PX").arg(milliseconds(ask.ttl));
        let is_set: bool = self.link.query(&set).await?;
        Ok(match is_set {
            true => Taken::Ours { fence: None },
            false => Taken::Busy { free_in: ask.ttl },
        })
    }

    pub(crate) async fn renew(&self, leases: &[Lease]) -> Result<Vec<bool>, RedisAway> {
        let slots = self.by_slot(leases, |lease| &lease.key);
        let parts = slots.iter().map(async |slot| {
            let mut call = RENEW.prepare_invoke();
            for (_, lease) in slot {
                call.key(self.spelling.lock(&lease.key));
                call.arg(self.value(lease.token)).arg(milliseconds(lease.ttl));
            }
            self.link.invoke::<Vec<bool>>(&call).await
        });
        Ok(put_back(leases.len(), &slots, try_join_all(parts).await?))
    }

    pub(crate) async fn release(&self, held: &[(LockKey, Uuid)]) -> Result<Vec<bool>, RedisAway> {
        self.give_back(held, "release").await
    }

    pub(crate) async fn leave(&self, waiting: &[(LockKey, Uuid)]) -> Result<(), RedisAway> {
        self.give_back(waiting, "leave").await.map(|_| ())
    }

    async fn give_back(&self, held: &[(LockKey, Uuid)], how: &str) -> Result<Vec<bool>, RedisAway> {
        if let [one] = held {
            return self.give_back_slot(&[(0, one)], how).await;
        }
        let slots = self.by_slot(held, |(key, _)| key);
        let parts = slots.iter().map(|slot| self.give_back_slot(slot, how));
        Ok(put_back(held.len(), &slots, try_join_all(parts).await?))
    }

    async fn give_back_slot(
        &self,
        held: &[(usize, &(LockKey, Uuid))],
        how: &str,
    ) -> Result<Vec<bool>, RedisAway> {
        match held.first() {
            Some((_, (_, token))) if how == "release" && free::is_batch(held) => {
                self.release_free(held, *token).await
            }
            _ => self.hand_on(held, how).await,
        }
    }

    pub(super) async fn hand_on(
        &self,
        held: &[(usize, &(LockKey, Uuid))],
        how: &str,
    ) -> Result<Vec<bool>, RedisAway> {
        let mut call = RELEASE.prepare_invoke();
        call.arg(self.publish()).arg(how);
        for (_, (key, token)) in held {
            self.add_keys(&mut call, key);
            call.arg(self.value(*token));
        }
        self.link.invoke(&call).await
    }

    /// Everything for one script each, with its place in the question: on a cluster those of one
    /// slot, else all.
    fn by_slot<'i, T>(
        &self,
        items: &'i [T],
        key: impl Fn(&T) -> &LockKey,
    ) -> Vec<Vec<(usize, &'i T)>> {
        let placed = items.iter().enumerate();
        if !self.link.is_cluster() {
            return vec![placed.collect()];
        }
        let mut slots: HashMap<Slot, Vec<(usize, &T)>> = HashMap::new();
        for (place, item) in placed {
            let slot = Slot::for_key(self.spelling.lock(key(item)));
            slots.entry(slot).or_default().push((place, item));
        }
        slots.into_values().collect()
    }

    pub(super) fn add_keys(&self, call: &mut ScriptInvocation<'_>, key: &LockKey) {
        call.key(self.spelling.lock(key))
            .key(self.spelling.queue(key))
            .key(self.spelling.fence(key));
    }

    pub(super) fn publish(&self) -> &'static str {
        if self.link.is_cluster() { "SPUBLISH" } else { "PUBLISH" }
    }

    fn channel(&self, owner: &Owner, key: &LockKey) -> String {
        match &self.shards {
            Some(_) => self.spelling.shard_channel(key, owner.process),
            None => channel(&self.spelling, owner.process),
        }
    }

    pub(super) fn value(&self, token: Uuid) -> String {
        format!("{}{}", token.simple(), self.label)
    }

    /// A waiter's place in a queue, as `release.lua` reads it.
    fn entry(&self, owner: &Owner, ask: &Ask) -> String {
        let channel = self.channel(owner, &ask.key);
        let value = self.value(owner.token);
        let (ttl, is_fenced) = (milliseconds(ask.ttl), u8::from(ask.is_fenced));
        format!("{channel} {ttl} {is_fenced} {} {value}", ask.key.tagged())
    }
}

/// Where a process listens for locks that are handed to it.
pub(crate) fn channel(spelling: &Spelling, process: ProcessId) -> String {
    format!("{}:w:{}", spelling.namespace(), process.0.simple())
}

/// The answers of all slots in the order of the question.
fn put_back<I, T>(len: usize, slots: &[Vec<(usize, I)>], answers: Vec<Vec<T>>) -> Vec<T> {
    let mut placed: Vec<(usize, T)> = Vec::with_capacity(len);
    for (slot, answers) in slots.iter().zip(answers) {
        placed.extend(slot.iter().map(|(place, _)| *place).zip(answers));
    }
    placed.sort_unstable_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, answer)| answer).collect()
}

pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
