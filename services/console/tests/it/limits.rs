//! Limits: who is near one, and a change by hand.

use std::time::Duration;

use actix_web::http::Method;
use actix_web::test::TestRequest;
use chrono::TimeDelta;
use console::limits::NewLimit;
use console::{Actor, Naming, View};
use coordination::{Coordination, Decision, Limit, LimitName, Options, PgConnect};
use kernel::ids::{ConnectionId, ConversationId};
use kernel::{Clock, SystemClock, WaId};
use serde_json::{Value, json};
use storage::{Database, DatabaseOptions};
use testkit::{Servers, eventually_within, unique_name};
use tokio_util::task::TaskTracker;

use super::world::{Who, World};

const API: &str = "/v1/ops/limits/whatsapp_api";

async fn used(world: &World, name: LimitName, units: u32) {
    let decision = world.coordination.limiter().check(&[Limit::of(name)], units).await;
    assert!(matches!(decision, Decision::Go(_)), "{decision:?}");
}

async fn set(world: &World, body: Value) -> super::world::Answer {
    world.send(Who::Admin, Method::PATCH, API, &body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fullest_limit_comes_first_and_only_the_own_ones() {
    let world = World::new().await;
    used(&world, LimitName::TemplateSync(world.connection), 8).await;
    used(&world, LimitName::WhatsAppApi(world.connection), 30).await;
    used(&world, LimitName::TemplateSync(world.foreign), 9).await;
    let pair = LimitName::Pair(world.connection, WaId::new("15551234567"));
    used(&world, pair, 15).await;
    let listed = world.get(Who::Viewer, "/v1/ops/limits").await;
    assert!(!listed.body.contains("1555"), "{}", listed.body);
    let listed = listed.data();
    let shown: Vec<(&str, u64, u64)> = listed
        .iter()
        .map(|used| {
            let number = |what: &str| used[what].as_u64().unwrap();
            (used["policy"].as_str().unwrap(), number("used"), number("limit"))
        })
        .collect();
    assert_eq!(
        shown,
        [("template_sync", 8, 10), ("whatsapp_pair", 15, 30), ("whatsapp_api", 30, 100)]
    );
    assert_eq!(listed[2]["subject"], "Main");
    assert!(listed[0]["resets_in_ms"].as_u64().unwrap() <= 60_000);
    let pairs = world.get(Who::Viewer, "/v1/ops/limits?policy=whatsapp_pair&unmask=true").await;
    assert_eq!(pairs.data()[0]["key"], format!("{}:15551234567", world.connection));
    let all = world.desk.hottest_limits(View::Installation, None, 10, Naming::Masked).await;
    assert_eq!(all.unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_limit_is_shown_with_who_why_and_until_when_and_ends_with_null() {
    let world = World::new().await;
    let end = SystemClock.now() + TimeDelta::hours(2);
    let body = json!({
        "key": world.connection, "limit": 2_000, "expires_at": end, "reason": "launch day",
    });
    let changed = set(&world, body).await.json();
    assert_eq!((&changed["before"], &changed["limit"]), (&json!(100), &json!(2_000)));
    assert!(changed["ends_in_ms"].as_u64().unwrap() > 7_000_000, "{changed:#}");
    let one = format!("{API}?key={}", world.connection);
    let shown = world.get(Who::Viewer, &one).await.json();
    assert_eq!(shown["limit"], 2_000);
    assert_eq!(shown["override"]["reason"], "launch day");
    assert!(shown["override"]["by"].as_str().unwrap().starts_with("key_"));
    let ended = set(&world, json!({ "key": world.connection, "limit": null, "reason": "over" }));
    assert_eq!(ended.await.json()["limit"], 100);
    assert_eq!(world.get(Who::Viewer, &one).await.json()["override"], Value::Null);
    assert_eq!(world.count("coordination_overrides").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_one_limit_comes_before_the_connections_own_and_that_before_the_default() {
    let world = World::new().await;
    let fast = world.connect_at(6_000).await;
    let shown = async |connection: ConnectionId| {
        let uri = format!("{API}?key={connection}");
        world.get(Who::Viewer, &uri).await.json()["limit"].as_u64().unwrap()
    };
    assert_eq!((shown(fast).await, shown(world.connection).await), (6_000, 100));
    let actor = Actor { name: "ana@desk".to_owned(), request_id: None };
    let default = NewLimit {
        policy: "whatsapp_api",
        key: None,
        most: Some(50),
        lasts: None,
        reason: "Meta asked for it",
        version: None,
    };
    world.desk.set_limit(View::Installation, &actor, default).await.unwrap();
    assert_eq!((shown(fast).await, shown(world.connection).await), (6_000, 50));
    assert_eq!(
        set(&world, json!({ "key": fast, "limit": 10, "reason": "slower" })).await.status,
        200
    );
    assert_eq!((shown(fast).await, shown(world.connection).await), (10, 50));
    let line = world.get(Who::Viewer, API).await.json();
    assert_eq!((&line["limit"], &line["default"]), (&json!(50), &json!(100)));
    assert_eq!(line["override"], Value::Null, "who changed it is the installation's business");
    assert_eq!(line["overridden_keys"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_acts_in_processes_that_run() {
    let world = World::new().await;
    let servers = Servers::from_env();
    let mut options = Options::new(&servers.redis_url, &unique_name());
    let database = DatabaseOptions {
        url: world.db.url().to_owned(),
        pool_size: 2,
        wait: Duration::from_secs(5),
    };
    let pool = move || Database::new(database.clone()).map(Database::into_pool);
    options.postgres = Some(PgConnect::new(pool));
    let process = Coordination::start(options, TaskTracker::new()).await.unwrap();
    let admitted = async |most: u32| {
        // A conversation of its own for each try: its window is empty.
        let limit = Limit::of(LimitName::TemplateSync(ConnectionId::new())).by_default(10);
        matches!(process.limiter().check(&[limit], most).await, Decision::Go(_))
    };
    assert!(admitted(10).await && !admitted(11).await);
    let actor = Actor { name: "ana@desk".to_owned(), request_id: None };
    let change = |policy, key, most| NewLimit {
        policy,
        key,
        most,
        lasts: None,
        reason: "a test",
        version: None,
    };
    let raise = change("template_sync", None, Some(25));
    world.desk.set_limit(View::Installation, &actor, raise).await.unwrap();
    eventually_within(Duration::from_secs(15), "the default is raised", async || {
        admitted(25).await.then_some(())
    })
    .await;
    assert!(!admitted(26).await);
    let own = world.connection.to_string();
    let lower = change("template_sync", Some(&own), Some(2));
    world.desk.set_limit(View::Installation, &actor, lower).await.unwrap();
    let one = Limit::of(LimitName::TemplateSync(world.connection));
    eventually_within(Duration::from_secs(15), "the one is lowered", async || {
        let decision = process.limiter().check(std::slice::from_ref(&one), 3).await;
        match decision {
            Decision::Wait { .. } => Some(()),
            Decision::Go(permit) => {
                process.limiter().refund(permit).await;
                None
            }
        }
    })
    .await;
    assert!(admitted(25).await, "the others keep the default");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_prepared_on_an_old_reading_is_refused() {
    let world = World::new().await;
    let one = format!("{API}?key={}", world.connection);
    let first = world.get(Who::Admin, &one).await.etag.unwrap();
    let patch = async |tag: &str, limit: u32| {
        let body = json!({ "key": world.connection, "limit": limit, "reason": "more" });
        let request = TestRequest::patch().uri(API).insert_header(("if-match", tag));
        world.call(Who::Admin, request.set_json(body)).await
    };
    let changed = patch(&first, 200).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    patch(&first, 300).await.assert(412, Some("etag_mismatch"), "an old version");
    assert_eq!(patch(changed.etag.as_deref().unwrap(), 300).await.status, 200);
    assert_eq!(world.get(Who::Admin, &one).await.json()["limit"], 300);
    assert_eq!(world.count("audit_log").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_a_limit_is_refused() {
    let world = World::new().await;
    let key = world.connection;
    for (body, pointer) in [
        (json!({ "key": key, "limit": 0, "reason": "stop" }), "/limit"),
        (json!({ "key": key, "limit": 4_000_000_000_u32, "reason": "much" }), "/limit"),
        (json!({ "key": key, "limit": 10, "reason": "" }), "/reason"),
        (
            json!({ "key": key, "limit": 10, "reason": "x", "expires_at": "2020-01-01T00:00:00Z" }),
            "/expires_at",
        ),
        (json!({ "key": key, "reason": "no limit at all" }), ""),
    ] {
        let answer = set(&world, body).await;
        answer.assert(422, Some("validation_failed"), pointer);
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{}", answer.body);
    }
    let nobodys =
        [ConnectionId::new().to_string(), ConversationId::new().to_string(), "x".to_owned()];
    for key in nobodys {
        let answer = set(&world, json!({ "key": key, "limit": 10, "reason": "typo" })).await;
        answer.assert(404, Some("not_found"), &key);
    }
    let uri = "/v1/ops/limits/whatsapp_apy";
    let body = json!({ "key": world.connection, "limit": 10, "reason": "typo" });
    world.send(Who::Admin, Method::PATCH, uri, &body).await.assert(404, Some("not_found"), uri);
    assert_eq!(world.count("coordination_overrides").await, 0);
}
