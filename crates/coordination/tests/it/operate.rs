//! What operators see and do: holders, breaking a lock, and modes.

use std::time::Duration;

use coordination::{
    Broken, Hold, LockClass, LockName, Locked, Mode, Options, Overriding, Patience,
};
use kernel::ids::ConnectionId;
use kernel::{WaId, Wamid};
use tokio_util::task::TaskTracker;

use crate::stack::{alone, connect, fresh_namespace, shared_url, until};

#[tokio::test]
async fn a_holder_is_shown_with_its_process_fence_and_waiters() {
    let mut options = Options::new(&shared_url(), &fresh_namespace());
    options.label = "conversations@host/17".to_owned();
    let here = coordination::Coordination::start(options, TaskTracker::new()).await.unwrap();
    let sync = LockName::TemplateSync(ConnectionId::new());
    let guard = here.locks().lock_many([sync.clone()], Patience::None).await.unwrap();
    let show = async || here.locks().holders(LockClass::TemplateSync, 10).await.unwrap();
    let patience = Patience::UpTo(Duration::from_secs(10));
    let looked = async {
        until("somebody waits", async || show().await.iter().all(|h| h.waiters == 1)).await;
        let holders = show().await;
        guard.release().await;
        holders
    };
    let waiter = here.locks().with_lock(sync.clone(), patience, async || ());
    let (_, holders) = tokio::join!(waiter, looked);
    let [holder] = holders.as_slice() else { panic!("{holders:?}") };
    assert!(holder.key.starts_with("template_sync:connection:cnx_"), "{}", holder.key);
    assert_eq!(holder.owner, "conversations@host/17");
    assert_eq!(holder.token_prefix.len(), 8);
    assert!(holder.fence.is_some());
    assert!(holder.age.unwrap() < Duration::from_secs(60));
    assert!(holder.ttl_left > Duration::from_secs(200));
    assert!(show().await.is_empty());
}

#[tokio::test]
async fn a_broken_lock_goes_to_the_next_and_its_holder_has_lost_it() {
    let here = alone().await;
    let name = LockName::WhatsAppSend(ConnectionId::new(), WaId::new("15551234567"));
    let guard = here.locks().lock_many([name.clone()], Patience::None).await.unwrap();
    let holder = here.locks().holders(LockClass::WhatsAppSend, 1).await.unwrap().remove(0);
    let break_lock =
        async |prefix: &str| here.locks().break_lock(&holder.key, prefix, "ops", "stuck").await;
    assert_eq!(break_lock("").await.unwrap(), Broken::Unknown);
    assert_eq!(break_lock("00000000").await.unwrap(), Broken::OwnerChanged);
    assert!(guard.is_valid());
    assert_eq!(break_lock(&holder.token_prefix).await.unwrap(), Broken::Released);
    assert_eq!(break_lock(&holder.token_prefix).await.unwrap(), Broken::Free);
    let next = here.locks().with_lock(name, Patience::None, async || ()).await.unwrap();
    assert_eq!(next, Locked::Ran(()));
    assert_eq!(guard.release().await, Hold::Lost);
    let unknown = here.locks().break_lock("no_such:1", "abcdef", "ops", "typo").await.unwrap();
    assert_eq!(unknown, Broken::Unknown);
}

#[tokio::test]
async fn an_observed_class_asks_and_runs_anyway_and_one_that_is_off_does_not_ask() {
    let namespace = fresh_namespace();
    let here = connect(&shared_url(), &namespace).await;
    let there = connect(&shared_url(), &namespace).await;
    let name = || LockName::WebhookMessage(Wamid::new("wamid.A"));
    let set = |mode| {
        let lock_modes = [(LockClass::WebhookMessage, mode)].into();
        here.overrides().replace(Overriding { lock_modes, ..Overriding::default() });
    };
    let run = async || here.locks().with_lock(name(), Patience::None, async || ()).await.unwrap();
    let guard = there.locks().lock_many([name()], Patience::None).await.unwrap();
    assert_eq!(run().await, Locked::Busy);
    set(Mode::Observe);
    assert_eq!(run().await, Locked::Ran(()));
    set(Mode::Off);
    assert_eq!(run().await, Locked::Ran(()));
    assert!(there.locks().holders(LockClass::WebhookMessage, 9).await.unwrap().len() == 1);
    guard.release().await;
    // Off takes nothing; observing takes what is free.
    let off = here.locks().lock_many([name()], Patience::None).await.unwrap();
    assert!(off.is_degraded() && off.is_valid());
    assert!(there.locks().holders(LockClass::WebhookMessage, 9).await.unwrap().is_empty());
    set(Mode::Observe);
    let observed = here.locks().lock_many([name()], Patience::None).await.unwrap();
    assert_eq!(there.locks().holders(LockClass::WebhookMessage, 9).await.unwrap().len(), 1);
    assert_eq!(observed.release().await, Hold::Kept);
    set(Mode::Enforce);
    assert_eq!(run().await, Locked::Ran(()));
}
