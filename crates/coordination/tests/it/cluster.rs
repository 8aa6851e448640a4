//! Locks on a Redis Cluster: batches spread over slots, hand-off within the lock's own slot.

use std::time::Duration;

use coordination::{Coordination, Deployment, Hold, LockName, Locked, Options, Patience};
use deadpool_redis::redis::cmd;
use kernel::Wamid;
use kernel::ids::ConnectionId;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

use crate::stack::{OwnRedis, free_port, raw, until};

/// The slots of each of three nodes.
const SLOTS: [(u16, u16); 3] = [(0, 5460), (5461, 10922), (10923, 16383)];

struct Cluster(Vec<OwnRedis>);

impl Cluster {
    async fn start() -> Self {
        let mut nodes = Vec::new();
        let mut buses = Vec::new();
        for (first, last) in SLOTS {
            let bus = free_port().to_string();
            let node =
                OwnRedis::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus]).await;
            let mut redis = raw(&node.url()).await;
            let mut slots = cmd("CLUSTER");
            slots.arg("ADDSLOTSRANGE").arg(first).arg(last);
            slots.exec_async(&mut redis).await.unwrap();
            nodes.push(node);
            buses.push(bus);
        }
        let mut first = raw(&nodes[0].url()).await;
        for (node, bus) in nodes.iter().zip(&buses).skip(1) {
            let mut meet = cmd("CLUSTER");
            meet.arg("MEET").arg("127.0.0.1").arg(node.port()).arg(bus);
            meet.exec_async(&mut first).await.unwrap();
        }
        for node in &nodes {
            let mut redis = raw(&node.url()).await;
            until("the cluster is complete", async || {
                let info: String =
                    cmd("CLUSTER").arg("INFO").query_async(&mut redis).await.unwrap();
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            })
            .await;
        }
        Self(nodes)
    }

    async fn connect(&self) -> Coordination {
        let urls: Vec<String> = self.0.iter().map(OwnRedis::url).collect();
        let mut options = Options::new(&urls[0], "sw");
        options.deployment = Deployment::Cluster { urls };
        Coordination::start(options, TaskTracker::new()).await.unwrap()
    }
}

fn message(number: u32) -> LockName {
    LockName::WebhookMessage(Wamid::new(format!("wamid.{number}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_spread_over_slots_and_exclude_each_other() {
    let cluster = Cluster::start().await;
    let (here, there) = (cluster.connect().await, cluster.connect().await);
    let all = here.locks().lock_many((0..64).map(message), Patience::None).await.unwrap();
    assert_eq!((all.held().len(), all.busy().len()), (64, 0));
    let others = there.locks().lock_many((32..96).map(message), Patience::None).await.unwrap();
    assert_eq!((others.held().len(), others.busy().len()), (32, 32));
    assert_eq!(others.release().await, Hold::Kept);
    let none = there.locks().lock_all((60..70).map(message), Patience::None).await.unwrap();
    assert!(none.is_none());
    let free = there.locks().lock_all((64..70).map(message), Patience::None).await.unwrap();
    assert_eq!(free.unwrap().release().await, Hold::Kept);
    assert_eq!(all.release().await, Hold::Kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_released_lock_is_handed_on_whatever_its_slot() {
    let cluster = Cluster::start().await;
    let (here, there) = (cluster.connect().await, cluster.connect().await);
    let patience = Patience::UpTo(Duration::from_secs(20));
    let (mut best, mut fence) = (Duration::MAX, None);
    for _ in 0..6 {
        let name = LockName::TemplateSync(ConnectionId::new());
        let guard = here.locks().lock_many([name.clone()], Patience::None).await.unwrap();
        fence = guard.fence(&name);
        let waiter = there.locks().with_held(name.clone(), patience, async |held| {
            assert!(held.fence() > fence, "{:?} after {fence:?}", held.fence());
            Instant::now()
        });
        let release = async {
            let class = coordination::LockClass::TemplateSync;
            // Long enough for the waiter to be in the queue; it asks again only after a second.
            sleep(Duration::from_millis(300)).await;
            assert!(here.locks().holders(class, 1).await.is_ok());
            let released = Instant::now();
            assert_eq!(guard.release().await, Hold::Kept);
            released
        };
        let (owned, released) = tokio::join!(waiter, release);
        let Locked::Ran(owned) = owned.unwrap() else { panic!("not owned") };
        best = best.min(owned.saturating_duration_since(released));
    }
    assert!(best < Duration::from_millis(100), "told only after {best:?}");
    assert!(fence.is_some());
}
