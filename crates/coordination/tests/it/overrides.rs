//! What an operator overrides reaches every process, and stays when the database goes away.

use std::time::Duration;

use coordination::{
    Change, Coordination, LockClass, LockName, Locked, Mode, Override, OverrideError, Patience,
    Policy,
};
use kernel::ids::ConnectionId;
use testkit::{TestDatabase, eventually_within};

use crate::database::{cut, on_postgres};
use crate::stack::alone;

fn change(lasts: Option<Duration>) -> Change {
    Change { by: "a test".into(), reason: "to see it work".into(), lasts }
}

async fn has_mode(here: &Coordination, class: LockClass, mode: Mode) {
    eventually_within(Duration::from_secs(30), "the override arrives", async || {
        (here.overrides().lock_mode(class) == mode).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_override_reaches_every_process_and_survives_the_database() {
    let database = TestDatabase::create().await.unwrap();
    let (here, there) = (on_postgres(&database).await, on_postgres(&database).await);
    let name = LockName::TemplateSync(ConnectionId::new());
    let held = here.locks().lock_for(name.clone(), Duration::ZERO).await.unwrap().unwrap();
    let off = Override::LockMode(LockClass::TemplateSync, Mode::Off);
    here.set_override(&off, change(None)).await.unwrap();
    has_mode(&there, LockClass::TemplateSync, Mode::Off).await;
    let ran = there.locks().with_lock(name.clone(), Patience::None, async || ()).await.unwrap();
    assert_eq!(ran, Locked::Ran(()), "a class that is off asks nobody");
    drop(held);

    database.execute("ALTER TABLE coordination_overrides RENAME TO gone").await.unwrap();
    cut(&database, "true").await;
    // Two rounds of reading pass without the table.
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(there.overrides().lock_mode(LockClass::TemplateSync), Mode::Off);
    database.execute("ALTER TABLE gone RENAME TO coordination_overrides").await.unwrap();

    until_written(&here, &off).await;
    has_mode(&there, LockClass::TemplateSync, Mode::Enforce).await;
}

/// The first tries may meet connections that were cut.
async fn until_written(here: &Coordination, what: &Override) {
    eventually_within(Duration::from_secs(10), "the override is cleared", async || {
        here.clear_override(what).await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_override_ends_when_it_was_said_to() {
    let database = TestDatabase::create().await.unwrap();
    let here = on_postgres(&database).await;
    let lasts = Some(Duration::from_secs(7));
    here.set_override(&Override::LockMode(LockClass::Verification, Mode::Observe), change(lasts))
        .await
        .unwrap();
    here.set_override(&Override::LimitMost(Policy::Bot, 50), change(None)).await.unwrap();
    has_mode(&here, LockClass::Verification, Mode::Observe).await;
    has_mode(&here, LockClass::Verification, Mode::Enforce).await;
    assert_eq!(here.overrides().limit_most(Policy::Bot), Some(50));
    let who = "SELECT changed_by || ': ' || reason AS text FROM coordination_overrides \
               WHERE kind = 'limit'";
    assert_eq!(database.text(who).await.unwrap(), "a test: to see it work");
}

#[tokio::test]
async fn without_a_database_nothing_can_be_overridden() {
    let here = alone().await;
    let off = Override::LimitMode(Policy::Bot, Mode::Off);
    let refused = here.set_override(&off, change(None)).await;
    assert!(matches!(refused, Err(OverrideError::NoDatabase)));
}
