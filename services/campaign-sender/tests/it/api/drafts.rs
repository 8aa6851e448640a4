//! Drafts: made, shown, edited, scheduled, copied and deleted.

use actix_web::http::Method;
use serde_json::{Value, json};

use super::frozen::frozen;
use super::world::{Extra, MARKETER, World, uuid, with_api};

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_made_shown_edited_and_deleted() {
    with_api(async |world| {
        let made = world.post(MARKETER, "/v1/campaigns", world.draft()).await;
        assert_eq!((made.status, made.header("etag")), (201, "\"1\""), "{}", made.body);
        assert_eq!(made.body["status"], "draft");
        assert_eq!(made.body["template"]["params"]["body"][0], "{{name}}");
        assert_eq!(made.body["audience"]["tags"], json!(["vip"]));
        let path = made.header("location").to_owned();
        assert_eq!(path, format!("/v1/campaigns/{}", made.body["id"].as_str().unwrap()));
        assert_eq!(world.get(&path).await.body["id"], made.body["id"]);

        let cap = json!({ "messages": 2, "days": 7 });
        let patch = json!({ "name": " Autumn ", "frequency_cap": cap, "on_uncertain": "resend" });
        let changed = world.send(MARKETER, Method::PATCH, &path, patch).await;
        assert_eq!((changed.status, changed.header("etag")), (200, "\"2\""), "{}", changed.body);
        assert_eq!(changed.body["name"], "Autumn");
        assert_eq!(changed.body["frequency_cap"], cap);
        let patch = json!({ "frequency_cap": null });
        let changed = world.send(MARKETER, Method::PATCH, &path, patch).await;
        assert_eq!(changed.body["frequency_cap"], Value::Null);
        assert_eq!(changed.body["on_uncertain"], "resend");

        let deleted = world.send(MARKETER, Method::DELETE, &path, Value::Null).await;
        assert_eq!((deleted.status, &deleted.body["name"]), (200, &json!("Autumn")));
        assert_eq!(world.get(&path).await.outcome(), (404, "not_found"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_based_on_an_old_reading_is_refused() {
    with_api(async |world| {
        let path = world.drafted().await;
        let rename = async |name: &str, etag: &str| {
            let headers = vec![("if-match", etag.to_owned())];
            let extra = Extra { json: json!({ "name": name }), headers, ..Extra::default() };
            world.call(MARKETER, Method::PATCH, &path, extra).await
        };
        assert_eq!(rename("First", "\"1\"").await.status, 200);
        assert_eq!(rename("Second", "\"1\"").await.outcome(), (412, "etag_mismatch"));
        assert_eq!(world.get(&path).await.body["name"], "First");
        let headers = vec![("if-match", "\"1\"".to_owned())];
        let extra = Extra { headers, ..Extra::default() };
        let deleted = world.call(MARKETER, Method::DELETE, &path, extra).await;
        assert_eq!(deleted.outcome(), (412, "etag_mismatch"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_campaign_can_have_is_refused_by_its_pointer() {
    with_api(async |world| {
        let cases = [
            ("/connection", json!(world.foreign_connection), "/connection"),
            ("/connection", json!("cnx_1"), "/connection"),
            ("/audience", json!({}), "/audience"),
            ("/audience", json!({ "tgas": ["vip"] }), "/audience/tgas"),
            ("/name", json!("a\u{0}b"), "/name"),
            ("/on_uncertain", json!("guess"), "/on_uncertain"),
            ("/ends_at", json!("2020-01-01T00:00:00Z"), "/ends_at"),
            ("/frequency_cap", json!({ "messages": 0, "days": 7 }), "/frequency_cap"),
            ("/nmae", json!("typo"), "/nmae"),
            ("/audience", json!({ "tags": ["a\u{0}b"] }), "/audience/tags/0"),
            (
                "/template",
                json!({ "name": "a", "language": "en", "params": { "body": ["a\u{0}"] } }),
                "/template/params/body/0",
            ),
        ];
        for (member, value, pointer) in cases {
            let mut body = world.draft();
            body[member.trim_start_matches('/')] = value.clone();
            let answer = world.post(MARKETER, "/v1/campaigns", body).await;
            assert_eq!(answer.outcome(), (422, "validation_failed"), "{member} {value}");
            assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{}", answer.body);
        }
        assert_eq!(world.count("campaigns").await, 0);
        let path = world.drafted().await;
        let patch = json!({ "connection": world.foreign_connection });
        let answer = world.send(MARKETER, Method::PATCH, &path, patch).await;
        assert_eq!(answer.outcome(), (422, "validation_failed"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_began_keeps_all_but_name_and_end() {
    with_api(async |world| {
        for status in ["paused", "completed", "cancelled"] {
            let path = frozen(world, status).await;
            let edit = json!({ "audience": { "tags": ["other"] } });
            let answer = world.send(MARKETER, Method::PATCH, &path, edit).await;
            assert_eq!(answer.outcome(), (409, "state_conflict"), "{status}");
            let edit = json!({ "name": "Renamed", "ends_at": "2099-01-01T00:00:00Z" });
            let answer = world.send(MARKETER, Method::PATCH, &path, edit).await;
            assert_eq!(answer.body["name"], "Renamed", "{}", answer.body);
            let answer = world.send(MARKETER, Method::DELETE, &path, Value::Null).await;
            assert_eq!(answer.outcome(), (409, "state_conflict"), "{status}");
            let answer = world.upload(&path, "+4915755512345").await;
            assert_eq!(answer.outcome(), (409, "state_conflict"), "{status}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_a_wall_clock_of_a_zone_that_exists() {
    with_api(async |world| {
        let path = world.drafted().await;
        let schedule = format!("{path}/schedule");
        let put = async |at: &str, zone: &str| {
            let quiet = json!({ "from": "21:00", "to": "08:00" });
            let body = json!({ "at": at, "time_zone": zone, "quiet_hours": quiet });
            world.send(MARKETER, Method::PUT, &schedule, body).await
        };
        for zone in ["Mars/Olympus", "+02", "CEST", "", "Europe/Berlin\u{0}"] {
            let answer = put("2099-12-01T09:00:00", zone).await;
            assert_eq!(answer.status, 422, "{zone:?} {}", answer.body);
        }
        let answer = put("2020-12-01T09:00:00", "Europe/Berlin").await;
        assert_eq!(answer.body["errors"][0]["code"], "in_the_past");

        let berlin = put("2099-12-01T09:00:00", "Europe/Berlin").await;
        assert_eq!((berlin.status, &berlin.body["status"]), (200, &json!("scheduled")));
        assert_eq!(berlin.body["why"]["until"], "2099-12-01T08:00:00.000Z");
        assert_eq!(
            berlin.body["schedule"],
            json!({
                "at": "2099-12-01T09:00:00", "time_zone": "Europe/Berlin",
                "quiet_hours": { "from": "21:00", "to": "08:00" },
            })
        );
        let local = put("2099-12-01T09:00:00", "recipient").await;
        assert_eq!(local.body["schedule"]["time_zone"], "recipient");
        assert_eq!(local.body["why"]["until"], "2099-11-30T19:00:00.000Z", "it is day in Kiribati");

        let draft = world.send(MARKETER, Method::DELETE, &schedule, Value::Null).await;
        assert_eq!(
            (&draft.body["status"], &draft.body["schedule"]),
            (&json!("draft"), &Value::Null)
        );
        let again = world.send(MARKETER, Method::DELETE, &schedule, Value::Null).await;
        assert_eq!((again.status, again.header("etag")), (200, draft.header("etag")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_to_all_or_to_those_it_is_asked_for() {
    with_api(async |world| {
        let path = frozen(world, "completed_with_issues").await;
        let whole =
            world.post(MARKETER, &format!("{path}/clone"), json!({ "name": "Again" })).await;
        assert_eq!((whole.status, &whole.body["name"]), (201, &json!("Again")), "{}", whole.body);
        assert_eq!(whole.body["audience"], json!({ "tags": ["vip"] }));
        assert_eq!(whole.body["cloned_from"].as_str().unwrap(), path.rsplit_once('/').unwrap().1);
        for (recipients, expected) in
            [("failed", vec![4, 5, 6]), ("skipped", vec![10, 12]), ("not_read", vec![2, 3])]
        {
            let body = json!({ "recipients": recipients });
            let copy = world.post(MARKETER, &format!("{path}/clone"), body).await;
            assert_eq!(copy.body["name"], "Spring sale (copy)", "{}", copy.body);
            let id = uuid(copy.header("location")).to_owned();
            assert_eq!(uploaded(world, &id).await, expected, "{recipients}");
            assert_eq!(copy.body["audience"], json!({ "upload": true }));
        }
    })
    .await;
}

/// The last digits of the numbers uploaded for a campaign.
async fn uploaded(world: &World, id: &str) -> Vec<i32> {
    let sql = format!(
        "SELECT string_agg(right(wa_id, 2), ',' ORDER BY line) AS text FROM campaign_uploads \
         WHERE campaign_id = '{id}'"
    );
    let text = world.db.text(&sql).await.unwrap();
    text.split(',').map(|digits| digits.parse().unwrap()).collect()
}
