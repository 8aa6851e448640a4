//! Who may do what: every route, seen by everybody who may not.

use actix_web::http::Method;
use serde_json::{Value, json};
use storage::messages::Direction;

use super::events::happen;
use super::threads::thread;
use super::world::{Who, World, connection_body};

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
    let directions = [Direction::Inbound, Direction::Outbound];
    let thread = thread(world, "4915755512345", &directions).await;
    let unknown = "UPDATE outbound_messages SET state = 'unknown'";
    world.db.execute(unknown).await.unwrap();
    let event = happen(world, &thread).await.remove(0);
    let new_app = json!({ "slug": "acme", "app_secret": "s", "verify_token": "t" });
    let app = world.post(Who::Admin, "/v1/meta-apps", &new_app).await;
    let app = app.header("location").unwrap().to_owned();
    let connection = format!("/v1/connections/{}", thread.connection);
    let conversation = format!("/v1/conversations/{}", thread.conversation);
    let message = format!("/v1/messages/{}", thread.messages[1]);
    let text = json!({ "text": { "body": "hello" } });
    let mut to_lena = text.clone();
    to_lena["connection"] = json!(thread.connection);
    to_lena["to"] = json!("+4915755512345");
    let mut other_number = connection_body();
    other_number["phone_number_id"] = json!("290184457761306");
    let other_app = json!({ "slug": "other", "app_secret": "s", "verify_token": "t" });

    let read = |uri: &str, foreign| Route {
        method: Method::GET,
        uri: uri.to_owned(),
        body: Value::Null,
        foreign,
    };
    let write =
        |method, uri: &str, body, foreign| Route { method, uri: uri.to_owned(), body, foreign };
    vec![
        read("/v1/connections", Foreign::Empty),
        write(Method::POST, "/v1/connections", other_number, Foreign::Own),
        read(&connection, Foreign::NotFound),
        write(Method::PATCH, &connection, json!({ "name": "Mine" }), Foreign::NotFound),
        read(&format!("{connection}/limits"), Foreign::NotFound),
        write(Method::PUT, &format!("{connection}/limits"), json!({}), Foreign::NotFound),
        read("/v1/meta-apps", Foreign::Empty),
        write(Method::POST, "/v1/meta-apps", other_app, Foreign::Own),
        write(
            Method::POST,
            &format!("{app}/rotate-secret"),
            json!({ "app_secret": "mine" }),
            Foreign::NotFound,
        ),
        read("/v1/conversations", Foreign::Empty),
        read(&conversation, Foreign::NotFound),
        write(Method::PATCH, &conversation, json!({ "assignee": "me" }), Foreign::NotFound),
        write(Method::POST, &format!("{conversation}/read"), json!({}), Foreign::NotFound),
        read(&format!("{conversation}/messages"), Foreign::NotFound),
        write(Method::POST, &format!("{conversation}/messages"), text.clone(), Foreign::NotFound),
        read("/v1/messages", Foreign::Empty),
        write(Method::POST, "/v1/messages", to_lena, Foreign::Own),
        read(&message, Foreign::NotFound),
        read(&format!("{message}/timeline"), Foreign::NotFound),
        write(
            Method::POST,
            &format!("{message}/resolve"),
            json!({ "as": "sent" }),
            Foreign::NotFound,
        ),
        read("/v1/events", Foreign::Empty),
        read(&format!("/v1/events/{event}"), Foreign::NotFound),
        write(Method::DELETE, &connection, Value::Null, Foreign::NotFound),
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
        assert!(matches!(answer.status, 200..=202), "{method} {uri}: {}", answer.body);
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

/// Every connection, app and message, as the tables hold them.
async fn everything(world: &World) -> i64 {
    let sql = "SELECT sum(hashtext(row)::bigint)::bigint AS count FROM ( \
               SELECT connections::text AS row FROM connections \
               UNION ALL SELECT meta_apps::text FROM meta_apps \
               UNION ALL SELECT conversations::text FROM conversations \
               UNION ALL SELECT messages::text FROM messages \
               UNION ALL SELECT outbound_messages::text FROM outbound_messages \
               UNION ALL SELECT meta_app_secrets::text FROM meta_app_secrets) AS rows";
    world.db.count(sql).await.unwrap()
}
