//! The plain way with a pool: a connection of deadpool for each command.

use std::future::Future;
use std::time::Duration;

use anyhow::bail;
use deadpool_redis::{Config, Pool, Runtime};
use redis::Script;
use tokio::time::sleep;
use uuid::Uuid;

use super::line::Line;
use super::loops::{Ended, Locker};

/// What a service of this size would take.
const CONNECTIONS: usize = 16;
const RELEASE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end";

#[derive(Clone)]
pub(crate) struct Pooled {
    pool: Pool,
    ttl: Duration,
    release: Script,
}

impl Pooled {
    pub(crate) fn new(line: &Line) -> anyhow::Result<Self> {
        let config = Config::from_url(&line.redis);
        let pool = config.builder()?.max_size(CONNECTIONS).runtime(Runtime::Tokio1).build()?;
        Ok(Self { pool, ttl: line.ttl(), release: Script::new(RELEASE) })
    }
}

impl Locker for Pooled {
    async fn hold(&self, key: u32, body: impl Future<Output = ()> + Send) -> anyhow::Result<Ended> {
        let (key, token) = (format!("bench:{key}"), Uuid::now_v7().simple().to_string());
        let ttl = u64::try_from(self.ttl.as_millis())?;
        let mut set = redis::cmd("SET");
        set.arg(&key).arg(&token).arg("NX").arg("PX").arg(ttl);
        while !set.query_async::<bool>(&mut self.pool.get().await?).await? {
            sleep(Duration::from_millis(100)).await;
        }
        body.await;
        let mut connection = self.pool.get().await?;
        let released: i64 =
            self.release.key(&key).arg(&token).invoke_async(&mut connection).await?;
        Ok(if released == 1 { Ended::Ran } else { Ended::Lost })
    }

    async fn steal(&self) -> anyhow::Result<()> {
        bail!("nobody asks what a plain pool does then")
    }
}
