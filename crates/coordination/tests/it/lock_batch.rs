//! Many locks at once, and many at one lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use coordination::{Coordination, Hold, LockName, Locked, Patience};
use deadpool_redis::redis::cmd;
use kernel::Wamid;
use tokio::task::JoinSet;

use crate::stack::{OwnRedis, connect, fresh_namespace, raw, shared_url, until};

fn messages(numbers: std::ops::Range<u32>) -> Vec<LockName> {
    numbers.map(|n| LockName::WebhookMessage(Wamid::new(format!("wamid.{n}")))).collect()
}

#[tokio::test]
async fn two_batches_that_overlap_never_hold_the_same_message() {
    let namespace = fresh_namespace();
    let here = connect(&shared_url(), &namespace).await;
    let there = connect(&shared_url(), &namespace).await;
    let first = here.locks().lock_many(messages(0..150), Patience::None).await.unwrap();
    let second = there.locks().lock_many(messages(100..250), Patience::None).await.unwrap();
    assert_eq!((first.held().len(), first.busy().len()), (150, 0));
    assert_eq!(second.held(), messages(150..250));
    assert_eq!(second.busy(), messages(100..150));
    assert!(first.is_valid() && !first.is_degraded());
    assert_eq!(second.release().await, Hold::Kept);
    assert_eq!(first.release().await, Hold::Kept);
    let third = there.locks().lock_many(messages(0..250), Patience::None).await.unwrap();
    assert_eq!(third.busy(), []);
    assert_eq!(third.release().await, Hold::Kept);
}

#[tokio::test]
async fn a_patient_batch_waits_for_its_busy_locks_only() {
    let namespace = fresh_namespace();
    let here = connect(&shared_url(), &namespace).await;
    let there = connect(&shared_url(), &namespace).await;
    let first = here.locks().lock_many(messages(0..2), Patience::None).await.unwrap();
    let patience = Patience::UpTo(Duration::from_secs(5));
    let (released, second) =
        tokio::join!(first.release(), there.locks().lock_many(messages(1..4), patience));
    let second = second.unwrap();
    assert_eq!((released, second.busy().len(), second.held().len()), (Hold::Kept, 0, 3));
    assert_eq!(second.release().await, Hold::Kept);
}

#[tokio::test]
async fn a_name_given_twice_counts_once() {
    let here = crate::stack::alone().await;
    let names = [messages(0..3), messages(0..3)].concat();
    let guard = here.locks().lock_many(names, Patience::None).await.unwrap();
    assert_eq!((guard.held(), guard.busy()), (messages(0..3).as_slice(), [].as_slice()));
    assert_eq!(guard.release().await, Hold::Kept);
}

#[tokio::test]
async fn a_batch_of_250_costs_two_round_trips() {
    let own = OwnRedis::start().await;
    let here = connect(&own.url(), "sw").await;
    // Teaches Redis the scripts.
    let warm = here.locks().lock_many(messages(0..1), Patience::None).await.unwrap();
    assert_eq!(warm.release().await, Hold::Kept);
    let mut redis = raw(&own.url()).await;
    cmd("CONFIG").arg("RESETSTAT").exec_async(&mut redis).await.unwrap();
    let guard = here.locks().lock_many(messages(0..250), Patience::None).await.unwrap();
    assert_eq!(guard.release().await, Hold::Kept);
    let stats: String = cmd("INFO").arg("commandstats").query_async(&mut redis).await.unwrap();
    assert!(stats.contains("cmdstat_evalsha:calls=2,"), "{stats}");
}

async fn work_alone(here: Coordination, inside: Arc<AtomicU32>) -> Locked<()> {
    let work = async || {
        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two holders");
        tokio::time::sleep(Duration::from_millis(2)).await;
        inside.fetch_sub(1, Ordering::SeqCst);
    };
    let patience = Patience::UpTo(Duration::from_secs(20));
    let name = LockName::WebhookMessage(Wamid::new("wamid.0"));
    here.locks().with_lock(name, patience, work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_lock_never_has_two_holders_and_every_waiter_gets_it() {
    const TASKS: u32 = 16;
    let namespace = fresh_namespace();
    let inside = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();
    for _process in 0..2 {
        let here = connect(&shared_url(), &namespace).await;
        for _ in 0..TASKS / 2 {
            tasks.spawn(work_alone(here.clone(), Arc::clone(&inside)));
        }
    }
    let ran = tasks.join_all().await;
    assert!(ran.iter().all(|ran| matches!(ran, Locked::Ran(_))), "{ran:?}");
}

#[tokio::test]
async fn a_batch_hands_on_the_one_that_is_waited_for_and_frees_the_others() {
    let own = OwnRedis::start().await;
    let (here, there) = (connect(&own.url(), "sw").await, connect(&own.url(), "sw").await);
    let guard = here.locks().lock_many(messages(0..50), Patience::None).await.unwrap();
    let patience = Patience::UpTo(Duration::from_secs(20));
    let mut redis = raw(&own.url()).await;
    let release = async {
        until("it waits", async || {
            let queue = "sw:q:webhook_message:{wamid.17}";
            let waiting: u64 =
                cmd("LLEN").arg(queue).query_async(&mut redis.clone()).await.unwrap();
            waiting == 1
        })
        .await;
        guard.release().await
    };
    let (waited, released) =
        tokio::join!(there.locks().lock_many(messages(17..18), patience), release);
    let waited = waited.unwrap();
    assert_eq!((waited.held(), released), (messages(17..18).as_slice(), Hold::Kept));
    let again = here.locks().lock_many(messages(0..50), Patience::None).await.unwrap();
    assert_eq!((again.held().len(), again.busy()), (49, messages(17..18).as_slice()));
    assert_eq!(again.release().await, Hold::Kept);
    assert_eq!(waited.release().await, Hold::Kept);
    let left: u64 = cmd("EXISTS")
        .arg("sw:l:webhook_message:{wamid.17}")
        .arg("sw:l:webhook_message:{wamid.16}")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn one_busy_lock_among_many_is_told_apart_and_stays_its_owners() {
    let namespace = fresh_namespace();
    let here = connect(&shared_url(), &namespace).await;
    let there = connect(&shared_url(), &namespace).await;
    let first = here.locks().lock_many(messages(41..42), Patience::None).await.unwrap();
    let second = there.locks().lock_many(messages(0..100), Patience::None).await.unwrap();
    assert_eq!(second.busy(), messages(41..42));
    assert_eq!(second.held(), [messages(0..41), messages(42..100)].concat());
    assert_eq!(second.release().await, Hold::Kept);
    assert_eq!(first.release().await, Hold::Kept);
}

#[tokio::test]
async fn a_batch_that_lost_one_of_its_locks_says_so_and_frees_the_others_only() {
    let namespace = fresh_namespace();
    let here = connect(&shared_url(), &namespace).await;
    let guard = here.locks().lock_many(messages(0..20), Patience::None).await.unwrap();
    let mut redis = raw(&shared_url()).await;
    let key = |n: u32| format!("{namespace}:l:webhook_message:{{wamid.{n}}}");
    cmd("SET").arg(key(7)).arg("another").exec_async(&mut redis).await.unwrap();
    assert_eq!(guard.release().await, Hold::Lost);
    let others = cmd("GET").arg(key(7)).query_async::<String>(&mut redis).await.unwrap();
    let freed: u64 = cmd("EXISTS").arg(key(6)).arg(key(8)).query_async(&mut redis).await.unwrap();
    assert_eq!((others.as_str(), freed), ("another", 0));
    cmd("DEL").arg(key(7)).exec_async(&mut redis).await.unwrap();
}
