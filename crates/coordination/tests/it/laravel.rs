//! During a move a Laravel application and ours exclude each other: same keys, plain owners.

use std::time::Duration;

use coordination::{Coordination, Hold, LockName, Locked, Options, Patience};
use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{Script, cmd};
use kernel::ids::ConnectionId;
use tokio_util::task::TaskTracker;

use crate::stack::{OwnRedis, exists, raw};

const PREFIX: &str = "laravel_database_laravel_cache:";

async fn beside_laravel(own: &OwnRedis) -> Coordination {
    let mut options = Options::new(&own.url(), "sw");
    options.laravel_prefix = Some(PREFIX.to_owned());
    Coordination::start(options, TaskTracker::new()).await.unwrap()
}

/// `RedisLock::acquire` of Laravel.
async fn laravel_acquires(redis: &mut MultiplexedConnection, name: &str, owner: &str) -> bool {
    let mut set = cmd("SET");
    set.arg(format!("{PREFIX}{name}")).arg(owner).arg("EX").arg(60).arg("NX");
    set.query_async(redis).await.unwrap()
}

/// `RedisLock::release` of Laravel.
async fn laravel_releases(redis: &mut MultiplexedConnection, name: &str, owner: &str) -> bool {
    let script = Script::new(
        "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) \
         else return 0 end",
    );
    script.key(format!("{PREFIX}{name}")).arg(owner).invoke_async(redis).await.unwrap()
}

#[tokio::test]
async fn what_laravel_holds_is_busy_for_us_until_it_releases() {
    let own = OwnRedis::start().await;
    let (here, mut redis) = (beside_laravel(&own).await, raw(&own.url()).await);
    let connection = ConnectionId::new();
    let name = format!("template_sync:connection:{connection}");
    assert!(laravel_acquires(&mut redis, &name, "php-owner").await);
    let sync = || LockName::TemplateSync(connection);
    let busy = here.locks().with_lock(sync(), Patience::None, async || ()).await.unwrap();
    assert_eq!(busy, Locked::Busy);
    // It knows nothing of our queue: we find its release by asking again.
    let patient = Patience::UpTo(Duration::from_secs(5));
    let (waited, released) =
        tokio::join!(here.locks().with_lock(sync(), patient, async || ()), async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            laravel_releases(&mut redis, &name, "php-owner").await
        });
    assert!(released);
    assert_eq!(waited.unwrap(), Locked::Ran(()));
}

#[tokio::test]
async fn what_we_hold_is_busy_for_laravel_and_only_our_token_releases_it() {
    let own = OwnRedis::start().await;
    let (here, mut redis) = (beside_laravel(&own).await, raw(&own.url()).await);
    let connection = ConnectionId::new();
    let name = format!("template_sync:connection:{connection}");
    let sync = LockName::TemplateSync(connection);
    let guard = here.locks().lock_many([sync], Patience::None).await.unwrap();
    assert!(!laravel_acquires(&mut redis, &name, "php-owner").await);
    assert!(!laravel_releases(&mut redis, &name, "php-owner").await);
    let key = format!("{PREFIX}{name}");
    let value: String = cmd("GET").arg(&key).query_async(&mut redis).await.unwrap();
    assert!(value.len() == 32 && value.bytes().all(|b| b.is_ascii_hexdigit()), "{value}");
    assert_eq!(guard.release().await, Hold::Kept);
    assert!(!exists(&mut redis, &key).await);
    assert!(laravel_acquires(&mut redis, &name, "php-owner").await);
}

#[tokio::test]
async fn a_lock_that_laravel_took_over_is_neither_released_nor_reported_as_kept() {
    let own = OwnRedis::start().await;
    let (here, mut redis) = (beside_laravel(&own).await, raw(&own.url()).await);
    let connection = ConnectionId::new();
    let name = format!("template_sync:connection:{connection}");
    let sync = LockName::TemplateSync(connection);
    let guard = here.locks().lock_many([sync], Patience::None).await.unwrap();
    cmd("DEL").arg(format!("{PREFIX}{name}")).exec_async(&mut redis).await.unwrap();
    assert!(laravel_acquires(&mut redis, &name, "php-owner").await);
    assert_eq!(guard.release().await, Hold::Lost);
    assert!(laravel_releases(&mut redis, &name, "php-owner").await, "our release took theirs");
}

#[tokio::test]
async fn holders_are_found_under_laravels_keys() {
    let own = OwnRedis::start().await;
    let (here, mut redis) = (beside_laravel(&own).await, raw(&own.url()).await);
    let name = format!("template_sync:connection:{}", ConnectionId::new());
    assert!(laravel_acquires(&mut redis, &name, "php-owner-1").await);
    let class = coordination::LockClass::TemplateSync;
    let holders = here.locks().holders(class, 10).await.unwrap();
    let [holder] = holders.as_slice() else { panic!("{holders:?}") };
    assert_eq!((&*holder.key, &*holder.token_prefix, &*holder.owner), (&*name, "php-owner-1", ""));
}
