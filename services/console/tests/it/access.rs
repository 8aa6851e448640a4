//! Who may do what: every route, seen by everybody who may not.

use actix_web::http::Method;
use coordination::{Limit, LimitName, LockName};
use serde_json::{Value, json};

use super::world::{Who, World};

struct Route {
    method: Method,
    uri: String,
    body: Value,
    /// What a stranger gets: an empty list, or nothing at this address.
    is_list: bool,
    /// The least of the roles that may.
    allowed: Who,
}

/// Every route, with names of the home workspace.
async fn routes(world: &World) -> Vec<Route> {
    let key = world.connection;
    let lock = format!("/v1/ops/locks/template_sync:connection:{key}");
    let held = world.get(Who::Admin, &lock).await.json();
    let release = json!({ "owner_token_prefix": held["owner_token_prefix"], "reason": "stuck" });
    let change = json!({ "key": key, "limit": 250, "reason": "launch" });
    let route = |method, uri: &str, body, is_list, allowed| Route {
        method,
        uri: uri.to_owned(),
        body,
        is_list,
        allowed,
    };
    let one = format!("/v1/ops/limits/whatsapp_api?key={key}");
    vec![
        route(Method::GET, "/v1/ops/locks", Value::Null, true, Who::Viewer),
        route(Method::GET, &lock, Value::Null, false, Who::Viewer),
        route(Method::GET, "/v1/ops/limits", Value::Null, true, Who::Viewer),
        route(Method::GET, &one, Value::Null, false, Who::Viewer),
        route(Method::PATCH, "/v1/ops/limits/whatsapp_api", change, false, Who::Admin),
        route(Method::POST, &format!("{lock}/release"), release, false, Who::Operator),
    ]
}

/// A world in which the home workspace holds a lock and uses a limit.
async fn busy() -> (World, coordination::BatchGuard) {
    let world = World::new().await;
    let guard = world.hold(LockName::TemplateSync(world.connection)).await;
    let limit = Limit::of(LimitName::WhatsAppApi(world.connection));
    let decision = world.coordination.limiter().check(&[limit], 3).await;
    assert!(matches!(decision, coordination::Decision::Go(_)));
    (world, guard)
}

/// What a change by hand would leave behind.
async fn changes(world: &World) -> i64 {
    world.count("audit_log").await + world.count("coordination_overrides").await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_workspace_sees_nothing_and_changes_nothing() {
    let (world, guard) = busy().await;
    for Route { method, uri, body, is_list, .. } in routes(&world).await {
        let answer = world.send(Who::Stranger, method.clone(), &uri, &body).await;
        if is_list {
            assert!(answer.data().is_empty(), "{method} {uri}: {}", answer.body);
        } else {
            answer.assert(404, Some("not_found"), &format!("{method} {uri}"));
        }
    }
    assert_eq!(changes(&world).await, 0);
    assert!(guard.is_valid() && guard.release().await == coordination::Hold::Kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_nothing_is_told_and_without_a_scope_nothing_is_done() {
    let (world, guard) = busy().await;
    for Route { method, uri, body, allowed, .. } in routes(&world).await {
        let what = format!("{method} {uri}");
        let answer = world.send(Who::Nobody, method.clone(), &uri, &body).await;
        answer.assert(401, Some("key_invalid"), &what);
        let lesser: &[Who] = match allowed {
            Who::Admin => &[Who::Marketer, Who::Viewer, Who::Operator],
            Who::Operator => &[Who::Marketer, Who::Viewer],
            _ => &[Who::Marketer],
        };
        for who in lesser {
            let answer = world.send(*who, method.clone(), &uri, &body).await;
            answer.assert(403, Some("scope_missing"), &format!("{what} by {who:?}"));
        }
    }
    assert_eq!(changes(&world).await, 0);
    assert!(guard.is_valid() && guard.release().await == coordination::Hold::Kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_scope_may_use_the_route() {
    let (world, _guard) = busy().await;
    for Route { method, uri, body, allowed, .. } in routes(&world).await {
        let answer = world.send(allowed, method.clone(), &uri, &body).await;
        assert_eq!(answer.status, 200, "{method} {uri}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_nobody_knows_is_refused_before_anything_happens() {
    let (world, _guard) = busy().await;
    for Route { method, uri, body, .. } in routes(&world).await {
        let joint = if uri.contains('?') { '&' } else { '?' };
        let mistyped = format!("{uri}{joint}dry_rnu=true");
        let answer = world.send(Who::Admin, method.clone(), &mistyped, &body).await;
        answer.assert(400, Some("unknown_parameter"), &format!("{method} {mistyped}"));
    }
    assert_eq!(changes(&world).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_of_all_tenants_is_not_changed_by_one_of_them() {
    let world = World::new().await;
    let change = json!({ "limit": 1, "reason": "mine" });
    let answer = world.send(Who::Admin, Method::PATCH, "/v1/ops/limits/bot", &change).await;
    answer.assert(403, Some("installation_only"), "the default of bot");
    assert_eq!(changes(&world).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_belong_to_nobody_are_seen_by_no_workspace() {
    let world = World::new().await;
    let tick = LockName::ReminderSchedule(coordination::registry::Tick(7));
    let _tick = world.hold(tick).await;
    let wamid = kernel::Wamid::new("wamid.HBgLMTU1NTEyMzQ1Njc");
    let _message = world.hold(LockName::WebhookMessage(wamid)).await;
    for who in [Who::Admin, Who::Stranger] {
        assert!(world.get(who, "/v1/ops/locks").await.data().is_empty());
    }
    let held = world.desk.held_locks(console::View::Installation, None, console::Naming::Masked);
    assert_eq!(held.await.unwrap().len(), 2);
}
