//! Redis down, frozen, restarted, without its scripts: what callers get, and how soon.

use std::time::Duration;

use coordination::{
    Coordination, Decision, Health, Limit, LimitName, LockError, LockName, Locked, Patience, Policy,
};
use deadpool_redis::redis::cmd;
use kernel::ids::{ConnectionId, ConversationId};
use kernel::{Retryable, WaId, Wamid};
use tokio::time::Instant;

use crate::stack::{OwnRedis, connect, exists, median, raw, until};

fn message(text: &str) -> LockName {
    LockName::WebhookMessage(Wamid::new(text))
}

async fn run(here: &Coordination, name: LockName) -> Result<Locked<()>, LockError> {
    here.locks().with_lock(name, Patience::None, async || ()).await
}

async fn is_back(here: &Coordination) -> Duration {
    until("Redis is back", async || here.health() == Health::Available).await
}

#[tokio::test]
async fn without_redis_protected_locks_are_skipped_and_others_refused() {
    let mut own = OwnRedis::start().await;
    own.kill();
    let here = connect(&own.url(), "sw").await;
    assert_eq!(here.health(), Health::Away);
    assert_eq!(run(&here, message("a")).await.unwrap(), Locked::Ran(()));
    let batch = here.locks().lock_many([message("a"), message("b")], Patience::None).await.unwrap();
    assert!(batch.is_degraded() && batch.is_valid());
    assert_eq!(batch.held().len(), 2);
    let refused = run(&here, LockName::TemplateSync(ConnectionId::new())).await.unwrap_err();
    assert!(refused.is_transient());
    assert_eq!(refused.to_string(), "no template_sync lock can be had");

    own.start_again().await;
    let recovered = is_back(&here).await;
    assert!(recovered < Duration::from_secs(3), "back only after {recovered:?}");
    assert_eq!(
        run(&here, LockName::TemplateSync(ConnectionId::new())).await.unwrap(),
        Locked::Ran(())
    );
}

#[tokio::test]
async fn without_redis_each_process_keeps_the_limit_by_itself() {
    let mut own = OwnRedis::start().await;
    own.kill();
    let here = connect(&own.url(), "sw").await;
    let bot = Limit::of(LimitName::Bot(ConversationId::new()));
    let mut admitted = 0;
    for _ in 0..20 {
        admitted += u32::from(matches!(
            here.limiter().check(std::slice::from_ref(&bot), 1).await,
            Decision::Go(_)
        ));
    }
    assert_eq!(admitted, 5);
    let webhooks = Limit::of(LimitName::Webhook(ConnectionId::new()));
    assert_eq!(here.limiter().admit_up_to(&webhooks, 70).await, 70);
    assert_eq!(here.limiter().admit_up_to(&webhooks, 70).await, 30);
}

#[tokio::test]
async fn without_redis_the_processes_share_a_limit_whose_surplus_waits_and_keep_one_whose_surplus_is_lost()
 {
    let mut own = OwnRedis::start().await;
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(connect(&own.url(), "sw").await);
    }
    let first = Limit::of(LimitName::Reminder);
    for here in &processes {
        let asked = here.limiter().check(std::slice::from_ref(&first), 1).await;
        assert!(matches!(asked, Decision::Go(_)), "{asked:?}");
    }
    for here in &processes {
        until("all are counted", async || here.limiter().processes() == 3).await;
    }
    own.kill();
    for (most, each) in [(100, 33), (5, 1), (2, 1), (0, 0)] {
        let limit = Limit::of(LimitName::Webhook(ConnectionId::new())).at_most(most);
        for here in &processes {
            assert_eq!(admitted(here, &limit).await, each, "of {most}");
        }
    }
    // What a bot does not say now is never said: half a limit would be a loss.
    let limit = Limit::of(LimitName::Bot(ConversationId::new())).at_most(5);
    for here in &processes {
        assert_eq!(admitted(here, &limit).await, 5);
    }
}

/// How many of 120 units pass.
async fn admitted(here: &Coordination, limit: &Limit) -> u32 {
    let mut admitted = 0;
    for _ in 0..120 {
        let asked = here.limiter().check(std::slice::from_ref(limit), 1).await;
        admitted += u32::from(matches!(asked, Decision::Go(_)));
    }
    admitted
}

#[tokio::test]
async fn without_redis_the_registry_says_what_a_limit_answers() {
    let mut own = OwnRedis::start().await;
    let here = connect(&own.url(), "sw").await;
    own.kill();
    let connection = ConnectionId::new();
    let pair = Limit::of(LimitName::Pair(connection, WaId::new("1"))).at_most(1);
    for _ in 0..5 {
        let asked = here.limiter().check(std::slice::from_ref(&pair), 1).await;
        assert!(matches!(asked, Decision::Go(_)), "{asked:?}");
    }
    let sync = Limit::of(LimitName::TemplateSync(connection));
    let asked = here.limiter().check(&[pair, sync], 1).await;
    assert!(matches!(asked, Decision::Wait { by: Policy::TemplateSync, .. }), "{asked:?}");
}

