//! Redis servers for tests, and waiting for conditions.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use coordination::Coordination;
use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{Client, cmd};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// The Redis that all tests share.
pub(crate) fn shared_url() -> String {
    std::env::var("SWITCHYARD__REDIS__URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".into())
}

/// A namespace that no other test uses.
pub(crate) fn fresh_namespace() -> String {
    format!("test-{}", Uuid::now_v7().simple())
}

pub(crate) async fn connect(url: &str, namespace: &str) -> Coordination {
    Coordination::connect(url, namespace, TaskTracker::new()).await.unwrap()
}

/// One process's worth of coordination on the shared Redis, alone in its namespace.
pub(crate) async fn alone() -> Coordination {
    connect(&shared_url(), &fresh_namespace()).await
}

/// A connection beside the one under test.
pub(crate) async fn raw(url: &str) -> MultiplexedConnection {
    Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

pub(crate) async fn exists(redis: &mut MultiplexedConnection, key: &str) -> bool {
    cmd("EXISTS").arg(key).query_async(redis).await.unwrap()
}

/// Waits until `condition` holds; fails after 10 s.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < Duration::from_secs(10), "waited in vain until {what}");
        sleep(Duration::from_millis(1)).await;
    }
    start.elapsed()
}

pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// A port that nobody uses now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A Redis that a test may freeze, kill and flush.
pub(crate) struct OwnRedis {
    server: Option<Child>,
    port: u16,
    arguments: Vec<String>,
    /// What the server writes beside itself: a cluster's map, a sentinel's state.
    _directory: TempDir,
}

impl OwnRedis {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With further arguments, e.g. for a replica.
    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let mut arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        arguments.extend(["--dir".to_owned(), directory.path().display().to_string()]);
        let port = free_port();
        let mut redis = Self { server: None, port, arguments, _directory: directory };
        redis.start_again().await;
        redis
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Starts it on the same port, empty.
    pub(crate) async fn start_again(&mut self) {
        let server = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .args(&self.arguments)
            .stdout(Stdio::null())
            .spawn();
        self.server = Some(server.expect("this test starts a redis-server of its own: install it"));
        let client = Client::open(self.url()).unwrap();
        until("the own Redis answers", async || {
            client.get_multiplexed_async_connection().await.is_ok()
        })
        .await;
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let server = self.server.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &server]).status().unwrap().success());
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        // SIGKILL ends a stopped process, too.
        self.kill();
    }
}
