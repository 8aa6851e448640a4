//! Locks in PostgreSQL, without any Redis.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use coordination::{Coordination, Fence, Health, Hold, LockClass, LockName, Locked, Patience};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};
use futures_util::StreamExt as _;
use kernel::Wamid;
use kernel::ids::ConnectionId;
use testkit::TestDatabase;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::database::{Room, cut, on_postgres, pass};
use crate::stack::{median, until};

const LONG: Patience = Patience::UpTo(Duration::from_secs(30));

fn message(text: &str) -> LockName {
    LockName::WebhookMessage(Wamid::new(text))
}

fn messages(numbers: std::ops::Range<u32>) -> Vec<LockName> {
    numbers.map(|n| message(&format!("wamid.{n}"))).collect()
}

/// Waits until so many processes or tasks have marked the lock as waited for.
async fn is_awaited(database: &TestDatabase) {
    let sql =
        "SELECT count(*) AS count FROM distributed_locks WHERE waiting_until > clock_timestamp()";
    until("somebody waits", async || database.count(sql).await.unwrap() == 1).await;
}

async fn visit_three_times(here: Coordination, room: Arc<Room>) {
    for _ in 0..3 {
        let work = async || room.visit(Duration::from_millis(2)).await;
        let ran = here.locks().with_lock(message("a"), LONG, work).await.unwrap();
        assert_eq!(ran, Locked::Ran(()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_row_never_has_two_holders_and_every_waiter_gets_it() {
    let database = TestDatabase::create().await.unwrap();
    let room = Arc::new(Room::default());
    let mut tasks = JoinSet::new();
    for _process in 0..3 {
        let here = on_postgres(&database).await;
        for _ in 0..6 {
            let (here, room) = (here.clone(), Arc::clone(&room));
            tasks.spawn(visit_three_times(here, room));
        }
    }
    tasks.join_all().await;
    assert_eq!(database.count("SELECT count(*) AS count FROM distributed_locks").await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_overlap_in_any_order_share_nothing_and_never_deadlock() {
    let database = TestDatabase::create().await.unwrap();
    let mut tasks = JoinSet::new();
    for process in 0..4_u32 {
        let here = on_postgres(&database).await;
        tasks.spawn(async move {
            for round in 0..10_u32 {
                let mut names = messages(0..40);
                names.rotate_left(usize::try_from((process * 7 + round * 11) % 40).unwrap());
                let all = here.locks().lock_all(names.clone(), LONG).await.unwrap().unwrap();
                assert_eq!(all.held().len(), 40);
                assert!(all.is_valid());
                assert_eq!(all.release().await, Hold::Kept);
                names.reverse();
                let some = here.locks().lock_many(names, Patience::None).await.unwrap();
                assert_eq!(some.held().len() + some.busy().len(), 40);
                assert_eq!(some.release().await, Hold::Kept);
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_or_nothing_leaves_nothing_behind_when_one_is_held() {
    let database = TestDatabase::create().await.unwrap();
    let (here, there) = (on_postgres(&database).await, on_postgres(&database).await);
    let held = here.locks().lock_many(messages(2..3), Patience::None).await.unwrap();
    let none = there.locks().lock_all(messages(0..5), Patience::None).await.unwrap();
    assert!(none.is_none());
    let rows = "SELECT count(*) AS count FROM distributed_locks";
    assert_eq!(database.count(rows).await.unwrap(), 1);
    let rest = there.locks().lock_many(messages(0..5), Patience::None).await.unwrap();
    assert_eq!((rest.held().len(), rest.busy()), (4, messages(2..3).as_slice()));
    assert_eq!(held.release().await, Hold::Kept);
    assert_eq!(rest.release().await, Hold::Kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_holder_neither_frees_nor_believes_that_it_holds() {
    let database = TestDatabase::create().await.unwrap();
    let (class, ttl) = (LockClass::WebhookMessage, Duration::from_millis(400));
    let here = on_postgres(&database).await;
    let slow = here.locks().clone().with_times(class, ttl, None);
    let first = slow.lock_many([message("a")], Patience::None).await.unwrap();
    let there = on_postgres(&database).await;
    let second = there.locks().lock_many([message("a")], LONG).await.unwrap();
    assert!(!first.is_valid() && second.is_valid(), "taken over before it ran out");
    assert_eq!(first.release().await, Hold::Lost);
    assert_eq!(pass(&here, message("a"), Patience::None).await, Locked::Busy);
    assert_eq!(second.release().await, Hold::Kept);
    assert_eq!(pass(&here, message("a"), Patience::None).await, Locked::Ran(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fences_grow_across_processes_releases_expiry_and_clean_up() {
    let database = TestDatabase::create().await.unwrap();
    let name = LockName::TemplateSync(ConnectionId::new());
    let (here, there) = (on_postgres(&database).await, on_postgres(&database).await);
    let mut last: Option<Fence> = None;
    for round in 0..6 {
        let at = if round % 2 == 0 { &here } else { &there };
        let guard = at.locks().lock_for(name.clone(), Duration::ZERO).await.unwrap().unwrap();
        let fence = guard.fence(&name).expect("this class is fenced");
        assert!(last < Some(fence), "{last:?} then {fence}");
        last = Some(fence);
        assert_eq!(guard.release().await, Hold::Kept);
        if round == 3 {
            // As if a faster clock had given it.
            let ahead = "UPDATE distributed_locks SET fence = fence + 3600000000";
            database.execute(ahead).await.unwrap();
        }
        if round > 3 {
            let is_ahead = "SELECT count(*) AS count FROM distributed_locks \
                            WHERE fence > 3600000000 + extract(epoch FROM now() - interval '1 minute') * 1000000";
            assert_eq!(database.count(is_ahead).await.unwrap(), 1, "the fence fell back");
        }
    }
    let kept = "SELECT count(*) AS count FROM distributed_locks WHERE fence IS NOT NULL \
                AND expires_at < clock_timestamp()";
    assert_eq!(database.count(kept).await.unwrap(), 1, "the fence outlives its lock");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_wakes_its_waiter_long_before_it_would_ask_again() {
    let database = TestDatabase::create().await.unwrap();
    let (here, there) = (on_postgres(&database).await, on_postgres(&database).await);
    let mut waits = Vec::new();
    for round in 0..7 {
        let name = message(&format!("wamid.{round}"));
        let guard = here.locks().lock_many([name.clone()], Patience::None).await.unwrap();
        let waiter = there.clone();
        let waiting = tokio::spawn(async move {
            let ran = waiter.locks().with_lock(name, LONG, async || Instant::now()).await;
            match ran.unwrap() {
                Locked::Ran(at) => at,
                other => panic!("{other:?}"),
            }
        });
        is_awaited(&database).await;
        let released = Instant::now();
        assert_eq!(guard.release().await, Hold::Kept);
        waits.push(waiting.await.unwrap() - released);
    }
    // Who is not told asks again after a second.
    let typical = median(waits);
    assert!(typical < Duration::from_millis(300), "woken after {typical:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_nobody_waits_for_notifies_nobody() {
    let database = TestDatabase::create().await.unwrap();
    let here = on_postgres(&database).await;
    let mut listener = AsyncPgConnection::establish(database.url()).await.unwrap();
    listener.batch_execute("LISTEN switchyard_locks").await.unwrap();
    for n in 0..5 {
        assert_eq!(pass(&here, message(&format!("{n}")), Patience::None).await, Locked::Ran(()));
    }
    database.execute("NOTIFY switchyard_locks, 'the end'").await.unwrap();
    let mut notices = pin!(listener.notifications_stream());
    assert_eq!(notices.next().await.unwrap().unwrap().payload, "the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_when_the_listeners_are_killed_is_not_stranded() {
    let database = TestDatabase::create().await.unwrap();
    let (here, there) = (on_postgres(&database).await, on_postgres(&database).await);
    for round in 0..3 {
        let name = message(&format!("wamid.{round}"));
        let guard = here.locks().lock_many([name.clone()], Patience::None).await.unwrap();
        let waiter = there.clone();
        let waiting = tokio::spawn(async move { pass(&waiter, name, LONG).await });
        is_awaited(&database).await;
        cut(&database, "query LIKE 'LISTEN%'").await;
        assert_eq!(guard.release().await, Hold::Kept);
        assert_eq!(waiting.await.unwrap(), Locked::Ran(()));
    }
}

async fn is_back(here: &Coordination) {
    until("locks can be had again", async || {
        here.locks().with_lock(message("again"), Patience::None, async || ()).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_gone_for_a_moment_refuses_at_once_and_then_serves_again() {
    let database = TestDatabase::create().await.unwrap();
    let here = on_postgres(&database).await;
    let sync = || LockName::TemplateSync(ConnectionId::new());
    let held = here.locks().lock_for(sync(), Duration::ZERO).await.unwrap().unwrap();
    let admin = TestDatabase::create_empty().await.unwrap();
    let name = database.url().rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    let allow = async |allowed: bool| {
        let sql = format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS {allowed}");
        admin.execute(&sql).await.unwrap();
    };
    allow(false).await;
    let kill =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    admin.execute(&kill).await.unwrap();
    until("the loss is noticed", async || {
        let _refused = here.locks().lock_for(sync(), Duration::ZERO).await.is_err();
        here.health() == Health::Away
    })
    .await;
    assert!(here.locks().lock_for(sync(), Duration::ZERO).await.is_err(), "granted by nobody");
    // What runs unlocked under a protection goes on.
    assert_eq!(pass(&here, message("a"), Patience::None).await, Locked::Ran(()));
    allow(true).await;
    is_back(&here).await;
    until("this class is served, too", async || {
        here.locks().lock_for(sync(), Duration::ZERO).await.is_ok()
    })
    .await;
    assert_eq!(here.health(), Health::Available);
    assert_eq!(held.release().await, Hold::Kept, "its row outlived the outage");
}
