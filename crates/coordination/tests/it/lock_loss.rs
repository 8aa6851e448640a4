//! A holder learns that it lost its lock, in time, and never takes that for success.

use std::future::pending;
use std::time::Duration;

use coordination::{Hold, LockClass, LockName, Locked, Locks, Patience};
use deadpool_redis::redis::cmd;
use kernel::Wamid;
use kernel::ids::CampaignId;
use tokio::time::{Instant, sleep};

use crate::stack::{OwnRedis, alone, connect, raw};

const TTL: Duration = Duration::from_millis(900);

/// Locks on campaigns with a short ttl, renewed up to `max_hold`.
fn renewed(locks: &Locks, max_hold: Duration) -> Locks {
    locks.clone().with_times(LockClass::CampaignSend, TTL, Some(max_hold))
}

fn campaign() -> LockName {
    LockName::CampaignSend(CampaignId::new())
}

#[tokio::test]
async fn a_renewed_lock_outlives_its_ttl() {
    let here = alone().await;
    let locks = renewed(here.locks(), Duration::from_secs(60));
    let name = campaign();
    let work = async || {
        sleep(TTL * 2).await;
        let other = locks.with_lock(name.clone(), Patience::None, async || ()).await.unwrap();
        other == Locked::Busy
    };
    let ran = locks.with_lock(name.clone(), Patience::None, work).await.unwrap();
    assert_eq!(ran, Locked::Ran(true));
}

#[tokio::test]
async fn nobody_holds_a_lock_for_longer_than_it_may_be_renewed() {
    let here = alone().await;
    let locks = renewed(here.locks(), TTL * 2);
    let (name, start) = (campaign(), Instant::now());
    let ran = locks.with_lock(name.clone(), Patience::None, pending::<()>).await.unwrap();
    assert_eq!(ran, Locked::Lost(None));
    assert!((TTL * 2..TTL * 5).contains(&start.elapsed()), "{:?}", start.elapsed());
    let next = locks.with_lock(name, Patience::None, async || ()).await.unwrap();
    assert_eq!(next, Locked::Ran(()));
}

#[tokio::test]
async fn work_that_outlives_a_lock_without_renewal_is_cancelled() {
    let here = alone().await;
    let locks = here.locks().clone().with_times(LockClass::WebhookMessage, TTL, None);
    let name = LockName::WebhookMessage(Wamid::new("wamid.A"));
    let start = Instant::now();
    let ran = locks.with_lock(name.clone(), Patience::None, pending::<()>).await.unwrap();
    assert_eq!(ran, Locked::Lost(None));
    assert!(start.elapsed() <= TTL * 3, "{:?}", start.elapsed());
    let batch = locks.lock_many([name], Patience::UpTo(TTL)).await.unwrap();
    assert!(batch.is_valid());
    sleep(TTL).await;
    assert!(!batch.is_valid(), "a batch still counts on an expired lock");
    assert_eq!(batch.release().await, Hold::Lost);
}

#[tokio::test]
async fn a_holder_whose_lock_was_flushed_is_cancelled_at_the_next_renewal() {
    let own = OwnRedis::start().await;
    let here = connect(&own.url(), "sw").await;
    let locks = renewed(here.locks(), Duration::from_secs(60));
    let mut redis = raw(&own.url()).await;
    let start = Instant::now();
    let work = async || {
        cmd("FLUSHALL").exec_async(&mut redis).await.unwrap();
        pending::<()>().await;
    };
    let ran = locks.with_lock(campaign(), Patience::None, work).await.unwrap();
    assert_eq!(ran, Locked::Lost(None));
    assert!(start.elapsed() < TTL * 8 / 10, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_holder_whose_redis_froze_is_cancelled_when_its_ttl_ends() {
    let own = OwnRedis::start().await;
    let here = connect(&own.url(), "sw").await;
    let locks = renewed(here.locks(), Duration::from_secs(60));
    let start = Instant::now();
    let work = async || {
        own.freeze();
        pending::<()>().await;
    };
    let ran = locks.with_lock(campaign(), Patience::None, work).await.unwrap();
    assert_eq!(ran, Locked::Lost(None));
    assert!(start.elapsed() <= TTL * 2, "{:?}", start.elapsed());
}
