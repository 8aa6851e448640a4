//! Pause, resume, cancel, retry and resolve.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::frozen::frozen;
use super::world::{MARKETER, OPERATOR, World, uuid, with_api};

fn numbers(counts: &Value) -> Vec<i64> {
    let members = ["pending", "in_flight", "accepted", "failed", "skipped", "uncertain", "expired"];
    members.iter().map(|member| counts[member].as_i64().unwrap()).collect()
}

fn assert_sums(counts: &Value) {
    let sum: i64 = numbers(counts).into_iter().sum();
    assert_eq!(json!(sum), counts["total"], "{counts}");
}

async fn in_ledger(world: &World, path: &str, state: &str) -> i64 {
    let id = uuid(path);
    world
        .count(&format!("outbound_messages WHERE campaign_id = '{id}' AND state = '{state}'"))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn pausing_holds_what_was_ready_and_resuming_lets_it_go() {
    with_api(async |world| {
        let path = frozen(world, "running").await;
        let (pause, resume) = (format!("{path}/pause"), format!("{path}/resume"));
        for click in 0..2 {
            let answer = world.post(OPERATOR, &pause, Value::Null).await;
            assert_eq!((answer.status, &answer.body["status"]), (200, &json!("paused")), "{click}");
            assert_eq!(answer.body["counts"]["in_flight"], 1, "this one will still end");
            assert_eq!(answer.body["why"]["code"], "by_hand");
            assert_sums(&answer.body["counts"]);
        }
        assert_eq!(
            (in_ledger(world, &path, "ready").await, in_ledger(world, &path, "held").await),
            (0, 1)
        );
        world
            .execute(&format!(
                "UPDATE campaigns SET prepared_at = NULL WHERE id = '{}'",
                uuid(&path)
            ))
            .await;
        for click in 0..2 {
            let answer = world.post(OPERATOR, &resume, Value::Null).await;
            assert_eq!(answer.status, 202, "{click} {}", answer.body);
            assert_eq!(answer.body["counts"]["pending"], 2);
        }
        assert_eq!(in_ledger(world, &path, "held").await, 0);
        for event in ["campaign.paused", "campaign.resumed"] {
            assert_eq!(world.count(&format!("events WHERE type = '{event}'")).await, 1, "{event}");
        }
        let log = format!(
            "campaign_log WHERE campaign_id = '{}' AND action IN ('paused', 'resumed') \
                           AND actor LIKE 'key\\_%'",
            uuid(&path)
        );
        assert_eq!(world.count(&log).await, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_ends_it_for_good_whoever_clicks_how_often() {
    with_api(async |world| {
        let path = frozen(world, "running").await;
        let cancel = format!("{path}/cancel");
        let answers = join_all((0..8).map(|_| world.post(OPERATOR, &cancel, Value::Null))).await;
        for answer in &answers {
            assert_eq!((answer.status, &answer.body["status"]), (200, &json!("cancelled")));
            assert_sums(&answer.body["counts"]);
        }
        assert_eq!(in_ledger(world, &path, "ready").await, 0);
        assert_eq!(world.count("events WHERE type = 'campaign.cancelled'").await, 1);
        for verb in ["pause", "resume"] {
            let answer = world.post(MARKETER, &format!("{path}/{verb}"), Value::Null).await;
            assert_eq!(answer.outcome(), (409, "state_conflict"), "{verb}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_was_moved_has_another_etag_and_a_second_click_moves_nothing() {
    with_api(async |world| {
        let path = frozen(world, "running").await;
        let mut seen = vec![world.get(&path).await.header("etag").to_owned()];
        for verb in ["pause", "resume", "cancel"] {
            let moved = world.post(OPERATOR, &format!("{path}/{verb}"), Value::Null).await;
            let etag = moved.header("etag").to_owned();
            assert!(!seen.contains(&etag), "{verb} kept {etag}");
            let again = world.post(OPERATOR, &format!("{path}/{verb}"), Value::Null).await;
            assert_eq!(again.header("etag"), etag, "{verb} twice");
            assert_eq!(world.get(&path).await.header("etag"), etag);
            seen.push(etag);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_state_does_not_allow_is_refused_and_changes_nothing() {
    with_api(async |world| {
        let refused = [
            ("pause", &["draft", "scheduled", "completed", "cancelled", "failed"][..]),
            ("resume", &["draft", "scheduled", "completed", "cancelled", "failed"]),
            ("cancel", &["draft", "completed", "completed_with_issues", "failed"]),
        ];
        for (verb, states) in refused {
            for state in states {
                let path = world.drafted().await;
                let id = uuid(&path);
                world
                    .execute(&format!("UPDATE campaigns SET status = '{state}' WHERE id = '{id}'"))
                    .await;
                let answer = world.post(MARKETER, &format!("{path}/{verb}"), Value::Null).await;
                assert_eq!(answer.outcome(), (409, "state_conflict"), "{verb} of {state}");
                assert_eq!(world.get(&path).await.body["status"], *state);
            }
        }
        assert_eq!(world.count("events").await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_failures_that_may_pass_are_tried_again_and_first_on_paper() {
    with_api(async |world| {
        let path = frozen(world, "paused").await;
        let retry = format!("{path}/retry-failed");
        // 131056: too many messages to this person in a short time.
        let id = uuid(&path);
        world
            .execute(&format!(
                "UPDATE outbound_messages SET error_code = 131056 WHERE campaign_id = '{id}' \
                 AND error_code = 131026"
            ))
            .await;
        world
            .execute(&format!(
                "UPDATE campaign_counts SET reason = '131056' WHERE campaign_id = '{id}' \
                 AND reason = '131026'"
            ))
            .await;
        let before = numbers(&world.get(&path).await.body["counts"]);
        assert_eq!(world.get(&path).await.body["attention"]["failed_retryable"], 2);
        let dry = world.post(MARKETER, &retry, json!({ "dry_run": true })).await;
        assert_eq!((dry.status, &dry.body["matched"]), (200, &json!(2)), "{}", dry.body);
        assert_eq!(
            (&dry.body["by_code"]["131056"], &dry.body["not_retryable"]),
            (&json!(2), &json!(1))
        );
        assert_eq!(
            numbers(&world.get(&path).await.body["counts"]),
            before,
            "a dry run changes nothing"
        );

        let answer = world.post(MARKETER, &retry, json!({})).await;
        assert_eq!(
            (answer.status, &answer.body["status"]),
            (202, &json!("paused")),
            "{}",
            answer.body
        );
        assert_sums(&answer.body["counts"]);
        assert_eq!(
            (&answer.body["counts"]["failed"], &answer.body["counts"]["pending"]),
            (&json!(1), &json!(4))
        );
        assert_eq!(
            answer.body["counts"]["uncertain"], 1,
            "whoever is uncertain is never among them"
        );
        let again = world.post(MARKETER, &retry, json!({})).await;
        assert_eq!(again.body["counts"], answer.body["counts"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uncertain_recipient_is_what_a_person_says() {
    with_api(async |world| {
        for (word, member) in [("sent", "accepted"), ("not_sent", "failed"), ("resend", "pending")]
        {
            let path = frozen(world, "paused").await;
            let resolve = format!("{path}/recipients/resolve");
            let before = world.get(&path).await.body["counts"].clone();
            let list = world.get(&format!("{path}/recipients?state=uncertain")).await;
            let one = list.data()[0]["id"].clone();
            let strange =
                json!({ "as": word, "recipients": ["msg_00000000000000000000000000000000"] });
            let answer = world.post(MARKETER, &resolve, strange).await;
            assert_eq!(answer.outcome(), (422, "validation_failed"));
            let body = json!({ "as": word, "recipients": [one], "reason": "asked them" });
            let answer = world.post(MARKETER, &resolve, body).await;
            assert_eq!(answer.status, 202, "{}", answer.body);
            let counts = &answer.body["counts"];
            assert_sums(counts);
            assert_eq!(counts["uncertain"], 0);
            assert_eq!(counts[member], json!(before[member].as_i64().unwrap() + 1), "{word}");
            let all = world.post(MARKETER, &resolve, json!({ "as": word })).await;
            assert_eq!((all.status, &all.body["counts"]), (202, counts), "nobody is left");
        }
    })
    .await;
}
