//! The product's locks, behind the loops that every library is measured with.

use std::future::Future;

use coordination::{Coordination, LockClass, LockName, Locked, Patience};
use kernel::Wamid;
use kernel::ids::Id;
use redis::aio::MultiplexedConnection;
use tokio::time::Duration;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::Options;
use super::line::Part;
use super::loops::{Ended, Locker};

const NAMESPACE: &str = "bench";
/// Longer than any part lasts: the drivers of the peers wait for ever.
const PATIENCE: Patience = Patience::UpTo(Duration::from_mins(1));
/// Longer than any part lasts.
const MAX_HOLD: Duration = Duration::from_mins(10);

/// One process's worth of coordination.
#[derive(Clone)]
pub(crate) struct Ours {
    pub(crate) coordination: Coordination,
    locks: coordination::Locks,
    class: LockClass,
    redis: MultiplexedConnection,
}

impl Ours {
    pub(crate) async fn connect(
        options: &Options,
        redis: MultiplexedConnection,
    ) -> anyhow::Result<Self> {
        let line = &options.line;
        let coordination =
            Coordination::connect(&line.redis, NAMESPACE, TaskTracker::new()).await?;
        let (class, max_hold) = match line.part {
            _ if options.fenced => (LockClass::CampaignSend, Some(MAX_HOLD)),
            Part::Cycle | Part::Wakeup | Part::Contend | Part::Batch => {
                (LockClass::WebhookMessage, None)
            }
            // Renewed while held, and refused while Redis is away.
            _ => (LockClass::ContactExport, Some(MAX_HOLD)),
        };
        let locks = coordination.locks().clone().with_times(class, line.ttl(), max_hold);
        Ok(Self { coordination, locks, class, redis })
    }

    pub(crate) const fn locks(&self) -> &coordination::Locks {
        &self.locks
    }

    /// A connection beside the measured ones.
    pub(crate) fn redis(&self) -> MultiplexedConnection {
        self.redis.clone()
    }

    /// The lock that the loops call `key`.
    pub(crate) fn name(&self, key: u32) -> LockName {
        let id = Uuid::from_u128(key.into());
        match self.class {
            LockClass::CampaignSend => LockName::CampaignSend(Id::from_uuid(id)),
            LockClass::ContactExport => LockName::ContactExport(Id::from_uuid(id)),
            _ => LockName::WebhookMessage(Wamid::new(format!("wamid.bench{key}"))),
        }
    }
}

impl Locker for Ours {
    async fn hold(&self, key: u32, body: impl Future<Output = ()> + Send) -> anyhow::Result<Ended> {
        let held = self.locks.with_lock(self.name(key), PATIENCE, async || body.await).await?;
        Ok(match held {
            Locked::Ran(()) => Ended::Ran,
            Locked::Busy => Ended::Refused,
            Locked::Lost(_) => Ended::Lost,
        })
    }

    async fn steal(&self) -> anyhow::Result<()> {
        let mut redis = self.redis();
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut redis).await?;
        for key in keys {
            // Only a lock is a plain string that can be overwritten by another's token.
            redis::cmd("SET").arg(key).arg("thief").exec_async(&mut redis).await?;
        }
        Ok(())
    }
}
