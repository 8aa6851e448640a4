//! `/v1/bots` as its callers see it.

use actix_web::http::Method;
use serde_json::{Value, json};
use service::Role;

use crate::client::Client;
use crate::crowd::{Setup, with_crowd};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_is_made_shown_listed_changed_and_deleted() {
    let world = World::new().await;
    with_crowd(&world, Setup::default(), async |crowd| {
        let client = Client::new(crowd.chatbot(), world.workspace);
        let new = json!({ "name": " Echo ", "connections": [world.connection] });
        let created = client.call(Method::POST, "/v1/bots", new).await;
        insta::assert_snapshot!("bot_created", created.shown());
        let path = created.header("location").to_owned();
        assert_eq!(client.get(&path).await.body, created.body);
        client.created("/v1/bots", json!({ "name": "Second", "enabled": false })).await;
        insta::assert_snapshot!("bots_listed", client.get("/v1/bots?limit=1").await.shown());

        let patch = json!({ "name": "Parrot", "connections": [], "enabled": false });
        insta::assert_snapshot!(
            "bot_changed",
            client.call(Method::PATCH, &path, patch).await.shown()
        );
        let deleted = client.call(Method::DELETE, &path, Value::Null).await;
        assert_eq!((deleted.status, &deleted.body["id"]), (200, &created.body["id"]));
        assert_eq!(client.get(&path).await.status, 404);
    })
    .await;
    assert_eq!(world.count("bots").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_based_on_an_old_reading_is_refused() {
    let world = World::new().await;
    with_crowd(&world, Setup::default(), async |crowd| {
        let client = Client::new(crowd.chatbot(), world.workspace);
        let bot = client.created("/v1/bots", json!({ "name": "Echo" })).await;
        let path = format!("/v1/bots/{bot}");
        let rename = |name: &str, etag| {
            client.call_with(Method::PATCH, &path, json!({ "name": name }), etag)
        };
        let renamed = rename("First", Some("\"1\"")).await;
        assert_eq!((renamed.status, renamed.header("etag")), (200, "\"2\""));
        insta::assert_snapshot!("bot_stale", rename("Second", Some("\"1\"")).await.shown());
        assert_eq!(client.get(&path).await.body["name"], "First");
        assert_eq!(rename("Third", None).await.status, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_the_workspaces_own_and_has_one_bot() {
    let world = World::new().await;
    let (neighbour, theirs) = world.neighbour().await;
    let other = world.another_connection().await;
    with_crowd(&world, Setup::default(), async |crowd| {
        let client = Client::new(crowd.chatbot(), world.workspace);
        let make = |name: &str, connections: Value| {
            let body = json!({ "name": name, "connections": connections });
            client.call(Method::POST, "/v1/bots", body)
        };
        insta::assert_snapshot!(
            "connection_foreign",
            make("A", json!([world.connection, theirs])).await.shown()
        );
        let first = make("B", json!([world.connection])).await;
        assert_eq!(first.status, 201);
        insta::assert_snapshot!(
            "connection_taken",
            make("C", json!([other, world.connection])).await.shown()
        );
        assert_eq!(make("D", json!([other])).await.status, 201);
        assert_eq!(make("E", json!(["msg_1"])).await.status, 422);
        // The neighbour's bots are theirs.
        let stranger = Client::new(crowd.chatbot(), neighbour);
        stranger.created("/v1/bots", json!({ "name": "N", "connections": [theirs] })).await;
    })
    .await;
    assert_eq!(world.count("bots").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_of_another_workspace_is_not_there() {
    let world = World::new().await;
    let (neighbour, _) = world.neighbour().await;
    with_crowd(&world, Setup::default(), async |crowd| {
        let client = Client::new(crowd.chatbot(), world.workspace);
        let bot = client.created("/v1/bots", json!({ "name": "Echo" })).await;
        let rule = json!({
            "match": { "kind": "any" }, "reply": { "type": "text", "text": { "body": "hi" } }
        });
        let id = client.created(&format!("/v1/bots/{bot}/rules"), rule.clone()).await;
        let other = client.created("/v1/bots", json!({ "name": "Other" })).await;

        let stranger = Client::new(crowd.chatbot(), neighbour);
        let (bot, rules) = (format!("/v1/bots/{bot}"), format!("/v1/bots/{bot}/rules"));
        for (method, path, body) in [
            (Method::GET, bot.clone(), Value::Null),
            (Method::PATCH, bot.clone(), json!({ "name": "Mine" })),
            (Method::DELETE, bot.clone(), Value::Null),
            (Method::GET, rules.clone(), Value::Null),
            (Method::POST, rules.clone(), rule.clone()),
            (Method::PATCH, format!("{rules}/{id}"), rule),
            (Method::DELETE, format!("{rules}/{id}"), Value::Null),
            (Method::PUT, format!("{rules}/order"), json!({ "rules": [id] })),
        ] {
            let refused = stranger.call(method.clone(), &path, body).await;
            assert_eq!(refused.status, 404, "{method} {path} {}", refused.body);
        }
        assert_eq!(stranger.get("/v1/bots").await.body["data"], json!([]));
        // A rule is reached through its own bot only.
        let through = format!("/v1/bots/{other}/rules/{id}");
        assert_eq!(client.call(Method::DELETE, &through, Value::Null).await.status, 404);
        assert_eq!(client.get(&rules).await.body["data"][0]["id"], json!(id));
        assert_eq!(client.get(&bot).await.body["version"], 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_look_changes_nothing() {
    let world = World::new().await;
    with_crowd(&world, Setup::default(), async |crowd| {
        let viewer = Client::of_role(crowd.chatbot(), world.workspace, Role::Viewer);
        assert_eq!(viewer.get("/v1/bots").await.status, 200);
        let refused = viewer.call(Method::POST, "/v1/bots", json!({ "name": "Echo" })).await;
        assert_eq!((refused.status, &refused.body["scope"]), (403, &json!("bots:write")));
        let (bot, rule) = (kernel::ids::BotId::new(), kernel::ids::RuleId::new());
        for (method, path) in [
            (Method::PATCH, format!("/v1/bots/{bot}")),
            (Method::DELETE, format!("/v1/bots/{bot}")),
            (Method::POST, format!("/v1/bots/{bot}/rules")),
            (Method::PATCH, format!("/v1/bots/{bot}/rules/{rule}")),
            (Method::DELETE, format!("/v1/bots/{bot}/rules/{rule}")),
            (Method::PUT, format!("/v1/bots/{bot}/rules/order")),
        ] {
            let body = match (&method, path.ends_with("rules")) {
                (&Method::DELETE, _) => Value::Null,
                (&Method::PUT, _) => json!({ "rules": [] }),
                (_, true) => json!({
                    "match": { "kind": "any" },
                    "reply": { "type": "text", "text": { "body": "hi" } }
                }),
                (_, false) => json!({}),
            };
            let refused = viewer.call(method.clone(), &path, body).await;
            assert_eq!(refused.status, 403, "{method} {path} {}", refused.body);
        }
    })
    .await;
    assert_eq!(world.count("bots").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_members_that_cannot_be_used_are_pointed_at() {
    let world = World::new().await;
    with_crowd(&world, Setup::default(), async |crowd| {
        let client = Client::new(crowd.chatbot(), world.workspace);
        for (body, pointer) in [
            (json!({ "name": "" }), "/name"),
            (json!({ "name": "x".repeat(201) }), "/name"),
            (json!({ "name": "a\u{0}b" }), "/name"),
            (json!({ "name": "Echo", "nmae": 1 }), "/nmae"),
            (json!({ "name": "Echo", "connections": ["bot_1"] }), "/connections/0"),
        ] {
            let refused = client.call(Method::POST, "/v1/bots", body).await;
            assert_eq!(refused.status, 422, "{}", refused.body);
            assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{}", refused.body);
        }
        assert_eq!(client.get("/v1/bots?nmae=x").await.status, 400);
    })
    .await;
}
