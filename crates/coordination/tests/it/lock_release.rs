//! A lock is free again after every way out of the work it protects, and only then.

use std::future::pending;
use std::time::Duration;

use coordination::{Coordination, LockName, Locked, Patience};
use deadpool_redis::redis::cmd;
use kernel::Wamid;
use tokio::sync::oneshot;
use tokio::time::timeout;
use uuid::Uuid;

use crate::stack::{alone, connect, exists, fresh_namespace, median, raw, shared_url, until};

fn message() -> LockName {
    LockName::WebhookMessage(Wamid::new(format!("wamid.{}", Uuid::now_v7().simple())))
}

async fn assert_free(of: &Coordination, name: LockName) {
    let again = of.locks().with_lock(name, Patience::None, async || ()).await.unwrap();
    assert_eq!(again, Locked::Ran(()), "the lock was left behind");
}

#[tokio::test]
async fn a_lock_is_spelled_as_the_registry_says_and_free_after_the_work_returns() {
    let namespace = fresh_namespace();
    let here = connect(&shared_url(), &namespace).await;
    let mut redis = raw(&shared_url()).await;
    let key = format!("{namespace}:l:webhook_message:{{wamid.A}}");
    let name = LockName::WebhookMessage(Wamid::new("wamid.A"));
    let work = async || exists(&mut raw(&shared_url()).await, &key).await;
    let ran = here.locks().with_lock(name, Patience::None, work).await.unwrap();
    assert_eq!(ran, Locked::Ran(true));
    assert!(!exists(&mut redis, &key).await);
}

#[tokio::test]
async fn free_after_the_work_fails() {
    let here = alone().await;
    let name = message();
    let work = async || Err::<(), _>("no");
    let ran = here.locks().with_lock(name.clone(), Patience::None, work).await.unwrap();
    assert_eq!(ran, Locked::Ran(Err("no")));
    assert_free(&here, name).await;
}

/// Panics inside the lock, or stays there until it is cancelled.
async fn leave_early(
    here: Coordination,
    name: LockName,
    started: oneshot::Sender<()>,
    panics: bool,
) {
    let work = async || {
        started.send(()).unwrap();
        assert!(!panics, "a panic that the test wants");
        pending::<()>().await;
    };
    let _never = here.locks().with_lock(name, Patience::None, work).await.is_ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn free_within_ten_milliseconds_after_a_panic_or_a_cancellation() {
    let namespace = fresh_namespace();
    let here = connect(&shared_url(), &namespace).await;
    let mut redis = raw(&shared_url()).await;
    let mut times = Vec::new();
    for round in 0..20 {
        let wamid = format!("wamid.{round}");
        let key = format!("{namespace}:l:webhook_message:{{{wamid}}}");
        let (started, has_started) = oneshot::channel();
        let name = LockName::WebhookMessage(Wamid::new(wamid));
        let holder = tokio::spawn(leave_early(here.clone(), name, started, round % 2 == 0));
        has_started.await.unwrap();
        holder.abort();
        assert!(holder.await.is_err());
        times.push(until("the lock is free", async || !exists(&mut redis, &key).await).await);
    }
    let typical = median(times);
    assert!(typical <= Duration::from_millis(10), "typically free after {typical:?}");
}

#[tokio::test]
async fn free_after_a_guard_is_dropped_where_no_runtime_is_entered() {
    let here = alone().await;
    let name = message();
    let guard = here.locks().lock_many([name.clone()], Patience::None).await.unwrap();
    std::thread::spawn(move || drop(guard)).join().unwrap();
    until("the lock is free", async || {
        let again = here.locks().with_lock(name.clone(), Patience::None, async || ()).await;
        again.unwrap() == Locked::Ran(())
    })
    .await;
}

#[tokio::test]
async fn a_waiter_that_gives_up_leaves_nothing_behind() {
    let here = alone().await;
    let name = message();
    let holder = here.locks().lock_many([name.clone()], Patience::None).await.unwrap();
    let patient = Patience::UpTo(Duration::from_secs(60));
    let waiter = here.locks().with_lock(name.clone(), patient, async || ());
    assert!(timeout(Duration::from_millis(100), waiter).await.is_err());
    holder.release().await;
    // It may be handed to the cancelled waiter, who gives it back at once.
    let freed = until("the lock is free", async || {
        let again = here.locks().with_lock(name.clone(), Patience::None, async || ()).await;
        again.unwrap() == Locked::Ran(())
    })
    .await;
    assert!(freed < Duration::from_millis(500), "free only after {freed:?}");
}

#[tokio::test]
async fn nobody_can_release_the_lock_of_another_owner() {
    let namespace = fresh_namespace();
    let here = connect(&shared_url(), &namespace).await;
    let mut redis = raw(&shared_url()).await;
    let key = format!("{namespace}:l:webhook_message:{{wamid.A}}");
    let name = LockName::WebhookMessage(Wamid::new("wamid.A"));
    let work = async || {
        // The lock is taken over while its first owner still works.
        let mut redis = raw(&shared_url()).await;
        cmd("SET")
            .arg(&key)
            .arg("another")
            .arg("PX")
            .arg(5_000)
            .exec_async(&mut redis)
            .await
            .unwrap();
        7
    };
    let ran = here.locks().with_lock(name, Patience::None, work).await.unwrap();
    assert_eq!(ran, Locked::Lost(Some(7)), "a loss was reported as success");
    let owner: String = cmd("GET").arg(&key).query_async(&mut redis).await.unwrap();
    assert_eq!(owner, "another");
}

#[tokio::test]
async fn busy_for_a_hasty_caller_and_taken_by_a_patient_one() {
    let namespace = fresh_namespace();
    let here = connect(&shared_url(), &namespace).await;
    let there = connect(&shared_url(), &namespace).await;
    let name = message();
    let (started, has_started) = oneshot::channel();
    let (finish, may_finish) = oneshot::channel();
    let holder = here.locks().with_lock(name.clone(), Patience::None, async || {
        started.send(()).unwrap();
        may_finish.await.unwrap();
    });
    let others = async {
        has_started.await.unwrap();
        let hasty = there.locks().with_lock(name.clone(), Patience::None, async || ()).await;
        finish.send(()).unwrap();
        let patience = Patience::of(name.class());
        let patient = there.locks().with_lock(name.clone(), patience, async || ()).await;
        (hasty.unwrap(), patient.unwrap())
    };
    let (_, (hasty, patient)) = tokio::join!(holder, others);
    assert_eq!((hasty, patient), (Locked::Busy, Locked::Ran(())));
}

#[tokio::test]
async fn with_lock_can_be_awaited_in_a_spawned_task_and_borrow() {
    async fn handle(here: &Coordination, reply: &str) -> Locked<usize> {
        let work = async || reply.len();
        here.locks().with_lock(message(), Patience::None, work).await.unwrap()
    }
    let here = alone().await;
    let ran = tokio::spawn(async move { handle(&here, "hello").await }).await.unwrap();
    assert_eq!(ran, Locked::Ran(5));
}
