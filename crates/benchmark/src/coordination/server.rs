//! A Redis of this run's own, which keeps nothing on disk and may be frozen.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use redis::aio::MultiplexedConnection;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends with this value.
pub(crate) struct Server {
    child: Child,
    url: String,
    connection: MultiplexedConnection,
}

impl Server {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
        let child = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("redis-server could not be started")?;
        let url = format!("redis://127.0.0.1:{port}");
        let client = redis::Client::open(url.as_str())?;
        let deadline = Instant::now() + PATIENCE;
        let connection = loop {
            match client.get_multiplexed_async_connection().await {
                Ok(connection) => break connection,
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        };
        Ok(Self { child, url, connection })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) async fn flush(&mut self) -> anyhow::Result<()> {
        Ok(redis::cmd("FLUSHALL").exec_async(&mut self.connection).await?)
    }

    pub(crate) async fn version(&mut self) -> anyhow::Result<String> {
        let info = self.info("server").await?;
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        Ok(format!("{}, of its own, keeps nothing on disk", version.unwrap_or("unknown")))
    }

    /// CPU time of the server so far, in microseconds.
    pub(crate) async fn cpu_us(&mut self) -> anyhow::Result<f64> {
        let info = self.info("cpu").await?;
        let times = info.lines().filter_map(|line| {
            let (name, seconds) = line.split_once(':')?;
            let is_wanted = ["used_cpu_sys", "used_cpu_user"].contains(&name);
            is_wanted.then(|| seconds.trim().parse::<f64>().ok()).flatten()
        });
        Ok(times.sum::<f64>() * 1e6)
    }

    /// Scripts run so far, from whoever.
    pub(crate) async fn script_calls(&mut self) -> anyhow::Result<f64> {
        let info = self.info("commandstats").await?;
        let scripts = info.lines().filter_map(|line| {
            let (_, figures) = line.strip_prefix("cmdstat_eval")?.split_once("calls=")?;
            figures.split(',').next()?.parse::<f64>().ok()
        });
        Ok(scripts.sum())
    }

    async fn info(&mut self, section: &str) -> anyhow::Result<String> {
        Ok(redis::cmd("INFO").arg(section).query_async(&mut self.connection).await?)
    }

    /// Stops it in the middle of whatever it does.
    pub(crate) async fn freeze(&self) -> anyhow::Result<()> {
        self.signal("-STOP").await
    }

    /// Lets it go on.
    pub(crate) async fn thaw(&self) -> anyhow::Result<()> {
        self.signal("-CONT").await
    }

    async fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let pid = self.child.id().context("redis-server has ended")?.to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().await?;
        ensure!(sent.success(), "kill {signal}: {sent}");
        Ok(())
    }
}
