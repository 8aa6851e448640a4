//! What operators see of the limits; asks Redis, changes nothing.

use std::cmp::Reverse;
use std::time::Duration;

use super::shape::microseconds;
use super::{Lane, Limit, Limiter, script};
use crate::redis::link::RedisAway;
use crate::registry::{LimitName, Policy};

/// How much of one limit is used.
#[derive(Clone, Debug, PartialEq)]
pub struct Usage {
    /// The key in Redis.
    pub key: String,
    /// Units that count now; of a limit above 1,000 units: how much of its burst is used up.
    pub used: u32,
    /// The limit. What the connection was set to if it has lanes, else the registry's default.
    pub limit: u32,
    /// When all of it will be free, if nobody asks any more.
    pub resets_in: Duration,
}

/// What a connection's limit has learnt from Meta.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learnt {
    /// How much of the rate is left, 0.05 to 1.
    pub factor: f64,
    /// How long nothing is admitted.
    pub paused_for: Duration,
    /// How long no campaign is admitted.
    pub campaigns_stopped_for: Duration,
}

impl Limiter {
    /// How much of `limit` is used.
    ///
    /// # Errors
    ///
    /// When Redis does not answer.
    pub async fn show(&self, limit: &Limit) -> Result<Usage, RedisAway> {
        let [used, _, free_ms, ..] = script::usage(&self.shared, limit).await?;
        Ok(Usage {
            key: script::key(&self.shared, limit),
            used: u32::try_from(used).unwrap_or(u32::MAX),
            limit: limit.most,
            resets_in: Duration::from_millis(free_ms),
        })
    }

    /// What `name`, a connection or a pair, has learnt from Meta.
    ///
    /// # Errors
    ///
    /// When Redis does not answer.
    pub async fn learnt(&self, name: LimitName) -> Result<Learnt, RedisAway> {
        let limit = Limit::of(name).lane(Lane::Agent);
        let [.., factor, paused_ms, stopped_ms] = script::usage(&self.shared, &limit).await?;
        Ok(Learnt {
            factor: f64::from(u32::try_from(factor).unwrap_or(1_000)) / 1_000.0,
            paused_for: Duration::from_millis(paused_ms),
            campaigns_stopped_for: Duration::from_millis(stopped_ms),
        })
    }

    /// The `top` keys of a policy of which most is used, the fullest first.
    ///
    /// Looks through all keys of Redis in steps of 500 (one node's, in a cluster).
    ///
    /// # Errors
    ///
    /// When Redis does not answer.
    pub async fn inspect(&self, policy: Policy, top: usize) -> Result<Vec<Usage>, RedisAway> {
        let mut found = Vec::new();
        let mut cursor = "0".to_owned();
        loop {
            let step = async || script::hottest(&self.shared, policy, &cursor).await;
            let page = self.shared.link.patiently(step).await?;
            found.extend(page.keys.into_iter().map(|key| key.usage(policy)));
            cursor = page.cursor;
            if cursor == "0" {
                break;
            }
        }
        found.sort_by_key(|usage| {
            Reverse(u64::from(usage.used) * 1_000 / u64::from(usage.limit.max(1)))
        });
        // A scan may find a key twice.
        found.dedup_by(|a, b| a.key == b.key);
        found.truncate(top);
        Ok(found)
    }
}

/// A key as `hottest.lua` describes it.
pub(super) struct Found {
    pub(super) key: String,
    pub(super) is_paced: bool,
    pub(super) used: u64,
    pub(super) free_ms: u64,
    pub(super) most: u32,
}

impl Found {
    fn usage(self, policy: Policy) -> Usage {
        let spec = policy.spec();
        let limit = if self.most > 0 { self.most } else { spec.most };
        // A pace's debt in time; what its burst and horizon cover is not yet at the limit.
        let used = if self.is_paced {
            self.used * u64::from(limit) / microseconds(spec.per).max(1)
        } else {
            self.used
        };
        Usage {
            key: self.key,
            used: u32::try_from(used).unwrap_or(u32::MAX),
            limit,
            resets_in: Duration::from_millis(self.free_ms),
        }
    }
}
