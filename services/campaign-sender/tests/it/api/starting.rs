//! Starting: once, however often it is asked for.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::frozen::{frozen, startable};
use super::world::{MARKETER, uuid, with_api};

#[tokio::test(flavor = "multi_thread")]
async fn a_double_click_starts_one_campaign() {
    with_api(async |world| {
        let path = startable(world).await;
        let start = format!("{path}/start");
        let clicks = (0..20).map(|_| world.post(MARKETER, &start, Value::Null));
        let answers = join_all(clicks).await;
        let first = &answers[0];
        for answer in &answers {
            assert_eq!(answer.status, 202, "{}", answer.body);
            for member in ["id", "started_at", "version"] {
                assert_eq!(answer.body[member], first.body[member], "{member}");
            }
        }
        let id = uuid(&path);
        let log = format!("campaign_log WHERE campaign_id = '{id}' AND action = 'started'");
        assert_eq!(world.count(&log).await, 1);
        assert_eq!(world.count("events WHERE type = 'campaign.started'").await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_can_reach_nobody_is_not_started() {
    with_api(async |world| {
        let cases = [
            ("audience = '{}'", "audience_empty"),
            ("audience = '{\"upload\": true}'", "audience_file_missing"),
            ("ends_at = '2020-01-01'", "ended"),
            ("template = '{}'", "template_invalid"),
            ("status = 'paused'", "paused"),
            ("status = 'cancelled'", "cancelled"),
            ("status = 'completed'", "completed"),
            ("status = 'failed'", "failed"),
        ];
        for (broken, reason) in cases {
            let path = startable(world).await;
            let id = uuid(&path);
            world.execute(&format!("UPDATE campaigns SET {broken} WHERE id = '{id}'")).await;
            let answer = world.post(MARKETER, &format!("{path}/start"), Value::Null).await;
            assert_eq!(answer.outcome(), (409, "campaign_not_startable"), "{broken}");
            assert_eq!(answer.body["reason_code"], reason, "{}", answer.body);
        }
        let path = startable(world).await;
        world.execute("UPDATE connections SET archived_at = now()").await;
        let answer = world.post(MARKETER, &format!("{path}/start"), Value::Null).await;
        assert_eq!(answer.body["reason_code"], "connection_ended");
        assert_eq!(world.count("events").await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starting_what_runs_changes_nothing() {
    with_api(async |world| {
        let path = frozen(world, "running").await;
        let before = world.get(&path).await;
        let answer = world.post(MARKETER, &format!("{path}/start"), Value::Null).await;
        assert_eq!((answer.status, &answer.body["status"]), (202, &json!("running")));
        assert_eq!(answer.header("etag"), before.header("etag"));
        assert_eq!(world.count("events").await, 0);
    })
    .await;
}
