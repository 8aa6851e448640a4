//! `/v1/bots/{id}/rules` as its callers see it.

use actix_web::http::Method;
use serde_json::{Value, json};

use crate::client::Client;
use crate::crowd::{Setup, with_crowd};
use crate::world::World;

fn rule(kind: &str, value: &str) -> Value {
    json!({
        "match": { "kind": kind, "value": value },
        "reply": { "type": "text", "text": { "body": format!("{value} is working") } }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_appended_listed_changed_ordered_and_deleted() {
    let world = World::new().await;
    with_crowd(&world, Setup::default(), async |crowd| {
        let client = Client::new(crowd.chatbot(), world.workspace);
        let bot = client.created("/v1/bots", json!({ "name": "Echo" })).await;
        let path = format!("/v1/bots/{bot}/rules");
        let created = client.call(Method::POST, &path, rule("exact", "test")).await;
        insta::assert_snapshot!("rule_created", created.shown());
        let a = created.body["id"].as_str().unwrap().to_owned();
        let b = client.created(&path, rule("regex", "^b")).await;
        let c = client.created(&path, rule("any", "")).await;

        let order = json!({ "rules": [c, a, b] });
        let ordered = client.call(Method::PUT, &format!("{path}/order"), order).await;
        insta::assert_snapshot!("rules_ordered", ordered.shown());
        let patch = json!({ "match": { "kind": "prefix", "value": "a" } });
        let changed = client.call(Method::PATCH, &format!("{path}/{a}"), patch).await;
        insta::assert_snapshot!("rule_changed", changed.shown());
        let deleted = client.call(Method::DELETE, &format!("{path}/{c}"), Value::Null).await;
        assert_eq!((deleted.status, &deleted.body["id"]), (200, &json!(c)));
        insta::assert_snapshot!(
            "rules_listed",
            client.get(&format!("{path}?limit=1")).await.shown()
        );
        let first = format!("{path}/{a}");
        let stale = client.call_with(Method::DELETE, &first, Value::Null, Some("\"1\"")).await;
        assert_eq!(stale.status, 412);
        // Every change of a rule is one of its bot.
        assert_eq!(client.get(&format!("/v1/bots/{bot}")).await.body["version"], 7);
    })
    .await;
    assert_eq!(world.count("bot_rules WHERE position IN (1, 2)").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_cannot_be_used_are_pointed_at_and_not_stored() {
    let world = World::new().await;
    with_crowd(&world, Setup::default(), async |crowd| {
        let client = Client::new(crowd.chatbot(), world.workspace);
        let bot = client.created("/v1/bots", json!({ "name": "Echo" })).await;
        let path = format!("/v1/bots/{bot}/rules");
        let refused = client.call(Method::POST, &path, rule("regex", "(a")).await;
        insta::assert_snapshot!("regex_malformed", refused.shown());
        let reply = |body: &str| {
            let reply = json!({ "type": "text", "text": { "body": body } });
            json!({ "match": { "kind": "any" }, "reply": reply })
        };
        for (body, pointer) in [
            (rule("regex", "((a{100}){100}){100}"), "/match/value"),
            (rule("exact", " "), "/match/value"),
            (rule("contains", &"x".repeat(513)), "/match/value"),
            (rule("any", "x"), "/match/value"),
            (rule("fuzzy", "x"), "/match/kind"),
            (reply(""), "/reply/text/body"),
            (reply(&"x".repeat(4_097)), "/reply/text/body"),
            (reply("a\u{0}"), "/reply/text/body"),
            (json!({ "match": { "kind": "any" } }), ""),
        ] {
            let refused = client.call(Method::POST, &path, body).await;
            assert_eq!(refused.status, 422, "{}", refused.body);
            assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{}", refused.body);
        }
        assert_eq!(client.call(Method::POST, &path, reply(&"ü".repeat(4_096))).await.status, 201);
    })
    .await;
    assert_eq!(world.count("bot_rules").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_names_each_rule_once() {
    let world = World::new().await;
    with_crowd(&world, Setup::default(), async |crowd| {
        let client = Client::new(crowd.chatbot(), world.workspace);
        let bot = client.created("/v1/bots", json!({ "name": "Echo" })).await;
        let path = format!("/v1/bots/{bot}/rules");
        let a = client.created(&path, rule("exact", "a")).await;
        let b = client.created(&path, rule("exact", "b")).await;
        for rules in [json!([a]), json!([a, a]), json!([a, b, b]), json!([])] {
            let order = json!({ "rules": rules });
            let refused = client.call(Method::PUT, &format!("{path}/order"), order).await;
            assert_eq!(refused.status, 422, "{}", refused.body);
            assert_eq!(refused.body["errors"][0]["pointer"], "/rules");
        }
        assert_eq!(client.get(&format!("/v1/bots/{bot}")).await.header("etag"), "\"3\"");
    })
    .await;
}
