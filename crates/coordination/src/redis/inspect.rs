//! What operators see of the locks on Redis, and how they break one.

use std::sync::LazyLock;
use std::time::Duration;

use deadpool_redis::redis::{Script, cmd};
use uuid::Uuid;

use super::link::RedisAway;
use super::locks::{RELEASE, RedisLocks};
use crate::lock::fence::Fence;
use crate::lock::store::{Broken, Holder};
use crate::registry::LockClass;
use crate::registry::key::LockKey;

static SHOW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("show.lua")));

/// Keys that Redis looks at in one step of a search.
const STEP: usize = 1_000;

/// Value, ms left, waiters, fence.
type Shown = (String, i64, u64, i64);

impl RedisLocks {
    /// At most `limit` holders, in no order; on a cluster none, since one node's search finds only
    /// its own.
    pub(crate) async fn holders(
        &self,
        class: Option<LockClass>,
        limit: usize,
    ) -> Result<Vec<Holder>, RedisAway> {
        let mut holders = Vec::new();
        let mut cursor = 0_u64;
        while holders.len() < limit {
            let mut scan = cmd("SCAN");
            scan.arg(cursor)
                .arg("MATCH")
                .arg(self.spelling.search(class.map(|class| class.spec().key)));
            scan.arg("COUNT").arg(STEP);
            let (next, found): (u64, Vec<String>) =
                self.link.patiently(async || self.link.query(&scan).await).await?;
            let read = |key: &String| match class {
                Some(class) => self.spelling.read(key, class.spec().key),
                None => LockClass::ALL
                    .into_iter()
                    .find_map(|class| self.spelling.read(key, class.spec().key)),
            };
            holders.extend(self.show(found.iter().filter_map(read).collect()).await?);
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        holders.truncate(limit);
        Ok(holders)
    }

    async fn show(&self, keys: Vec<LockKey>) -> Result<Vec<Holder>, RedisAway> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut call = SHOW.prepare_invoke();
        for key in &keys {
            self.add_keys(&mut call, key);
        }
        let (shown, now_ms): (Vec<Shown>, u64) = self.link.invoke(&call).await?;
        let held = keys.iter().zip(shown).filter(|(_, shown)| !shown.0.is_empty());
        Ok(held.map(|(key, shown)| holder(key, shown, now_ms)).collect())
    }

    /// Takes the lock from its holder when the holder's token still begins with `token_prefix`.
    pub(crate) async fn break_lock(
        &self,
        key: &LockKey,
        token_prefix: &str,
    ) -> Result<Broken, RedisAway> {
        let mut call = RELEASE.prepare_invoke();
        call.arg(self.publish()).arg("break");
        self.add_keys(&mut call, key);
        call.arg(token_prefix);
        let (answer,): (i64,) = self.link.invoke(&call).await?;
        Ok(match answer {
            1 => Broken::Released,
            0 => Broken::OwnerChanged,
            _ => Broken::Free,
        })
    }
}

fn holder(key: &LockKey, (value, ms_left, waiters, fence): Shown, now_ms: u64) -> Holder {
    let (token, owner) = value.split_once('@').unwrap_or((&value, ""));
    // A token of ours begins with the time at which it was made.
    let made = Uuid::try_parse(token).ok().and_then(|token| token.get_timestamp());
    let age = made.map(|made| {
        let (seconds, nanos) = made.to_unix();
        Duration::from_millis(now_ms).saturating_sub(Duration::new(seconds, nanos))
    });
    Holder {
        key: key.plain(),
        owner: owner.to_owned(),
        token_prefix: token.chars().take(Holder::TOKEN_SHOWN).collect(),
        fence: (fence > 0).then_some(Fence(fence)),
        age,
        ttl_left: Duration::from_millis(u64::try_from(ms_left).unwrap_or(0)),
        waiters,
    }
}