#[tokio::test]
async fn a_flushed_redis_forgets_what_was_used_and_nothing_else() {
    let own = OwnRedis::start().await;
    let here = connect(&own.url(), "sw").await;
    let limit = Limit::of(LimitName::Bot(ConversationId::new()));
    for _ in 0..2 {
        let asked = here.limiter().check(std::slice::from_ref(&limit), 5).await;
        assert!(matches!(asked, Decision::Go(_)), "{asked:?}");
        let used = here.limiter().show(&limit).await.unwrap().used;
        assert_eq!(used, 5);
        cmd("FLUSHALL").exec_async(&mut raw(&own.url()).await).await.unwrap();
    }
    assert_eq!(here.health(), Health::Available);
}

#[tokio::test]
async fn a_frozen_redis_costs_one_time_out_then_nothing() {
    let own = OwnRedis::start().await;
    let here = connect(&own.url(), "sw").await;
    assert_eq!(run(&here, message("a")).await.unwrap(), Locked::Ran(()));
    own.freeze();
    let start = Instant::now();
    let guard = here.locks().lock_many([message("a")], Patience::None).await.unwrap();
    let first = start.elapsed();
    assert!(guard.is_degraded());
    assert!(first < Duration::from_millis(250), "the first caller waited {first:?}");
    guard.release().await;
    let mut later = Vec::new();
    let start_of_later = Instant::now();
    for _ in 0..50 {
        let start = Instant::now();
        assert_eq!(run(&here, message("a")).await.unwrap(), Locked::Ran(()));
        later.push(start.elapsed());
    }
    let typical = median(later);
    assert!(typical < Duration::from_millis(1), "later callers wait {typical:?}");
    let all = start_of_later.elapsed();
    assert!(all < Duration::from_millis(140), "one of the later callers waited, too: {all:?}");
    assert_eq!(here.health(), Health::Away);

    own.thaw();
    let recovered = is_back(&here).await;
    assert!(recovered < Duration::from_secs(4), "back only after {recovered:?}");
    // The frozen server executed the lock that had been given up: it must not stay taken.
    let mut redis = raw(&own.url()).await;
    until("the given-up lock is free", async || {
        !exists(&mut redis, "sw:l:webhook_message:{a}").await
    })
    .await;
}

#[tokio::test]
async fn a_quiet_process_notices_a_lost_redis_and_its_return() {
    let mut own = OwnRedis::start().await;
    let here = connect(&own.url(), "sw").await;
    own.kill();
    until("the loss is noticed", async || here.health() == Health::Away).await;
    own.start_again().await;
    let recovered = is_back(&here).await;
    assert!(recovered < Duration::from_secs(3), "back only after {recovered:?}");
    assert_eq!(
        run(&here, LockName::TemplateSync(ConnectionId::new())).await.unwrap(),
        Locked::Ran(())
    );
}

#[tokio::test]
async fn a_redis_that_forgot_the_scripts_is_taught_again() {
    let own = OwnRedis::start().await;
    let here = connect(&own.url(), "sw").await;
    let sync = LockName::TemplateSync(ConnectionId::new());
    let limit = Limit::of(LimitName::Reminder);
    let mut redis = raw(&own.url()).await;
    for _ in 0..3 {
        cmd("SCRIPT").arg("FLUSH").exec_async(&mut redis).await.unwrap();
        assert_eq!(run(&here, sync.clone()).await.unwrap(), Locked::Ran(()));
        assert_eq!(here.limiter().admit_up_to(&limit, 1).await, 1);
        assert_eq!(here.health(), Health::Available);
    }
}

#[tokio::test]
async fn a_key_that_redis_refuses_costs_nobody_else_the_locks() {
    let own = OwnRedis::start().await;
    let here = connect(&own.url(), "sw").await;
    let mut redis = raw(&own.url()).await;
    cmd("SET")
        .arg("sw:r:reminder_rate_limit")
        .arg("not a log")
        .exec_async(&mut redis)
        .await
        .unwrap();
    let limit = Limit::of(LimitName::Reminder);
    let decision = here.limiter().check(std::slice::from_ref(&limit), 1).await;
    assert!(matches!(decision, Decision::Go(_)), "the limit is kept in process");
    assert_eq!(here.health(), Health::Available);
    let sync = LockName::TemplateSync(ConnectionId::new());
    assert_eq!(run(&here, sync).await.unwrap(), Locked::Ran(()));
}

#[tokio::test]
async fn a_malformed_address_or_namespace_is_refused_at_start() {
    let tasks = tokio_util::task::TaskTracker::new;
    assert!(Coordination::connect("http://x", "sw", tasks()).await.is_err());
    for namespace in ["", "a b", "{", "A"] {
        assert!(Coordination::connect("redis://127.0.0.1:1", namespace, tasks()).await.is_err());
    }
}
