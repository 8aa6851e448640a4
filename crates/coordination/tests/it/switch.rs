//! Redis goes away for some processes or all: the classes that go on in PostgreSQL never have two
//! holders, and are served again.

use std::time::Duration;

use coordination::{Coordination, LockClass, LockName, Locked, Locks, Options, Patience};
use deadpool_redis::redis::cmd;
use kernel::ids::ConnectionId;
use testkit::TestDatabase;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

use crate::database::pools;
use crate::proxy::Proxy;
use crate::stack::{OwnRedis, raw};

const TTL: Duration = Duration::from_secs(2);
/// The longest that one switch takes: 3 s until it is wanted, the age of readings, the ttl, and
/// slack for a busy machine.
const SWITCH: Duration = Duration::from_secs(40);

async fn process(url: &str, database: &TestDatabase) -> Coordination {
    let options = Options {
        postgres: Some(pools(database)),
        back_after: Duration::from_secs(2),
        ..Options::new(url, "sw")
    };
    Coordination::start(options, TaskTracker::new()).await.unwrap()
}

fn locks(of: &Coordination) -> Locks {
    let max_hold = Some(Duration::from_mins(10));
    of.locks().clone().with_times(LockClass::TemplateSync, TTL, max_hold)
}

/// Asks until the lock is had; answers when.
async fn take(locks: &Locks, name: &LockName) -> Instant {
    let start = Instant::now();
    loop {
        let ran = locks.with_lock(name.clone(), Patience::None, async || Instant::now()).await;
        if let Ok(Locked::Ran(at)) = ran {
            return at;
        }
        assert!(start.elapsed() < SWITCH, "no lock within {SWITCH:?}: {ran:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Holds the lock for as long as it can; answers when it was cancelled.
async fn hold(locks: Locks, name: LockName) -> Instant {
    struct End(Option<tokio::sync::oneshot::Sender<Instant>>);
    impl Drop for End {
        fn drop(&mut self) {
            if let Some(end) = self.0.take() {
                end.send(Instant::now()).unwrap();
            }
        }
    }
    let (sender, cancelled) = tokio::sync::oneshot::channel();
    let end = End(Some(sender));
    let work = async move || {
        let _end = end;
        sleep(Duration::from_mins(10)).await;
    };
    let lost = locks.with_lock(name, Patience::None, work).await.unwrap();
    assert_eq!(lost, Locked::Lost(None));
    cancelled.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_still_reaches_redis_is_out_before_postgres_grants_its_lock() {
    let database = TestDatabase::create().await.unwrap();
    let own = OwnRedis::start().await;
    let proxy = Proxy::to(own.port()).await;
    let here = process(&own.url(), &database).await;
    let there = process(&proxy.url(), &database).await;
    let name = LockName::TemplateSync(ConnectionId::new());
    take(&locks(&here), &name).await;
    take(&locks(&there), &name).await;
    let held = tokio::spawn(hold(locks(&here), name.clone()));
    let mut redis = raw(&own.url()).await;
    let key = format!("sw:l:template_sync:connection:{{{}}}", id(&name));
    crate::stack::until("the lock is held on Redis", async || {
        crate::stack::exists(&mut redis, &key).await
    })
    .await;

    proxy.cut();
    let granted = take(&locks(&there), &name).await;
    let ended = held.await.unwrap();
    assert!(ended <= granted, "two holders for {:?}", ended - granted);
    take(&locks(&here), &name).await;
    let row = "SELECT count(*) AS count FROM coordination_backends \
               WHERE class = 'template_sync' AND backend = 'postgres' AND epoch = 1";
    assert_eq!(database.count(row).await.unwrap(), 1);

    // Once everybody reaches Redis again, the locks go back, and one on PostgreSQL ends first.
    let held = tokio::spawn(hold(locks(&there), name.clone()));
    let is_held = "SELECT count(*) AS count FROM distributed_locks WHERE expires_at > now()";
    crate::stack::until("the lock is held in PostgreSQL", async || {
        database.count(is_held).await.unwrap() == 1
    })
    .await;
    proxy.mend();
    let granted = take(&locks(&here), &name).await;
    let ended = held.await.unwrap();
    assert!(ended <= granted, "two holders for {:?}", ended - granted);
    let times: i64 = cmd("DBSIZE").query_async(&mut redis).await.unwrap();
    assert!(times > 0);
}

fn id(name: &LockName) -> String {
    match name {
        LockName::TemplateSync(id) => id.to_string(),
        _ => String::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_died_is_replaced_and_other_classes_do_as_the_registry_says() {
    let database = TestDatabase::create().await.unwrap();
    let mut own = OwnRedis::start().await;
    let here = process(&own.url(), &database).await;
    let there = process(&own.url(), &database).await;
    let name = LockName::TemplateSync(ConnectionId::new());
    take(&locks(&here), &name).await;
    own.kill();
    let lock = locks(&here).lock_for(name.clone(), Duration::ZERO).await;
    assert!(lock.is_err(), "granted while nobody knows by whom");
    take(&locks(&here), &name).await;
    let guard = locks(&here).lock_for(name.clone(), Duration::ZERO).await.unwrap().unwrap();
    let other = locks(&there).lock_for(name, Duration::ZERO).await.unwrap();
    assert!(other.is_none(), "two holders");
    drop(guard);
    let message = LockName::WebhookMessage(kernel::Wamid::new("wamid.A"));
    let skipped = here.locks().lock_many([message], Patience::None).await.unwrap();
    assert!(skipped.is_degraded());
    let export = LockName::ContactExport(kernel::ids::WorkspaceId::new());
    assert!(here.locks().lock_for(export, Duration::ZERO).await.is_err());
}
