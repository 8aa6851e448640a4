//! Who may do what: every route, seen by everybody who may not.

use actix_web::http::Method;
use serde_json::{Value, json};

use crate::world::{Who, World};

/// What a stranger with a valid key of another workspace sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Foreign {
    /// A list without anything in it.
    Empty,
    /// Nothing at this address.
    NotFound,
    /// The route makes something in the caller's own workspace.
    Own,
}

struct Route {
    method: Method,
    uri: String,
    body: Value,
    foreign: Foreign,
}

/// Every route, with ids that exist in the home workspace.
async fn routes(world: &World) -> Vec<Route> {
    let lena = world.writes("4915755512345").await;
    let contact = format!("/v1/contacts/{lena}");
    let text = json!({ "text": "Calls back on Monday." });
    let note = world.post(Who::Admin, &format!("{contact}/notes"), &text).await;
    let note = note.header("location").unwrap().to_owned();
    let twin = world.writes("4915755599999").await;
    let merge = json!({ "keep": lena, "merge": [twin], "dry_run": true });
    let read = |uri: &str, foreign| Route {
        method: Method::GET,
        uri: uri.to_owned(),
        body: Value::Null,
        foreign,
    };
    let write =
        |method, uri: &str, body, foreign| Route { method, uri: uri.to_owned(), body, foreign };
    vec![
        read("/v1/contacts", Foreign::Empty),
        write(Method::PUT, "/v1/contacts/by-phone/+4915700000000", json!({}), Foreign::Own),
        read(&contact, Foreign::NotFound),
        write(Method::PATCH, &contact, json!({ "name": "Mine" }), Foreign::NotFound),
        write(Method::PUT, &format!("{contact}/tags/vip"), Value::Null, Foreign::NotFound),
        write(Method::DELETE, &format!("{contact}/tags/vip"), Value::Null, Foreign::NotFound),
        read(&format!("{contact}/notes"), Foreign::NotFound),
        write(Method::POST, &format!("{contact}/notes"), json!({ "text": "x" }), Foreign::NotFound),
        write(Method::DELETE, &note, Value::Null, Foreign::NotFound),
        write(Method::POST, "/v1/contacts/merge", json!(merge), Foreign::NotFound),
        read(&format!("{contact}/consents"), Foreign::NotFound),
        write(Method::POST, &format!("{contact}/opt-out"), Value::Null, Foreign::NotFound),
        write(Method::POST, &format!("{contact}/opt-in"), Value::Null, Foreign::NotFound),
        write(Method::DELETE, &contact, Value::Null, Foreign::NotFound),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn another_workspace_sees_nothing_and_changes_nothing() {
    let world = World::new().await;
    let routes = routes(&world).await;
    let before = everything(&world).await;
    for Route { method, uri, body, foreign } in &routes {
        if *foreign == Foreign::Own {
            continue;
        }
        let answer = world.send(Who::Stranger, method.clone(), uri, body).await;
        match foreign {
            Foreign::Empty => assert!(answer.data().is_empty(), "{method} {uri}"),
            Foreign::NotFound | Foreign::Own => {
                answer.assert(404, Some("not_found"), &format!("{method} {uri}"));
            }
        }
    }
    assert_eq!(everything(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_nothing_is_told_and_a_viewer_changes_nothing() {
    let world = World::new().await;
    let routes = routes(&world).await;
    let before = everything(&world).await;
    for Route { method, uri, body, .. } in &routes {
        let what = format!("{method} {uri}");
        let answer = world.send(Who::Nobody, method.clone(), uri, body).await;
        answer.assert(401, Some("key_invalid"), &what);
        let answer = world.send(Who::Viewer, method.clone(), uri, body).await;
        match *method {
            Method::GET => answer.assert(200, None, &what),
            _ => answer.assert(403, Some("scope_missing"), &what),
        }
    }
    assert_eq!(everything(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_may_use_every_route() {
    let world = World::new().await;
    for Route { method, uri, body, .. } in routes(&world).await {
        let answer = world.send(Who::Admin, method.clone(), &uri, &body).await;
        assert!(matches!(answer.status, 200 | 201), "{method} {uri}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ill_formed_id_is_not_found() {
    let world = World::new().await;
    for Route { method, uri, body, .. } in routes(&world).await {
        let Some((before, id)) = uri.split_once('_') else { continue };
        let ill_formed = format!("{before}_1{}", id.get(32..).unwrap());
        let answer = world.send(Who::Admin, method.clone(), &ill_formed, &body).await;
        answer.assert(404, Some("not_found"), &format!("{method} {ill_formed}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_nobody_knows_is_refused_before_anything_happens() {
    let world = World::new().await;
    let routes = routes(&world).await;
    let before = everything(&world).await;
    for Route { method, uri, body, .. } in &routes {
        let mistyped = format!("{uri}?dry_rnu=true");
        let answer = world.send(Who::Admin, method.clone(), &mistyped, body).await;
        answer.assert(400, Some("unknown_parameter"), &format!("{method} {mistyped}"));
    }
    assert_eq!(everything(&world).await, before);
}

/// Every contact, and what is kept beside it, as the tables hold them.
async fn everything(world: &World) -> i64 {
    let sql = "SELECT sum(hashtext(row)::bigint)::bigint AS count FROM ( \
               SELECT contacts::text AS row FROM contacts \
               UNION ALL SELECT contact_notes::text FROM contact_notes \
               UNION ALL SELECT contact_consents::text FROM contact_consents) AS rows";
    world.db.count(sql).await.unwrap()
}
