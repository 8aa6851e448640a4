//! Silence is told from lateness.

use chrono::{TimeDelta, TimeZone, Utc};
use storage::status_pipeline::{beat, leave, pass, read};

use crate::world::World;

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
    let lateness = read(&mut conn, now).await.unwrap();
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
    assert_eq!(read(&mut conn, now).await.unwrap().last_outage, Some(at(-60)));
    beat(&mut conn, "ingest/b", at(-20), None).await.unwrap();
    assert_eq!(read(&mut conn, now).await.unwrap().last_outage, Some(at(-20)), "killed");
    leave(&mut conn, "ingest/b").await.unwrap();
    assert_eq!(read(&mut conn, now).await.unwrap().last_outage, Some(at(-60)), "stopped");
}
