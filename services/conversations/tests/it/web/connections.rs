//! Connections: made, read, changed, ended; one per number.

use std::collections::BTreeMap;

use actix_web::http::Method;
use actix_web::test::TestRequest;
use chrono::TimeDelta;
use futures_util::future::join_all;
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::world::{Who, World, connection_body};

const ALL: &str = "/v1/connections";

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_made_read_changed_and_ended() {
    let world = World::new().await;
    let made = world.post(Who::Admin, ALL, &connection_body()).await;
    assert_snapshot!("connection_made", made.shown());
    let one = made.header("location").unwrap().to_owned();
    assert_eq!(one, format!("{ALL}/{}", made.json()["id"].as_str().unwrap()));

    let read = world.get(Who::Viewer, &one).await;
    assert_eq!((read.status, &read.json()), (200, &made.json()));
    assert_eq!(read.header("etag"), made.header("etag"));
    assert_snapshot!("connection_list", world.get(Who::Viewer, ALL).await.shown());

    world.clock.advance(TimeDelta::seconds(90));
    let change = json!({ "name": " Sales ", "access_token": "EAAG-second-token" });
    let changed = world.send(Who::Admin, Method::PATCH, &one, &change).await;
    assert_snapshot!("connection_changed", changed.shown());

    let ended = world.send(Who::Admin, Method::DELETE, &one, &Value::Null).await;
    assert_snapshot!("connection_ended", ended.shown());
    assert_eq!(world.get(Who::Admin, &one).await.status, 404);
    assert_eq!(world.send(Who::Admin, Method::DELETE, &one, &Value::Null).await.status, 404);
    assert!(world.get(Who::Admin, ALL).await.data().is_empty());
    // The number is free again, for anybody.
    world.connect(Who::Stranger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_has_a_default() {
    let world = World::new().await;
    let body = json!({
        "name": "Bare", "phone_number_id": "1", "waba_id": "2", "access_token": "EAAG",
    });
    let made = world.post(Who::Admin, ALL, &body).await;
    assert_snapshot!("connection_bare", made.shown());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_number_is_connected_once_however_many_try_and_nobody_learns_by_whom() {
    let world = World::new().await;
    let body = connection_body();
    let tries = (0..8).map(|n| {
        let who = if n % 2 == 0 { Who::Admin } else { Who::Stranger };
        world.post(who, ALL, &body)
    });
    let mut outcomes = BTreeMap::new();
    for answer in join_all(tries).await {
        if answer.status == 409 {
            assert_snapshot!("number_connected_already", answer.shown());
        }
        *outcomes.entry(answer.status).or_insert(0) += 1;
    }
    assert_eq!(outcomes, BTreeMap::from([(201, 1), (409, 7)]));
    assert_eq!(world.db.count("SELECT count(*) AS count FROM connections").await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_cannot_be_used_are_pointed_at() {
    let world = World::new().await;
    let wrong = [
        ("/name", json!("")),
        ("/name", json!("a\u{0}b")),
        ("/name", Value::Null),
        ("/phone_number_id", json!("+4930")),
        ("/phone_number_id", json!("1".repeat(65))),
        ("/waba_id", json!("")),
        ("/waba_id", json!(104)),
        ("/display_phone_number", json!("055501200")),
        ("/access_token", json!("EA AG")),
        ("/access_token", json!("")),
        ("/limits", json!(5)),
        ("/limits/webhook_per_minute", json!({ "webhook_per_minute": 0 })),
        ("/limits/webhook_per_minute", json!({ "webhook_per_minute": 1.5 })),
        ("/limits/whatsapp_api_per_minute", json!({ "whatsapp_api_per_minute": 1_000_001 })),
        ("/limits/webhook_over_limit", json!({ "webhook_over_limit": "drop" })),
        ("/limits/per_minute", json!({ "per_minute": 5 })),
        ("/pin", json!("123456")),
    ];
    for (pointer, value) in wrong {
        let mut body = connection_body();
        let member = pointer.split('/').nth(1).unwrap();
        body[member] = value;
        let answer = world.post(Who::Admin, ALL, &body).await;
        assert_eq!((answer.status, &answer.json()["errors"][0]["pointer"]), (422, &json!(pointer)));
    }
    for member in ["name", "phone_number_id", "waba_id", "access_token"] {
        let mut body = connection_body();
        body.as_object_mut().unwrap().remove(member);
        let answer = world.post(Who::Admin, ALL, &body).await;
        assert_eq!(
            (answer.status, &answer.json()["errors"][0]["code"]),
            (422, &json!("missing_field"))
        );
    }
    assert!(world.get(Who::Admin, ALL).await.data().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_prepared_on_an_old_reading_is_refused() {
    let world = World::new().await;
    let one = format!("{ALL}/{}", world.connect(Who::Admin).await);
    let tag = world.get(Who::Admin, &one).await.header("etag").unwrap().to_owned();
    let rename = |name: String| {
        let request = TestRequest::patch().uri(&one).insert_header(("if-match", tag.clone()));
        world.call(Who::Admin, request.set_json(json!({ "name": name })))
    };
    let mut answers = join_all((0..6).map(|n| rename(format!("Name {n}")))).await;
    answers.sort_by_key(|answer| answer.status);
    let outcomes: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(outcomes, [200, 412, 412, 412, 412, 412]);
    assert_snapshot!("etag_mismatch", answers[1].shown());
    // The clock stood still; the version did not.
    assert_ne!(answers[0].header("etag"), Some(tag.as_str()));
    assert_eq!(world.get(Who::Admin, &one).await.json()["name"], answers[0].json()["name"]);

    let delete = TestRequest::delete().uri(&one).insert_header(("if-match", tag.clone()));
    assert_eq!(world.call(Who::Admin, delete).await.status, 412);
    let absent = one.replace("cnx_0", "cnx_f");
    let delete = TestRequest::delete().uri(&absent).insert_header(("if-match", tag));
    assert_eq!(world.call(Who::Admin, delete).await.status, 404);
    let any = TestRequest::delete().uri(&one).insert_header(("if-match", "*"));
    assert_eq!(world.call(Who::Admin, any).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn following_next_visits_every_connection_once_newest_first() {
    let world = World::new().await;
    let mut made = Vec::new();
    for n in 0..5 {
        let mut body = connection_body();
        body["phone_number_id"] = json!(format!("{n}"));
        made.push(
            world.post(Who::Admin, ALL, &body).await.json()["id"].as_str().unwrap().to_owned(),
        );
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut next = Some(format!("{ALL}?limit=2"));
    while let Some(uri) = next {
        let page = world.get(Who::Viewer, &uri).await;
        seen.extend(page.ids());
        let link = page.header("link").and_then(|link| link.split_once('>'));
        next = link.map(|(uri, _)| uri.trim_start_matches('<').to_owned());
    }
    assert_eq!(seen, made);
}
