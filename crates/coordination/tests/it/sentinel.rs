//! A primary that Sentinel names is found, and found again after a failover.

use std::time::Duration;

use coordination::{Coordination, Deployment, Health, LockName, Locked, Options, Patience};
use deadpool_redis::redis::cmd;
use kernel::ids::ConnectionId;
use tokio::process::Command;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

use crate::stack::{OwnRedis, free_port, raw, until};

/// As many as it takes for a failover: 0.5 s to notice, an election, the promotion.
const FAILOVER: Duration = Duration::from_secs(30);

#[tokio::test]
async fn after_a_failover_locks_are_had_from_the_new_primary() {
    let mut primary = OwnRedis::start().await;
    let port = primary.port().to_string();
    let replica = OwnRedis::start_with(&["--replicaof", "127.0.0.1", &port]).await;
    let mut redis = raw(&replica.url()).await;
    until("the replica is in step", async || {
        let info: String = cmd("INFO").arg("replication").query_async(&mut redis).await.unwrap();
        info.contains("master_link_status:up")
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let (config, port) = (directory.path().join("sentinel.conf"), free_port());
    let monitor = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {} 1\n\
         sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n",
        primary.port()
    );
    std::fs::write(&config, monitor).unwrap();
    let mut sentinel = Command::new("redis-server");
    sentinel.arg(&config).arg("--sentinel").kill_on_drop(true);
    let _sentinel = sentinel.stdout(std::process::Stdio::null()).spawn().unwrap();
    let url = format!("redis://127.0.0.1:{port}");
    until("the sentinel knows the replica", async || {
        let Ok(client) = deadpool_redis::redis::Client::open(url.as_str()) else { return false };
        let Ok(mut asked) = client.get_multiplexed_async_connection().await else { return false };
        let mut replicas = cmd("SENTINEL");
        replicas.arg("REPLICAS").arg("main");
        let known: Result<Vec<deadpool_redis::redis::Value>, _> =
            replicas.query_async(&mut asked).await;
        known.is_ok_and(|known| known.len() == 1)
    })
    .await;

    let mut options = Options::new(&url, "sw");
    options.deployment = Deployment::Sentinel { urls: vec![url], master: "main".into() };
    let here = Coordination::start(options, TaskTracker::new()).await.unwrap();
    assert_eq!(here.health(), Health::Available);
    let run = async || {
        let sync = LockName::TemplateSync(ConnectionId::new());
        here.locks().with_lock(sync, Patience::None, async || ()).await
    };
    assert_eq!(run().await.unwrap(), Locked::Ran(()));
    primary.kill();
    let start = Instant::now();
    while !matches!(run().await, Ok(Locked::Ran(()))) {
        assert!(start.elapsed() < FAILOVER, "no new primary was found");
        sleep(Duration::from_millis(50)).await;
    }
    // Sentinel cut the old connection when it promoted the server.
    let mut redis = raw(&replica.url()).await;
    let info: String = cmd("INFO").arg("replication").query_async(&mut redis).await.unwrap();
    assert!(info.contains("role:master"), "{info}");
}
