//! Contacts: made and changed by number, whoever comes first; consent given and withdrawn.

use actix_web::http::Method;
use actix_web::test::TestRequest;
use chrono::TimeDelta;
use futures_util::future::join_all;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::world::{Who, World};

const ADA: &str = "/v1/contacts/by-phone/+4915755512345";

/// Keeps Ada; answers with her address.
async fn ada(world: &World, body: &Value) -> String {
    let kept = world.send(Who::Admin, Method::PUT, ADA, body).await;
    assert!(matches!(kept.status, 200 | 201), "{}", kept.body);
    format!("/v1/contacts/{}", kept.json()["id"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_is_made_by_number_and_then_changed_by_it() {
    let world = World::new().await;
    let body = json!({
        "name": "Ada", "tags": ["vip", "berlin", "vip"],
        "attributes": { "city": "Berlin", "orders": 3, "plan": "gold", "none": null },
    });
    let made = world.send(Who::Admin, Method::PUT, ADA, &body).await;
    assert_snapshot!("contact_made", made.shown());
    let one = made.header("location").unwrap().to_owned();
    assert_eq!(world.get(Who::Viewer, &one).await.json(), made.json());

    world.clock.advance(TimeDelta::minutes(1));
    let body = json!({ "attributes": { "plan": null, "orders": 4 } });
    let changed = world.send(Who::Admin, Method::PUT, ADA, &body).await;
    assert_snapshot!("contact_changed", changed.shown());
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_upserts_of_one_number_at_once_make_one_contact() {
    let world = World::new().await;
    let tries = (0..50).map(|n| {
        let body = json!({ "attributes": { format!("a{n}"): n } });
        let world = &world;
        async move { world.send(Who::Admin, Method::PUT, ADA, &body).await }
    });
    let answers = join_all(tries).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(201), count(200)), (1, 49));
    let all = world.get(Who::Viewer, "/v1/contacts").await.data();
    // Nobody's attribute was lost, and no two answers showed the same version.
    assert_eq!((all.len(), all[0]["attributes"].as_object().unwrap().len()), (1, 50));
    let mut versions: Vec<_> = answers.iter().map(|answer| answer.header("etag")).collect();
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_wrote_before_is_the_same_contact() {
    let world = World::new().await;
    let lena = world.writes("4915755512345").await;
    let one = ada(&world, &json!({ "tags": ["vip"] })).await;
    assert!(one.ends_with(&lena.to_string()));
    let shown = world.get(Who::Viewer, &one).await.json();
    assert_eq!((&shown["name"], &shown["source"]), (&json!("Lena"), &json!("webhook")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_changes_what_it_names_and_null_forgets() {
    let world = World::new().await;
    let attributes = json!({ "city": "Berlin", "plan": "gold" });
    let one = ada(&world, &json!({ "name": "Ada", "tags": ["a"], "attributes": attributes })).await;
    let body = json!({ "name": null, "attributes": { "plan": null, "is_member": true } });
    let shown = world.send(Who::Admin, Method::PATCH, &one, &body).await.json();
    assert_eq!((&shown["name"], &shown["tags"]), (&Value::Null, &json!(["a"])));
    assert_eq!(shown["attributes"], json!({ "city": "Berlin", "is_member": true }));
    let shown = world.send(Who::Admin, Method::PATCH, &one, &json!({ "tags": [] })).await.json();
    assert_eq!(shown["tags"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_prepared_on_an_old_reading_is_refused() {
    let world = World::new().await;
    let one = ada(&world, &json!({})).await;
    let tag = world.get(Who::Admin, &one).await.header("etag").unwrap().to_owned();
    let patch = |name: String| {
        let request = TestRequest::patch().uri(&one).insert_header(("if-match", tag.clone()));
        world.call(Who::Admin, request.set_json(json!({ "name": name })))
    };
    let answers = join_all((0..4).map(|n| patch(format!("Name {n}")))).await;
    let mut outcomes: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, [200, 412, 412, 412]);
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_is_idempotent_and_keeps_the_time_of_the_first() {
    let world = World::new().await;
    let one = ada(&world, &json!({})).await;
    let act = async |verb: &str| {
        world.clock.advance(TimeDelta::minutes(1));
        let answer = world.post(Who::Admin, &format!("{one}/{verb}"), &Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let shown = answer.json();
        (shown["opted_out_at"].clone(), shown["updated_at"].clone())
    };
    let first = act("opt-out").await;
    assert_eq!(first.0, json!("2026-11-22T10:01:00.000Z"));
    assert_eq!(act("opt-out").await, first);
    let back = act("opt-in").await;
    assert_eq!(back, (Value::Null, json!("2026-11-22T10:03:00.000Z")));
    assert_eq!(act("opt-in").await, back);
    // Bringing a contact again from elsewhere is no consent.
    act("opt-out").await;
    ada(&world, &json!({ "name": "Ada" })).await;
    assert_ne!(world.get(Who::Admin, &one).await.json()["opted_out_at"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_are_found_by_any_of_their_tags() {
    let world = World::new().await;
    for (phone, tags) in [("1", json!(["vip"])), ("2", json!(["berlin", "vip"])), ("3", json!([]))]
    {
        let uri = format!("/v1/contacts/by-phone/+4915700000{phone}");
        world.send(Who::Admin, Method::PUT, &uri, &json!({ "tags": tags })).await;
    }
    let count = async |query: &str| {
        world.get(Who::Viewer, &format!("/v1/contacts{query}")).await.data().len()
    };
    assert_eq!(count("").await, 3);
    assert_eq!(count("?tag=vip").await, 2);
    assert_eq!(count("?tag=berlin").await, 1);
    assert_eq!(count("?tag=berlin&tag=vip").await, 2);
    assert_eq!(count("?tag=other").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_of_a_contact_is_pointed_at() {
    let world = World::new().await;
    let wrong = [
        ("/name", json!({ "name": "a\u{0}" })),
        ("/tags", json!({ "tags": ["a,b"] })),
        ("/attributes", json!({ "attributes": { "a": [] } })),
        ("/phone", json!({ "phone": "+4915700000000" })),
    ];
    for (pointer, body) in wrong {
        let answer = world.send(Who::Admin, Method::PUT, ADA, &body).await;
        let errors = answer.json()["errors"].clone();
        let pointed = errors[0]["pointer"].as_str().unwrap_or_default().to_owned();
        assert!(answer.status == 422 && pointed.starts_with(pointer), "{pointed} {}", answer.body);
    }
    let uri = "/v1/contacts/by-phone/4915755512345";
    let answer = world.send(Who::Admin, Method::PUT, uri, &json!({})).await;
    assert_eq!((answer.status, &answer.json()["errors"][0]["pointer"]), (422, &json!("e164")));
    assert!(world.get(Who::Admin, "/v1/contacts").await.data().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_is_found_by_phone_as_it_is_written() {
    let world = World::new().await;
    let lena = world.writes("4915755512345").await;
    world.writes("4915755599999").await;
    let one = format!("/v1/contacts/{}", lena);
    assert_snapshot!("contact", world.get(Who::Viewer, &one).await.shown());
    for phone in ["%2B4915755512345", "+4915755512345", "%2B49%20157%20555-12345"] {
        let found = world.get(Who::Viewer, &format!("/v1/contacts?phone={phone}")).await;
        assert_eq!(found.ids(), [lena.to_string()], "{phone}");
    }
    let all = world.get(Who::Viewer, "/v1/contacts").await;
    assert_eq!(all.data().len(), 2);
    let nobody = world.get(Who::Viewer, "/v1/contacts?phone=%2B4915700000000").await;
    assert!(nobody.data().is_empty());
    let wrong = world.get(Who::Viewer, "/v1/contacts?phone=4915755512345").await;
    assert_snapshot!("contact_phone_wrong", wrong.shown());
}
