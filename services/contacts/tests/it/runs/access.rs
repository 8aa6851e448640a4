//! Who may do what with imports and exports: every route, seen by everybody.

use actix_web::http::Method;
use actix_web::test::TestRequest;
use serde_json::{Value, json};
use service::Role::{self, Admin, Agent, Marketer, Operator, Viewer};

use super::world::{Process, Who, World};

const FILE: &[u8] = b"phone\n+4915500000001\n";
const READ: &[Role] = &[Viewer, Agent, Marketer, Operator, Admin];
const WRITE: &[Role] = &[Marketer, Admin];

/// Method, address, body and who may.
async fn routes(world: &World, process: &Process) -> Vec<(Method, String, Value, &'static [Role])> {
    let import = world.upload(process, FILE, &json!({})).await;
    world.over(process, &import).await;
    let export = world.export(process, &json!({})).await;
    let export = format!("/v1/contact-exports/{}", export["id"].as_str().unwrap());
    vec![
        (Method::GET, "/v1/contact-imports".into(), Value::Null, READ),
        (Method::GET, import.clone(), Value::Null, READ),
        (Method::GET, format!("{import}/rejects"), Value::Null, READ),
        (Method::POST, format!("{import}/cancel"), Value::Null, WRITE),
        (Method::GET, "/v1/contact-exports".into(), Value::Null, WRITE),
        (Method::GET, export.clone(), Value::Null, WRITE),
        (Method::GET, format!("{export}/file"), Value::Null, WRITE),
        (Method::POST, "/v1/contact-exports".into(), json!({}), WRITE),
    ]
}

fn request(method: &Method, uri: &str, body: &Value) -> TestRequest {
    let request = TestRequest::default().method(method.clone()).uri(uri);
    if body.is_null() { request } else { request.set_json(body) }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_does_what_its_scopes_allow_and_a_stranger_sees_nothing() {
    let world = World::new().await;
    let process = world.process().await;
    for (method, uri, body, roles) in routes(&world, &process).await {
        let what = format!("{method} {uri}");
        let nobody = world.call(&process, Who::Nobody, request(&method, &uri, &body)).await;
        assert_eq!(nobody.outcome(), (401, "key_invalid"), "{what}");
        for role in Role::ALL {
            let answer = world.call(&process, Who::Home(role), request(&method, &uri, &body)).await;
            let is_refused = answer.outcome() == (403, "scope_missing");
            assert_eq!(!is_refused, roles.contains(&role), "{what} {role}: {}", answer.text);
        }
        let is_own = uri == "/v1/contact-imports" || uri == "/v1/contact-exports";
        let stranger = world.call(&process, Who::Stranger, request(&method, &uri, &body)).await;
        match (is_own, &method) {
            (true, &Method::GET) => assert_eq!(stranger.body["data"], json!([]), "{what}"),
            (true, _) => assert_eq!(stranger.status, 202, "{what}"),
            (false, _) => assert_eq!(stranger.outcome(), (404, "not_found"), "{what}"),
        }
        let mistyped = format!("{uri}?dry_rnu=true");
        let admin =
            world.call(&process, Who::Home(Admin), request(&method, &mistyped, &body)).await;
        assert_eq!(admin.outcome(), (400, "unknown_parameter"), "{what}");
    }
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_import_uploads_and_into_their_own_workspace() {
    let world = World::new().await;
    let process = world.process().await;
    for role in [Viewer, Agent, Operator] {
        let answer = world.upload_as(&process, Who::Home(role), FILE, &json!({})).await;
        assert_eq!(answer.outcome(), (403, "scope_missing"), "{role}");
    }
    assert_eq!(world.upload_as(&process, Who::Nobody, FILE, &json!({})).await.status, 401);
    // The neighbour's import is nobody else's business: both run at once.
    let theirs = world.upload_as(&process, Who::Stranger, FILE, &json!({})).await;
    assert_eq!(theirs.status, 202);
    let ours = world.upload(&process, FILE, &json!({})).await;
    assert_eq!(world.over(&process, &ours).await["counts"]["created"], 1);
    assert_eq!(world.get(&process, theirs.header("location")).await.outcome(), (404, "not_found"));
    world.end(vec![process]).await;
}
