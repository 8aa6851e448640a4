//! rslock, driven by the same loops as ours.

#[allow(dead_code, reason = "some of it is for ours only")]
mod line;
#[allow(dead_code, reason = "rslock fails where others refuse or tell of a loss")]
mod loops;

use std::future::Future;
use std::time::Duration;

use clap::Parser;

use crate::line::{Line, Part};
use crate::loops::{Ended, Locker};

#[derive(Clone)]
struct Rslock {
    manager: rslock::LockManager,
    redis: redis::aio::MultiplexedConnection,
    ttl: Duration,
    /// Renews and watches, as a body that may outlive the TTL needs it.
    renews: bool,
}

impl Locker for Rslock {
    async fn hold(
        &self,
        key: u32,
        body: impl Future<Output = ()> + Send,
    ) -> anyhow::Result<Ended> {
        let key = format!("bench:{key}").into_bytes();
        if self.renews {
            self.manager.using(&key, self.ttl, async || body.await).await?;
        } else {
            let guard = self.manager.acquire(key.as_slice(), self.ttl).await?;
            body.await;
            guard.release().await;
        }
        Ok(Ended::Ran)
    }

    async fn steal(&self) -> anyhow::Result<()> {
        let mut redis = self.redis.clone();
        Ok(redis::cmd("SET").arg("bench:0").arg("thief").query_async(&mut redis).await?)
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let line = Line::parse();
    let client = redis::Client::open(line.redis.as_str())?;
    let locker = Rslock {
        manager: rslock::LockManager::new(vec![line.redis.as_str()]),
        redis: client.get_multiplexed_async_connection().await?,
        ttl: line.ttl(),
        renews: line.part == Part::Loss,
    };
    println!("{}", loops::run(&line, &locker).await?);
    Ok(())
}
