//! A connection's own limits.

use actix_web::http::Method;
use actix_web::test::TestRequest;
use insta::assert_snapshot;
use serde_json::json;

use super::world::{Who, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_tells_where_it_comes_from_and_returns_to_the_default() {
    let world = World::new().await;
    let one = format!("/v1/connections/{}", world.connect(Who::Admin).await);
    let limits = format!("{one}/limits");
    assert_snapshot!("limits_at_first", world.get(Who::Viewer, &limits).await.shown());

    let own = json!({ "webhook_per_minute": 250, "webhook_over_limit": "refuse" });
    let replaced = world.send(Who::Admin, Method::PUT, &limits, &own).await;
    assert_snapshot!("limits_replaced", replaced.shown());
    let shown = world.get(Who::Admin, &one).await.json()["limits"].clone();
    assert_eq!(
        shown,
        json!({
            "whatsapp_api_per_minute": 100,
            "webhook_per_minute": 250,
            "webhook_over_limit": "refuse",
        })
    );

    let cleared = world.send(Who::Admin, Method::PUT, &limits, &json!({})).await.json();
    assert_eq!(cleared["webhook_per_minute"], json!({ "limit": 100, "source": "default" }));
    assert_eq!(cleared["webhook_over_limit"], "slow_lane");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_connection_share_a_version() {
    let world = World::new().await;
    let one = format!("/v1/connections/{}", world.connect(Who::Admin).await);
    let limits = format!("{one}/limits");
    let tag = world.get(Who::Admin, &limits).await.header("etag").unwrap().to_owned();
    let rename = json!({ "name": "Sales" });
    assert_eq!(world.send(Who::Admin, Method::PATCH, &one, &rename).await.status, 200);
    let put = TestRequest::put().uri(&limits).insert_header(("if-match", tag));
    assert_eq!(world.call(Who::Admin, put.set_json(json!({}))).await.status, 412);
    let wrong = json!({ "webhook_per_minute": -1 });
    let refused = world.send(Who::Admin, Method::PUT, &limits, &wrong).await;
    assert_eq!(refused.json()["errors"][0]["pointer"], "/webhook_per_minute");
}
