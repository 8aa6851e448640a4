//! Tags one by one, and notes.

use actix_web::http::Method;
use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::world::{Who, World};

async fn ada(world: &World) -> String {
    format!("/v1/contacts/{}", world.writes("4915755512345").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_tags_added_and_removed_at_once_none_is_lost() {
    let world = World::new().await;
    let one = ada(&world).await;
    let tag = async |method: Method, tag: String| {
        let answer =
            world.send(Who::Admin, method, &format!("{one}/tags/{tag}"), &Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    join_all((10..30).map(|n| tag(Method::PUT, format!("t{n}")))).await;
    let both = (10..30).map(|n| {
        let method = if n % 2 == 0 { Method::DELETE } else { Method::PUT };
        tag(method, format!("t{n}"))
    });
    join_all(both).await;
    let tags: Vec<String> = (10..30).filter(|n| n % 2 == 1).map(|n| format!("t{n}")).collect();
    assert_eq!(world.get(Who::Viewer, &one).await.json()["tags"], json!(tags));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_there_already_changes_nothing() {
    let world = World::new().await;
    let one = ada(&world).await;
    let tag = format!("{one}/tags/a%20b");
    let first = world.send(Who::Admin, Method::PUT, &tag, &Value::Null).await;
    world.clock.advance(TimeDelta::minutes(1));
    let again = world.send(Who::Admin, Method::PUT, &tag, &Value::Null).await;
    assert_eq!((first.json(), first.header("etag")), (again.json(), again.header("etag")));
    assert_eq!(again.json()["tags"], json!(["a b"]));
    let wrong = world.send(Who::Admin, Method::PUT, &format!("{one}/tags/a,b"), &Value::Null).await;
    wrong.assert(422, Some("validation_failed"), "a comma");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fifty_first_tag_is_refused_and_any_may_be_taken_off() {
    let world = World::new().await;
    let one = ada(&world).await;
    let tags: Vec<String> = (0..50).map(|n| format!("t{n:02}")).collect();
    world.send(Who::Admin, Method::PATCH, &one, &json!({ "tags": tags })).await;
    let add = async |tag: &str| {
        world.send(Who::Admin, Method::PUT, &format!("{one}/tags/{tag}"), &Value::Null).await
    };
    add("more").await.assert(422, Some("validation_failed"), "one too many");
    add("t49").await.assert(200, None, "one that is there");
    let taken = format!("{one}/tags/t00");
    let taken = world.send(Who::Admin, Method::DELETE, &taken, &Value::Null).await;
    assert_eq!(taken.json()["tags"].as_array().unwrap().len(), 49);
    add("more").await.assert(200, None, "there is room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_says_who_wrote_it_and_when() {
    let world = World::new().await;
    let one = ada(&world).await;
    let notes = format!("{one}/notes");
    for text in ["Calls back on Monday.", " Prefers mornings.\n"] {
        let made = world.post(Who::Admin, &notes, &json!({ "text": text })).await;
        assert_eq!(made.status, 201, "{}", made.body);
        world.clock.advance(TimeDelta::minutes(1));
    }
    let all = world.get(Who::Viewer, &notes).await.data();
    assert_eq!(
        (&all[0]["text"], &all[1]["text"]),
        (&json!("Prefers mornings."), &json!("Calls back on Monday."))
    );
    assert_eq!(all[0]["created_at"], json!("2026-11-22T10:01:00.000Z"));
    assert!(all[0]["author"].as_str().unwrap().starts_with("key_"));
    let newest = format!("{notes}/{}", all[0]["id"].as_str().unwrap());
    assert_eq!(world.send(Who::Admin, Method::DELETE, &newest, &Value::Null).await.status, 200);
    assert_eq!(world.send(Who::Admin, Method::DELETE, &newest, &Value::Null).await.status, 404);
    assert_eq!(world.get(Who::Viewer, &notes).await.data().len(), 1);
    let empty = world.post(Who::Admin, &notes, &json!({ "text": " " })).await;
    empty.assert(422, Some("validation_failed"), "nothing was written");
}
