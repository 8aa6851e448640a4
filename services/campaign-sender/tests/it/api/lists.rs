//! Lists: campaigns, recipients, statistics, the log.

use actix_web::http::Method;
use serde_json::{Value, json};

use super::frozen::frozen;
use super::world::{Extra, MARKETER, VIEWER, World, uuid, with_api};

fn names(data: &[Value]) -> Vec<&str> {
    data.iter().map(|campaign| campaign["name"].as_str().unwrap()).collect()
}

async fn named(world: &World, name: &str) -> String {
    let mut body = world.draft();
    body["name"] = json!(name);
    let answer = world.post(MARKETER, "/v1/campaigns", body).await;
    answer.header("location").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn campaigns_are_listed_newest_first_and_by_what_is_asked() {
    with_api(async |world| {
        let first = named(world, "100% off").await;
        named(world, "Second").await;
        let third = named(world, "SECOND wave").await;
        world
            .execute(&format!(
                "UPDATE campaigns SET status = 'paused' WHERE id = '{}'",
                uuid(&third)
            ))
            .await;
        let list = async |query: &str| world.get(&format!("/v1/campaigns?{query}")).await;
        assert_eq!(names(list("").await.data()), ["SECOND wave", "Second", "100% off"]);
        assert_eq!(list("").await.data()[0]["audience"], Value::Null, "a list is brief");
        assert_eq!(names(list("q=second").await.data()), ["SECOND wave", "Second"]);
        assert_eq!(names(list("q=0%25").await.data()), ["100% off"]);
        assert_eq!(names(list("status=paused").await.data()), ["SECOND wave"]);
        assert_eq!(list("status=paused&status=draft").await.data().len(), 3);
        assert_eq!(list(&format!("connection={}", world.connection)).await.data().len(), 3);
        assert!(list(&format!("connection={}", world.foreign_connection)).await.data().is_empty());
        let made = list("q=100").await.data()[0]["created_at"].as_str().unwrap().to_owned();
        assert_eq!(list(&format!("created_before={made}")).await.data().len(), 0);
        assert_eq!(list(&format!("created_after={made}")).await.data().len(), 3);

        let page = list("limit=2").await;
        assert!(page.header("link").contains("rel=\"next\""));
        let cursor = page.body["next_cursor"].as_str().unwrap();
        assert_eq!(names(list(&format!("cursor={cursor}")).await.data()), ["100% off"]);
        assert_eq!(list("stauts=paused").await.outcome(), (400, "unknown_parameter"));
        assert_eq!(list("status=running_late").await.outcome(), (422, "validation_failed"));
        assert_eq!(
            world.get(&format!("{first}?expand=x")).await.outcome(),
            (400, "unknown_parameter")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_are_listed_by_state_and_as_many_as_the_counts_say() {
    with_api(async |world| {
        let path = frozen(world, "paused").await;
        let list = async |query: &str| world.get(&format!("{path}/recipients?{query}")).await;
        let counts = world.get(&path).await.body["counts"].clone();
        let mut sum = 0;
        for state in
            ["pending", "in_flight", "accepted", "failed", "skipped", "uncertain", "expired"]
        {
            let found = list(&format!("state={state}")).await;
            let found = found.data().len();
            assert_eq!(counts[state], json!(found), "{state} of {counts}");
            sum += found;
        }
        assert_eq!((sum, &counts["total"]), (12, &json!(12)));
        assert_eq!(list("state=failed&error_code=131026").await.data().len(), 2);
        assert_eq!(list("error_code=131026&error_code=131000").await.data().len(), 3);
        assert_eq!(list("state=failed&state=uncertain").await.data().len(), 4);
        let skipped = list("state=skipped").await;
        let reasons: Vec<_> =
            skipped.data().iter().map(|r| r["reason"].as_str().unwrap()).collect();
        assert_eq!(reasons, ["cancelled", "opted_out"]);
        world.execute("UPDATE campaign_chunks SET state = 'too_late'").await;
        let late = list("state=skipped").await;
        assert_eq!((late.data().len(), &late.data()[1]["reason"]), (3, &json!("too_late")));
        let first = list("limit=1").await;
        assert_eq!(first.data()[0]["delivery"], "read");
        assert_eq!(first.data()[0]["phone"], "+4915755500001");
        let cursor = first.body["next_cursor"].as_str().unwrap();
        assert_eq!(list(&format!("limit=1&cursor={cursor}")).await.data()[0]["n"], 2);
        assert_eq!(list("sate=failed").await.outcome(), (400, "unknown_parameter"));
        assert_eq!(list("state=lost").await.outcome(), (422, "validation_failed"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_cell_of_a_csv_answer_is_a_formula() {
    with_api(async |world| {
        let path = frozen(world, "paused").await;
        let headers = vec![("accept", "text/csv".to_owned())];
        let extra = Extra { headers, ..Extra::default() };
        let query = format!("{path}/recipients?state=accepted");
        let answer = world.call(VIEWER, Method::GET, &query, extra).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, "text/csv; charset=utf-8")
        );
        let lines: Vec<&str> = answer.text.lines().collect();
        assert_eq!(lines.len(), 4, "{}", answer.text);
        assert!(lines[0].starts_with("n,id,contact,phone,user,name,state"));
        assert!(lines[1].contains(",'+4915755500001,,\"'=HYPERLINK(\"\"x1\"\")\",accepted,read,"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_csv_answer_holds_everybody() {
    with_api(async |world| {
        let path = world.drafted().await;
        world
            .execute(&format!(
                "INSERT INTO campaign_recipients (campaign_id, n, id, chunk, contact_id, \
                 recipient_kind, recipient, params) SELECT '{}', n, gen_random_uuid(), 1, \
                 gen_random_uuid(), 'number', '49157' || n, '[]' FROM generate_series(1, 4500) AS n",
                uuid(&path)
            ))
            .await;
        let headers = vec![("accept", "text/csv".to_owned())];
        let extra = Extra { headers, ..Extra::default() };
        let query = format!("{path}/recipients");
        let answer = world.call(VIEWER, Method::GET, &query, extra).await;
        let places = answer.text.lines().skip(1).map(|line| line.split_once(',').unwrap().0);
        assert!(places.eq((1..=4_500).map(|n| n.to_string())), "every place once, in order");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_are_summed_up_by_minute_and_by_hour() {
    with_api(async |world| {
        let path = world.drafted().await;
        let id = uuid(&path);
        world
            .execute(&format!(
                "INSERT INTO campaign_minutes VALUES \
                 ('{id}', '2026-11-25T10:00:00Z', 'accepted', 5), \
                 ('{id}', '2026-11-25T10:01:00Z', 'accepted', 7), \
                 ('{id}', '2026-11-25T10:01:00Z', 'failed', 1), \
                 ('{id}', '2026-11-25T11:00:00Z', 'failed', -1)"
            ))
            .await;
        let minutes = world.get(&format!("{path}/stats?bucket=1m")).await;
        assert_eq!(minutes.data().len(), 3, "{}", minutes.body);
        assert_eq!(minutes.data()[1]["at"], "2026-11-25T10:01:00.000Z");
        assert_eq!(
            (&minutes.data()[1]["accepted"], &minutes.data()[1]["read"]),
            (&json!(7), &json!(0))
        );
        let hours = world.get(&format!("{path}/stats?bucket=1h")).await;
        assert_eq!(hours.data().len(), 2);
        assert_eq!(
            (&hours.data()[0]["accepted"], &hours.data()[1]["failed"]),
            (&json!(12), &json!(-1))
        );
        let early = world.get(&format!("{path}/stats?before=2026-11-25T10:01:00Z")).await;
        assert_eq!(early.data().len(), 1);
        assert_eq!(world.get(&format!("{path}/stats?bucket=1y")).await.status, 422);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_who_did_what() {
    with_api(async |world| {
        let path = world.drafted().await;
        world.send(MARKETER, Method::PATCH, &path, json!({ "name": "Other" })).await;
        let log = world.get(&format!("{path}/log")).await;
        let actions: Vec<_> =
            log.data().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
        assert_eq!(actions, ["changed", "created"]);
        assert_eq!(log.data()[0]["detail"], json!({ "members": ["name"] }));
        assert!(log.data()[0]["actor"].as_str().unwrap().starts_with("key_"));
        let page = world.get(&format!("{path}/log?limit=1")).await;
        let cursor = page.body["next_cursor"].as_str().unwrap();
        let rest = world.get(&format!("{path}/log?cursor={cursor}")).await;
        assert_eq!(rest.data()[0]["action"], "created");
    })
    .await;
}
