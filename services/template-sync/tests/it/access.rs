//! Who may do what: every route, seen by everybody.

use actix_web::http::Method;
use kernel::ids::TemplateSyncId;
use serde_json::{Value, json};
use service::Role::{self, Admin, Agent, Marketer, Operator, Viewer};

use super::world::{WABA, Who, World, templates};

struct Route {
    method: Method,
    path: String,
    body: Value,
    /// Who may use it.
    roles: &'static [Role],
    /// Whether it names something by its id.
    has_id: bool,
}

const READ: &[Role] = &[Viewer, Agent, Marketer, Operator, Admin];
const SYNC: &[Role] = &[Marketer, Operator, Admin];
const WRITE: &[Role] = &[Marketer, Admin];

fn routes(world: &World, template: &str, sync: &str) -> Vec<Route> {
    let connection = world.connection;
    let of =
        |method, path: String, body, roles, has_id| Route { method, path, body, roles, has_id };
    let schedule = format!("/v1/template-syncs/schedules/{connection}");
    let new = json!({ "connection": connection, "name": "made", "language": "en",
        "category": "UTILITY", "components": [{ "type": "BODY", "text": "Hi" }] });
    let change = json!({ "components": [{ "type": "BODY", "text": "Bye" }] });
    let below = |path: &str| format!("/v1/templates/{template}{path}");
    vec![
        of(Method::GET, "/v1/templates".into(), Value::Null, READ, false),
        of(Method::POST, "/v1/templates".into(), new, WRITE, false),
        of(Method::GET, below(""), Value::Null, READ, true),
        of(Method::POST, below("/render"), json!({}), READ, true),
        of(Method::PATCH, below(""), change, WRITE, true),
        of(Method::POST, below("/unpause"), Value::Null, WRITE, true),
        of(Method::GET, "/v1/template-syncs".into(), Value::Null, READ, false),
        of(Method::GET, format!("/v1/template-syncs/{sync}"), Value::Null, READ, true),
        of(Method::GET, schedule.clone(), Value::Null, READ, true),
        of(Method::PUT, schedule, json!({ "every": "6h" }), SYNC, true),
        of(
            Method::POST,
            "/v1/template-syncs".into(),
            json!({ "connection": connection }),
            SYNC,
            false,
        ),
        of(Method::DELETE, below(""), Value::Null, WRITE, true),
    ]
}

async fn outcome(world: &World, who: Who, route: &Route) -> (u16, String) {
    let answer = world.call(who, route.method.clone(), &route.path, route.body.clone()).await;
    (answer.status, answer.body["code"].as_str().unwrap_or_default().to_owned())
}

async fn synced() -> (World, String, String) {
    let world = World::new().await;
    let process = world.process().await;
    world.meta.set_templates(WABA, templates(1));
    let sync = world.sync().await["id"].as_str().unwrap().to_owned();
    let template = world.named("template_1").await;
    drop(process);
    (world, template, sync)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_does_what_its_scopes_allow_and_nothing_else() {
    let (world, template, sync) = synced().await;
    for route in routes(&world, &template, &sync) {
        for role in Role::ALL {
            let outcome = outcome(&world, Who::Home(role), &route).await;
            let what = format!("{role} {} {}: {outcome:?}", route.method, route.path);
            if route.roles.contains(&role) {
                assert!(!matches!(outcome.0, 400 | 401 | 403 | 404 | 500), "{what}");
            } else {
                assert_eq!(outcome, (403, "scope_missing".to_owned()), "{what}");
            }
        }
        let nobody = outcome(&world, Who::Nobody, &route).await;
        assert_eq!(nobody, (401, "key_invalid".to_owned()), "{}", route.path);
    }
    world.end(Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_workspace_sees_and_changes_nothing() {
    let (world, template, sync) = synced().await;
    let before = world.state().await;
    for route in routes(&world, &template, &sync) {
        let outcome = outcome(&world, Who::Stranger, &route).await;
        if route.has_id {
            assert_eq!(outcome.0, 404, "{} {}", route.method, route.path);
        } else if route.method == Method::POST {
            assert_eq!(outcome.0, 422, "{} names another's connection", route.path);
        }
    }
    let lists = ["/v1/templates?deleted=true", "/v1/template-syncs"];
    for list in lists {
        let answer = world.call(Who::Stranger, Method::GET, list, Value::Null).await;
        assert_eq!(answer.data().len(), 0, "{list}");
    }
    let unknown = format!("/v1/template-syncs/{}", TemplateSyncId::new());
    assert_eq!(world.get(&unknown).await.status, 404);
    assert_eq!(world.state().await, before);
    world.end(Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_that_is_not_known_is_refused() {
    let (world, template, sync) = synced().await;
    let before = (world.state().await, world.count("template_syncs").await);
    for mut route in routes(&world, &template, &sync) {
        route.path = format!("{}?dry_rnu=true", route.path);
        let outcome = outcome(&world, Who::Home(Admin), &route).await;
        assert_eq!(outcome, (400, "unknown_parameter".to_owned()), "{}", route.path);
    }
    assert_eq!((world.state().await, world.count("template_syncs").await), before);
    world.end(Vec::new()).await;
}
