//! Locks in memory: the same promises, on a clock that stands still until it is moved.

use std::sync::Arc;
use std::time::Duration;

use coordination::{
    Coordination, Hold, LockClass, LockError, LockName, Locked, MemoryServer, Patience,
};
use kernel::Wamid;
use kernel::ids::ConnectionId;
use tokio::task::JoinSet;
use tokio::time::{Instant, advance, sleep};
use tokio_util::task::TaskTracker;

use crate::database::Room;

fn process(server: &MemoryServer) -> Coordination {
    Coordination::in_memory(server, TaskTracker::new())
}

fn message() -> LockName {
    LockName::WebhookMessage(Wamid::new("wamid.A"))
}

#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_order_without_moving_the_clock() {
    let server = MemoryServer::default();
    let room = Arc::new(Room::default());
    let first = process(&server).locks().lock_many([message()], Patience::None).await.unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..20 {
        let (here, room) = (process(&server), Arc::clone(&room));
        tasks.spawn(async move {
            let patience = Patience::UpTo(Duration::from_secs(25));
            let work = async || room.visit(Duration::ZERO).await;
            let ran = here.locks().with_lock(message(), patience, work).await.unwrap();
            assert_eq!(ran, Locked::Ran(()));
            n
        });
        sleep(Duration::from_millis(1)).await;
    }
    let released = Instant::now();
    assert_eq!(first.release().await, Hold::Kept);
    let mut order = Vec::new();
    while let Some(next) = tasks.join_next().await {
        order.push(next.unwrap());
    }
    assert_eq!(order, (0..20).collect::<Vec<_>>());
    assert!(released.elapsed() < Duration::from_millis(100), "{:?}", released.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_not_renewed_runs_out_on_the_virtual_clock() {
    let server = MemoryServer::default();
    let (here, there) = (process(&server), process(&server));
    let first = here.locks().lock_many([message()], Patience::None).await.unwrap();
    advance(Duration::from_secs(29)).await;
    assert!(first.is_valid());
    assert!(!there.locks().lock_many([message()], Patience::None).await.unwrap().busy().is_empty());
    advance(LockClass::WebhookMessage.spec().ttl).await;
    assert!(!first.is_valid());
    let second = there.locks().lock_many([message()], Patience::None).await.unwrap();
    assert_eq!((second.held().len(), first.release().await), (1, Hold::Lost));
    assert_eq!(second.release().await, Hold::Kept);
}

#[tokio::test(start_paused = true)]
async fn a_grant_whose_answer_was_lost_is_given_back() {
    let server = MemoryServer::default();
    let (here, there) = (process(&server), process(&server));
    let name = LockName::TemplateSync(ConnectionId::new());
    server.lose_answers(1);
    let refused = here.locks().with_lock(name.clone(), Patience::None, async || ()).await;
    assert!(matches!(refused, Err(LockError::Unavailable { .. })), "{refused:?}");
    let patience = Patience::UpTo(Duration::from_secs(5));
    let ran = there.locks().with_lock(name, patience, async || ()).await.unwrap();
    assert_eq!(ran, Locked::Ran(()), "the lost grant stayed");
}

#[tokio::test(start_paused = true)]
async fn a_renewed_holder_that_is_frozen_out_loses_its_lock_in_time() {
    let server = MemoryServer::default();
    let here = process(&server);
    let name = LockName::TemplateSync(ConnectionId::new());
    let ttl = LockClass::TemplateSync.spec().ttl;
    let start = Instant::now();
    let work = async || {
        sleep(Duration::from_secs(1)).await;
        server.freeze();
        sleep(ttl * 3).await;
    };
    let lost = here.locks().with_lock(name.clone(), Patience::None, work).await.unwrap();
    assert_eq!(lost, Locked::Lost(None));
    assert!(start.elapsed() <= ttl * 2, "noticed only after {:?}", start.elapsed());
    server.thaw();
    server.flush();
    assert_eq!(
        here.locks().with_lock(name, Patience::None, async || ()).await.unwrap(),
        Locked::Ran(())
    );
}
