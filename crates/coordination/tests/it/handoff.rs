//! A released lock goes to whoever has waited longest and still listens; nobody waits in vain.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use coordination::{Coordination, LockClass, LockName, Locked, Patience};
use deadpool_redis::redis::cmd;
use kernel::Wamid;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::stack::{OwnRedis, connect, fresh_namespace, raw, shared_url, until};

const LONG: Patience = Patience::UpTo(Duration::from_secs(20));

fn message() -> LockName {
    LockName::WebhookMessage(Wamid::new("wamid.A"))
}

/// How many wait for the message's lock.
async fn waiting(url: &str, namespace: &str) -> u64 {
    let key = format!("{namespace}:q:webhook_message:{{wamid.A}}");
    cmd("LLEN").arg(key).query_async(&mut raw(url).await).await.unwrap()
}

async fn until_waiting(url: &str, namespace: &str, count: u64) {
    until("they wait", async || waiting(url, namespace).await == count).await;
}

async fn take_turn(here: Coordination, number: u32, turns: UnboundedSender<u32>) {
    let work = async || turns.send(number).unwrap();
    assert_eq!(here.locks().with_lock(message(), LONG, work).await.unwrap(), Locked::Ran(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiters_of_several_processes_are_served_in_the_order_in_which_they_came() {
    let (url, namespace) = (shared_url(), fresh_namespace());
    let processes = [connect(&url, &namespace).await, connect(&url, &namespace).await];
    let guard = processes[0].locks().lock_many([message()], Patience::None).await.unwrap();
    let (turns, mut taken) = unbounded_channel();
    let mut waiters = JoinSet::new();
    for number in 0..10_u32 {
        let here = processes[usize::from(number % 2 == 0)].clone();
        waiters.spawn(take_turn(here, number, turns.clone()));
        until_waiting(&url, &namespace, u64::from(number) + 1).await;
    }
    guard.release().await;
    waiters.join_all().await;
    drop(turns);
    let mut order = Vec::new();
    while let Some(number) = taken.recv().await {
        order.push(number);
    }
    assert_eq!(order, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_waiter_is_told_long_before_it_would_ask_again() {
    let (url, namespace) = (shared_url(), fresh_namespace());
    let (here, there) = (connect(&url, &namespace).await, connect(&url, &namespace).await);
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let guard = here.locks().lock_many([message()], Patience::None).await.unwrap();
        let waiter = there.locks().with_lock(message(), LONG, async || Instant::now());
        let release = async {
            until_waiting(&url, &namespace, 1).await;
            let released = Instant::now();
            guard.release().await;
            released
        };
        let (owned, released) = tokio::join!(waiter, release);
        let Locked::Ran(owned) = owned.unwrap() else { panic!("not owned") };
        best = best.min(owned.saturating_duration_since(released));
    }
    // Whoever asks again does so after a second.
    assert!(best < Duration::from_millis(100), "told only after {best:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_waiters_half_are_cancelled_and_the_others_are_all_served() {
    let (url, namespace) = (shared_url(), fresh_namespace());
    let processes = [connect(&url, &namespace).await, connect(&url, &namespace).await];
    let guard = processes[0].locks().lock_many([message()], Patience::None).await.unwrap();
    let (turns, mut taken) = unbounded_channel();
    let (mut doomed, mut others) = (Vec::new(), JoinSet::new());
    for number in 0..64_u32 {
        let turn = take_turn(processes[usize::from(number % 4 < 2)].clone(), number, turns.clone());
        if number % 2 == 0 {
            doomed.push(tokio::spawn(turn));
        } else {
            others.spawn(turn);
        }
    }
    until_waiting(&url, &namespace, 64).await;
    doomed.iter().for_each(tokio::task::JoinHandle::abort);
    // At once: most of the cancelled are still in the queue.
    guard.release().await;
    timeout(Duration::from_secs(5), others.join_all()).await.unwrap();
    drop(turns);
    for waiter in doomed {
        // One that owned the lock already may have ended well.
        let _cancelled = waiter.await.is_err();
    }
    let mut served = Vec::new();
    while let Some(number) = taken.recv().await {
        served.push(number);
    }
    served.retain(|number| number % 2 == 1);
    assert_eq!(served.len(), 32);
    assert!(!lock_exists(&url, &namespace).await, "the lock is held by a cancelled waiter");
}

async fn lock_exists(url: &str, namespace: &str) -> bool {
    let key = format!("{namespace}:l:webhook_message:{{wamid.A}}");
    let mut redis = raw(url).await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        if !crate::stack::exists(&mut redis, &key).await {
            return false;
        }
        sleep(Duration::from_millis(5)).await;
    }
    true
}

#[tokio::test]
async fn waiters_of_a_dead_process_are_skipped_at_once() {
    let (url, namespace) = (shared_url(), fresh_namespace());
    let here = connect(&url, &namespace).await;
    let guard = here.locks().lock_many([message()], Patience::None).await.unwrap();
    // What a process leaves that was killed while 32 of its tasks waited.
    let queue = format!("{namespace}:q:webhook_message:{{wamid.A}}");
    let mut redis = raw(&url).await;
    for number in 0..32 {
        let dead = "0192aaaabbbb7cccaddd0000000000";
        let entry = format!(
            "{namespace}:w:dead 30000 0 webhook_message:{{wamid.A}} {dead}{number:02}@dead/1"
        );
        cmd("RPUSH").arg(&queue).arg(entry).exec_async(&mut redis).await.unwrap();
    }
    let waiter = here.locks().with_lock(message(), LONG, async || Instant::now());
    let release = async {
        until_waiting(&url, &namespace, 33).await;
        let released = Instant::now();
        guard.release().await;
        released
    };
    let (owned, released) = tokio::join!(waiter, release);
    let Locked::Ran(owned) = owned.unwrap() else { panic!("not owned") };
    let after = owned.saturating_duration_since(released);
    assert!(after < Duration::from_millis(500), "owned only after {after:?}");
}

#[tokio::test]
async fn a_release_while_the_subscriber_is_cut_off_strands_nobody() {
    let own = OwnRedis::start().await;
    let (url, namespace) = (own.url(), "sw");
    let (here, there) = (connect(&url, namespace).await, connect(&url, namespace).await);
    let mut redis = raw(&url).await;
    for _ in 0..3 {
        let guard = here.locks().lock_many([message()], Patience::None).await.unwrap();
        // Less than the second after which it would ask again by itself.
        let patience = Patience::UpTo(Duration::from_millis(900));
        let waiter = there.locks().with_lock(message(), patience, async || ());
        let cut = async {
            until_waiting(&url, namespace, 1).await;
            cmd("CLIENT").arg(&["KILL", "TYPE", "pubsub"]).exec_async(&mut redis).await.unwrap();
            // Nobody listens now: the wake-up is lost.
            guard.release().await;
        };
        let (waited, ()) = tokio::join!(waiter, cut);
        assert_eq!(waited.unwrap(), Locked::Ran(()), "the lost wake-up was not made up for");
    }
}

#[tokio::test]
async fn a_handed_lock_is_valid_no_longer_than_its_ttl_from_the_last_question() {
    let (url, namespace) = (shared_url(), fresh_namespace());
    let ttl = Duration::from_secs(2);
    let times =
        |here: &Coordination| here.locks().clone().with_times(LockClass::WebhookMessage, ttl, None);
    let (here, there) = (connect(&url, &namespace).await, connect(&url, &namespace).await);
    let (here, there) = (times(&here), times(&there));
    let guard = here.lock_many([message()], Patience::None).await.unwrap();
    let waiter = there.with_held(message(), LONG, async |held| held.valid_for());
    let release = async {
        until_waiting(&url, &namespace, 1).await;
        sleep(Duration::from_millis(300)).await;
        guard.release().await;
    };
    let (valid, ()) = tokio::join!(waiter, release);
    let Locked::Ran(valid) = valid.unwrap() else { panic!("not owned") };
    assert!(valid <= ttl - Duration::from_millis(300), "counts from the hand-off: {valid:?}");
    assert!(valid >= ttl / 2, "asked too seldom: {valid:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_want_all_or_nothing_never_wait_for_each_other() {
    let (url, namespace) = (shared_url(), fresh_namespace());
    let inside = Arc::new(AtomicU32::new(0));
    let names = |numbers: [u32; 3]| {
        numbers.map(|n| LockName::WebhookMessage(Wamid::new(format!("wamid.{n}"))))
    };
    let mut batches = JoinSet::new();
    for (number, wanted) in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]].into_iter().enumerate() {
        let here = connect(&url, &namespace).await;
        let inside = Arc::clone(&inside);
        batches.spawn(async move {
            for _ in 0..5 {
                let guard = here.locks().lock_all(names(wanted), LONG).await.unwrap();
                let guard = guard.unwrap_or_else(|| panic!("batch {number} starved"));
                assert_eq!(guard.held().len(), 3);
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two holders");
                sleep(Duration::from_millis(2)).await;
                inside.fetch_sub(1, Ordering::SeqCst);
                guard.release().await;
            }
        });
    }
    timeout(Duration::from_secs(20), batches.join_all()).await.unwrap();
}

#[tokio::test]
async fn all_or_nothing_takes_nothing_when_one_is_busy() {
    let here = crate::stack::alone().await;
    let names = ["a", "b", "c"].map(|n| LockName::WebhookMessage(Wamid::new(n)));
    let holder = here.locks().lock_many([names[1].clone()], Patience::None).await.unwrap();
    let none = here.locks().lock_all(names.clone(), Patience::None).await.unwrap();
    assert!(none.is_none());
    let others = [names[0].clone(), names[2].clone()];
    let free = here.locks().lock_all(others, Patience::None).await.unwrap().unwrap();
    assert_eq!(free.held().len(), 2);
    free.release().await;
    holder.release().await;
}

#[tokio::test]
async fn a_wake_up_that_comes_late_does_not_take_the_lock_from_its_holder() {
    let (url, namespace) = (shared_url(), fresh_namespace());
    let here = connect(&url, &namespace).await;
    let mut redis = raw(&url).await;
    let guard = here.locks().lock_many([message()], Patience::None).await.unwrap();
    let queue = format!("{namespace}:q:webhook_message:{{wamid.A}}");
    let release = async {
        until_waiting(&url, &namespace, 1).await;
        let entry: String = cmd("LINDEX").arg(&queue).arg(0).query_async(&mut redis).await.unwrap();
        guard.release().await;
        entry
    };
    let waiter = here.locks().lock_many([message()], LONG);
    let (held, entry) = tokio::join!(waiter, release);
    let held = held.unwrap();
    assert!(held.busy().is_empty());
    // Its wake-up once more: as if it had asked again and been told "yours" before it came.
    let mut fields = entry.splitn(5, ' ');
    let (channel, name, value) =
        (fields.next().unwrap(), fields.nth(2).unwrap(), fields.next().unwrap());
    let late = format!("0 {} {name}", value.get(..32).unwrap());
    let told: u32 = cmd("PUBLISH").arg(channel).arg(late).query_async(&mut redis).await.unwrap();
    assert_eq!(told, 1);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(held.release().await, coordination::Hold::Kept);
}
