//! Locks on Redis: one string each, a list of waiters and a fence beside it.
//!
//! A lock's value is its owner's token, then `@` and the process's label (nothing in Laravel's
//! spelling), so that `GET` tells who holds it.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use deadpool_redis::redis::{Script, ScriptInvocation, cmd};
use uuid::Uuid;

use super::link::{Link, RedisAway};
use crate::lock::fence::Fence;
use crate::lock::store::{Ask, Lease, Owner, ProcessId, Queue, Share, Take, Taken};
use crate::registry::key::{LockKey, Spelling};

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("take.lua")));
static RELEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("release.lua")));
static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("renew.lua")));

/// Locks of one process on Redis; cheap to clone.
#[derive(Clone)]
pub(crate) struct RedisLocks {
    link: Arc<Link>,
    spelling: Arc<Spelling>,
    /// What stands behind the token in every value of this process.
    label: Arc<str>,
}

impl RedisLocks {
    pub(crate) fn new(link: Arc<Link>, spelling: Arc<Spelling>, label: &str) -> Self {
        let label = if spelling.is_laravel() { String::new() } else { format!("@{label}") };
        Self { link, spelling, label: label.into() }
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
        let mut call = TAKE.prepare_invoke();
        call.arg(self.value(owner.token));
        call.arg(if how.share == Share::All { "all" } else { "each" });
        for ask in asks {
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
        let mut call = RENEW.prepare_invoke();
        for lease in leases {
            call.key(self.spelling.lock(&lease.key));
            call.arg(self.value(lease.token)).arg(milliseconds(lease.ttl));
        }
        self.link.invoke(&call).await
    }

    pub(crate) async fn release(&self, held: &[(LockKey, Uuid)]) -> Result<Vec<bool>, RedisAway> {
        self.give_back(held, "release").await
    }

    pub(crate) async fn leave(&self, waiting: &[(LockKey, Uuid)]) -> Result<(), RedisAway> {
        self.give_back(waiting, "leave").await.map(|_| ())
    }

    async fn give_back(&self, held: &[(LockKey, Uuid)], how: &str) -> Result<Vec<bool>, RedisAway> {
        let mut call = RELEASE.prepare_invoke();
        call.arg("PUBLISH").arg(how);
        for (key, token) in held {
            self.add_keys(&mut call, key);
            call.arg(self.value(*token));
        }
        self.link.invoke(&call).await
    }

    fn add_keys(&self, call: &mut ScriptInvocation<'_>, key: &LockKey) {
        call.key(self.spelling.lock(key))
            .key(self.spelling.queue(key))
            .key(self.spelling.fence(key));
    }

    fn value(&self, token: Uuid) -> String {
        format!("{}{}", token.simple(), self.label)
    }

    /// A waiter's place in a queue, as `release.lua` reads it.
    fn entry(&self, owner: &Owner, ask: &Ask) -> String {
        let channel = channel(&self.spelling, owner.process);
        let value = self.value(owner.token);
        let (ttl, is_fenced) = (milliseconds(ask.ttl), u8::from(ask.is_fenced));
        format!("{channel} {ttl} {is_fenced} {} {value}", ask.key.tagged())
    }
}

/// Where a process listens for locks that are handed to it.
pub(crate) fn channel(spelling: &Spelling, process: ProcessId) -> String {
    format!("{}:w:{}", spelling.namespace(), process.0.simple())
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
