//! Silence is told from lateness.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use kernel::SystemClock;
use storage::AsyncPgConnection;
use storage::status_pipeline::{self, Lateness, Pulse, beat, leave, pass};
use testkit::eventually;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::world::{World, now};

/// How late statuses may be; a silent process is given up after a minute.
async fn read(conn: &mut AsyncPgConnection, now: DateTime<Utc>) -> Lateness {
    status_pipeline::read(conn, now, TimeDelta::minutes(1)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slowest_lane_decides_how_far_statuses_have_come() {
    let world = World::new().await;
    let mut conn = world.conn().await;
    let now = Utc.with_ymd_and_hms(2026, 11, 22, 10, 0, 0).unwrap();
    let at = |seconds| now + TimeDelta::seconds(seconds);
    pass(&mut conn, vec![("a".into(), at(-9)), ("b".into(), at(-4)), ("a".into(), at(-7))])
        .await
        .unwrap();
    pass(&mut conn, vec![("a".into(), at(-8))]).await.unwrap();
    let lateness = read(&mut conn, now).await;
    assert_eq!((lateness.lanes, lateness.caught_up_to), (2, Some(at(-7))));
    assert_eq!(lateness.last_outage, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_and_a_silent_process_are_outages_and_a_stopped_one_is_none() {
    let world = World::new().await;
    let mut conn = world.conn().await;
    let now = Utc.with_ymd_and_hms(2026, 11, 22, 10, 0, 0).unwrap();
    let at = |seconds| now + TimeDelta::seconds(seconds);
    beat(&mut conn, "ingest/a", at(-60), Some(at(-60))).await.unwrap();
    beat(&mut conn, "ingest/a", at(-1), None).await.unwrap();
    assert_eq!(read(&mut conn, now).await.last_outage, Some(at(-60)));
    beat(&mut conn, "ingest/b", at(-90), None).await.unwrap();
    assert_eq!(read(&mut conn, now).await.last_outage, Some(at(-30)), "killed, given up since");
    leave(&mut conn, "ingest/b").await.unwrap();
    assert_eq!(read(&mut conn, now).await.last_outage, Some(at(-60)), "stopped");
}

/// What was sent after its last sign of life may have its status there: the silence is no moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stands_still_is_an_outage_until_it_goes_on_or_is_given_up() {
    let world = World::new().await;
    let mut conn = world.conn().await;
    let now = Utc.with_ymd_and_hms(2026, 11, 22, 10, 0, 0).unwrap();
    let at = |seconds| now + TimeDelta::seconds(seconds);
    beat(&mut conn, "ingest/a", now, None).await.unwrap();
    assert_eq!(read(&mut conn, at(2)).await.last_outage, None, "it has just been seen");
    for seconds in [5, 30, 60] {
        assert_eq!(read(&mut conn, at(seconds)).await.last_outage, Some(at(seconds)));
    }
    assert_eq!(read(&mut conn, at(600)).await.last_outage, Some(at(60)));
}

/// With one worker, so that the test can stop it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_process_that_goes_on_after_it_stood_still_counts_that_as_a_failure() {
    let world = World::new().await;
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let db = world.db.database().clone();
    Pulse::start("ingest", db, Arc::new(SystemClock), &tasks, stop.clone());
    let failures = async |since: DateTime<Utc>| {
        let since = since.to_rfc3339();
        world.count(&format!("status_pipeline WHERE outage_at > '{since}'")).await
    };
    let begun = now() - TimeDelta::seconds(1);
    eventually("its start is one", async || (failures(begun).await == 1).then_some(())).await;
    let stopped = now();
    let stop_it = async { std::thread::sleep(Duration::from_secs(4)) };
    tokio::task::spawn(stop_it).await.unwrap();
    eventually("so is the stop", async || (failures(stopped).await == 1).then_some(())).await;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
}
