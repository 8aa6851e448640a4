//! Meta apps and the rotation of their secrets.

use chrono::TimeDelta;
use insta::assert_snapshot;
use serde_json::json;

use super::world::{Who, World};

const ALL: &str = "/v1/meta-apps";

#[tokio::test(flavor = "multi_thread")]
async fn two_secrets_are_in_force_during_a_rotation_and_one_after_it() {
    let world = World::new().await;
    let body = json!({ "slug": "acme", "app_secret": "first", "verify_token": "handshake" });
    let made = world.post(Who::Admin, ALL, &body).await;
    assert_snapshot!("app_made", made.shown());
    let rotate = format!("{}/rotate-secret", made.header("location").unwrap());

    let rotation = json!({ "app_secret": "second" });
    let rotated = world.post(Who::Admin, &rotate, &rotation).await;
    assert_snapshot!("app_rotated", rotated.shown());
    world.clock.advance(TimeDelta::hours(24));
    let listed = world.get(Who::Viewer, ALL).await;
    assert_snapshot!("app_list", listed.shown());
}

/// A leaked secret must stop to work, whatever an earlier rotation promised.
#[tokio::test(flavor = "multi_thread")]
async fn without_overlap_no_older_secret_is_left() {
    let world = World::new().await;
    let body = json!({ "slug": "acme", "app_secret": "first", "verify_token": "handshake" });
    let made = world.post(Who::Admin, ALL, &body).await;
    let rotate = format!("{}/rotate-secret", made.header("location").unwrap());
    let slow = json!({ "app_secret": "second", "overlap_seconds": 3600 });
    let at_once = json!({ "app_secret": "third", "overlap_seconds": 0 });
    let in_force = async |rotation| {
        world.post(Who::Admin, &rotate, rotation).await.json()["secrets_in_force"].clone()
    };
    assert_eq!(in_force(&slow).await, 2);
    assert_eq!(in_force(&at_once).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_belongs_to_one_app_of_the_installation() {
    let world = World::new().await;
    let body = json!({ "slug": "acme", "app_secret": "s", "verify_token": "t" });
    assert_eq!(world.post(Who::Admin, ALL, &body).await.status, 201);
    assert_snapshot!("slug_taken", world.post(Who::Stranger, ALL, &body).await.shown());
    for (member, value) in [("slug", "Acme/2"), ("app_secret", ""), ("verify_token", "a b")] {
        let mut wrong = body.clone();
        wrong[member] = json!(value);
        let answer = world.post(Who::Admin, ALL, &wrong).await;
        assert_eq!(answer.json()["errors"][0]["pointer"], json!(format!("/{member}")));
    }
    assert_eq!(world.db.count("SELECT count(*) AS count FROM meta_app_secrets").await.unwrap(), 1);
}
