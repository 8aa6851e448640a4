//! Renewals and releases come in time whatever the runtime and Redis do.

use std::future::pending;
use std::time::Duration;

use coordination::{Coordination, Hold, LockClass, LockName, Locked, Patience};
use deadpool_redis::redis::cmd;
use kernel::ids::CampaignId;
use kernel::ids::ConnectionId;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::stack::{OwnRedis, alone, connect, raw, until};

fn campaign() -> LockName {
    LockName::CampaignSend(CampaignId::new())
}

#[tokio::test]
async fn ten_thousand_locks_outlive_their_ttl_while_the_runtime_is_busy() {
    let here = alone().await;
    let ttl = Duration::from_secs(3);
    let hour = Some(Duration::from_hours(1));
    let locks = here.locks().clone().with_times(LockClass::CampaignSend, ttl, hour);
    let mut guards = Vec::new();
    for _ in 0..40 {
        let names = (0..250).map(|_| campaign());
        guards.push(locks.lock_many(names, Patience::None).await.unwrap());
    }
    // Nothing of this runtime can run meanwhile.
    std::thread::sleep(ttl * 2);
    assert!(guards.iter().all(|guard| guard.held().len() == 250 && guard.is_valid()));
    for guard in guards {
        assert_eq!(guard.release().await, Hold::Kept);
    }
}

#[tokio::test]
async fn a_guard_that_nobody_awaits_tells_its_loss() {
    let here = alone().await;
    let second = Duration::from_secs(1);
    let locks = here.locks().clone().with_times(LockClass::WebhookConnection, second, None);
    let name = LockName::WebhookConnection(ConnectionId::new());
    let mut guard = locks.lock_for(name, Duration::ZERO).await.unwrap().unwrap();
    let held = guard.watch();
    assert!(held.check().is_ok());
    assert!(held.valid_for() <= second);
    timeout(second * 5, held.lost().cancelled()).await.unwrap();
    assert!(held.check().is_err());
    assert_eq!(held.valid_for(), Duration::ZERO);
    assert_eq!(guard.release().await, Hold::Lost);
}

#[tokio::test]
async fn a_restart_without_persistence_is_a_loss_and_never_a_success() {
    let mut own = OwnRedis::start().await;
    let here = connect(&own.url(), "sw").await;
    let ttl = Duration::from_secs(2);
    let hour = Some(Duration::from_hours(1));
    let locks = here.locks().clone().with_times(LockClass::CampaignSend, ttl, hour);
    let start = Instant::now();
    let work = async || {
        own.kill();
        own.start_again().await;
        pending::<()>().await;
    };
    let ran = locks.with_lock(campaign(), Patience::None, work).await.unwrap();
    assert_eq!(ran, Locked::Lost(None));
    assert!(start.elapsed() < ttl * 2, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_passing_fault_between_renewals_costs_nobody_the_lock() {
    let own = OwnRedis::start().await;
    let here = connect(&own.url(), "sw").await;
    let ttl = Duration::from_secs(6);
    let hour = Some(Duration::from_hours(1));
    let locks = here.locks().clone().with_times(LockClass::CampaignSend, ttl, hour);
    let mut redis = raw(&own.url()).await;
    let work = async || {
        // Every connection is cut, again and again, during two ttls' worth of renewals.
        for _ in 0..12 {
            sleep(Duration::from_secs(1)).await;
            let mut kill = cmd("CLIENT");
            kill.arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]);
            kill.exec_async(&mut redis).await.unwrap();
        }
    };
    let ran = locks.with_lock(campaign(), Patience::None, work).await.unwrap();
    assert_eq!(ran, Locked::Ran(()));
}

async fn cycle(here: Coordination) {
    for _ in 0..100 {
        let sync = LockName::TemplateSync(ConnectionId::new());
        let ran = here.locks().with_lock(sync, Patience::None, async || ()).await.unwrap();
        assert_eq!(ran, Locked::Ran(()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_forgets_its_scripts_under_load_fails_nobody() {
    let own = OwnRedis::start().await;
    let here = connect(&own.url(), "sw").await;
    let mut redis = raw(&own.url()).await;
    let mut load = JoinSet::new();
    for _ in 0..8 {
        load.spawn(cycle(here.clone()));
    }
    let flush = async {
        loop {
            cmd("SCRIPT").arg("FLUSH").exec_async(&mut redis).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = flush => (),
        cycled = timeout(Duration::from_secs(60), load.join_all()) => { cycled.unwrap(); }
    }
}

#[tokio::test]
async fn a_hundred_dropped_locks_are_free_within_ten_milliseconds() {
    let own = OwnRedis::start().await;
    let here = connect(&own.url(), "sw").await;
    let mut redis = raw(&own.url()).await;
    let mut times = Vec::new();
    for _ in 0..10 {
        let names: Vec<LockName> = (0..100).map(|_| campaign()).collect();
        let guard = here.locks().lock_many(names, Patience::None).await.unwrap();
        drop(guard);
        let start = Instant::now();
        until("all are free", async || {
            let left: Vec<String> =
                cmd("KEYS").arg("sw:l:*").query_async(&mut redis).await.unwrap();
            left.is_empty()
        })
        .await;
        times.push(start.elapsed());
    }
    let typical = crate::stack::median(times);
    assert!(typical <= Duration::from_millis(10), "typically free after {typical:?}");
}
