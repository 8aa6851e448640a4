//! Who may do what: every route, seen by everybody.

use actix_web::http::Method;
use serde_json::{Value, json};
use service::Role::{self, Admin, Agent, Marketer, Operator, Viewer};

use super::frozen::frozen;
use super::world::{Extra, Who, World, with_api};

struct Route {
    method: Method,
    path: String,
    body: Value,
    /// Who may use it.
    roles: &'static [Role],
}

const READ: &[Role] = &[Viewer, Agent, Marketer, Operator, Admin];
const WRITE: &[Role] = &[Marketer, Admin];
const CONTROL: &[Role] = &[Marketer, Operator, Admin];

/// Every route below a campaign's path.
fn routes(path: &str) -> Vec<Route> {
    let schedule = json!({ "at": "2099-12-01T09:00:00", "time_zone": "UTC" });
    let routes = [
        (Method::GET, "", Value::Null, READ),
        (Method::GET, "/recipients", Value::Null, READ),
        (Method::GET, "/stats", Value::Null, READ),
        (Method::GET, "/log", Value::Null, READ),
        (Method::PATCH, "", json!({ "name": "Mine" }), WRITE),
        (Method::POST, "/clone", json!({}), WRITE),
        (Method::PUT, "/audience/file", json!("+4915755512345"), WRITE),
        (Method::POST, "/audience/preview", Value::Null, READ),
        (Method::POST, "/test-send", json!({ "to": ["+4915755512345"] }), WRITE),
        (Method::PUT, "/schedule", schedule, WRITE),
        (Method::DELETE, "/schedule", Value::Null, WRITE),
        (Method::POST, "/start", Value::Null, WRITE),
        (Method::POST, "/pause", Value::Null, CONTROL),
        (Method::POST, "/resume", Value::Null, CONTROL),
        (Method::POST, "/cancel", Value::Null, CONTROL),
        (Method::POST, "/retry-failed", json!({}), WRITE),
        (Method::POST, "/recipients/resolve", json!({ "as": "sent" }), WRITE),
        (Method::DELETE, "", Value::Null, WRITE),
    ];
    let route = |(method, below, body, roles)| {
        let path = format!("{path}{below}");
        Route { method, path, body, roles }
    };
    routes.map(route).into()
}

async fn status(world: &World, who: Who, route: &Route) -> (u16, String) {
    let mut extra = Extra { json: route.body.clone(), ..Extra::default() };
    if route.path.ends_with("/file") {
        extra.bytes = extra.json.as_str().map(|text| text.as_bytes().to_vec());
        extra.json = Value::Null;
    }
    extra.headers.push(("idempotency-key", "once".to_owned()));
    let answer = world.call(who, route.method.clone(), &route.path, extra).await;
    (answer.status, answer.body["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_does_what_its_scopes_allow_and_nothing_else() {
    with_api(async |world| {
        let path = frozen(world, "completed").await;
        for route in routes(&path) {
            let what = format!("{} {}", route.method, route.path);
            assert_eq!(status(world, Who::Nobody, &route).await.0, 401, "{what}");
            for role in Role::ALL {
                let (status, code) = status(world, Who::Home(role), &route).await;
                let is_refused = (status, code.as_str()) == (403, "scope_missing");
                assert_eq!(is_refused, !route.roles.contains(&role), "{what} by {role}: {status}");
            }
        }
        for role in Role::ALL {
            let answer = world.post(Who::Home(role), "/v1/campaigns", world.draft()).await;
            let expected = if WRITE.contains(&role) { 201 } else { 403 };
            assert_eq!(answer.status, expected, "{role}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_workspace_sees_nothing_and_changes_nothing() {
    with_api(async |world| {
        for state in ["draft", "running", "paused", "completed"] {
            let path = frozen(world, state).await;
            let before = everything(world).await;
            for route in routes(&path) {
                let what = format!("{} {}", route.method, route.path);
                let outcome = status(world, Who::Stranger, &route).await;
                assert_eq!(outcome, (404, "not_found".to_owned()), "{what}");
            }
            let list =
                world.call(Who::Stranger, Method::GET, "/v1/campaigns", Extra::default()).await;
            assert!(list.data().is_empty());
            assert_eq!(everything(world).await, before);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ill_formed_id_is_not_found_and_a_parameter_nobody_knows_is_refused() {
    with_api(async |world| {
        let path = frozen(world, "draft").await;
        let before = everything(world).await;
        for mut route in routes("/v1/campaigns/cmp_1") {
            assert_eq!(status(world, Who::Home(Admin), &route).await.0, 404, "{}", route.path);
            route.path = route.path.replace("cmp_1", "rul_00000000000000000000000000000000");
            assert_eq!(status(world, Who::Home(Admin), &route).await.0, 404, "{}", route.path);
        }
        for mut route in routes(&path) {
            let is_file = route.path.ends_with("/file");
            route.path = format!("{}?dry_rnu=true", route.path);
            if is_file {
                continue;
            }
            let outcome = status(world, Who::Home(Admin), &route).await;
            assert_eq!(outcome, (400, "unknown_parameter".to_owned()), "{}", route.path);
        }
        assert_eq!(everything(world).await, before);
    })
    .await;
}

/// Every row that the API may change.
async fn everything(world: &World) -> i64 {
    let tables = ["campaigns", "campaign_uploads", "campaign_log", "outbound_messages", "events"];
    let rows = tables.map(|table| format!("SELECT t::text AS row FROM {table} AS t"));
    let sql = format!(
        "SELECT COALESCE(sum(hashtext(row)::bigint), 0)::bigint AS count FROM ({}) AS rows",
        rows.join(" UNION ALL ")
    );
    world.db.count(&sql).await.unwrap()
}
