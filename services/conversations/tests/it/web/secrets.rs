//! Secrets go in and never come out: neither by an answer nor by a look into the tables.

use std::fmt::Write as _;

use actix_web::http::Method;
use serde_json::{Value, json};

use super::world::{Who, World, connection_body};

const SECRETS: [&str; 6] = [
    "EAAG-first-token",
    "EAAG-second-token",
    "EAAG-refused-token",
    "first-app-secret",
    "second-app-secret",
    "handshake-token",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_any_answer_or_any_row() {
    let world = World::new().await;
    let mut refused = connection_body();
    refused["access_token"] = json!("EAAG-refused-token");
    let app = json!({
        "slug": "acme", "app_secret": "first-app-secret", "verify_token": "handshake-token",
    });
    let mut answers = Vec::new();
    let connection = world.post(Who::Admin, "/v1/connections", &connection_body()).await;
    let one = connection.header("location").unwrap().to_owned();
    let meta_app = world.post(Who::Admin, "/v1/meta-apps", &app).await;
    let rotate = format!("{}/rotate-secret", meta_app.header("location").unwrap());
    answers.extend([connection, meta_app]);
    let requests = [
        (Method::POST, "/v1/connections", refused),
        (Method::PATCH, one.as_str(), json!({ "access_token": "EAAG-second-token" })),
        (Method::PATCH, &one, json!({ "access_token": ["EAAG-refused-token"] })),
        (Method::GET, &one, Value::Null),
        (Method::GET, "/v1/connections", Value::Null),
        (Method::POST, "/v1/meta-apps", app),
        (Method::POST, &rotate, json!({ "app_secret": "second-app-secret" })),
        (Method::GET, "/v1/meta-apps", Value::Null),
        (Method::DELETE, &one, Value::Null),
    ];
    for (method, uri, body) in requests {
        answers.push(world.send(Who::Admin, method, uri, &body).await);
    }
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [201, 201, 409, 200, 422, 200, 200, 409, 200, 200, 200]);
    for secret in SECRETS {
        for answer in &answers {
            let shown = format!("{:?} {}", answer.headers, answer.body);
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        for table in ["connections", "meta_apps", "meta_app_secrets", "events"] {
            let rows = rows_with(&world, table, secret).await;
            assert_eq!(rows, 0, "{secret} in {table}");
        }
    }
    // The search finds what is there: a look that finds nothing may be blind.
    assert_eq!(rows_with(&world, "meta_apps", "acme").await, 1);
}

/// Rows in which a text stands, as it is or inside the hex digits of bytes.
async fn rows_with(world: &World, table: &str, text: &str) -> i64 {
    let hex = text.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    let sql = format!(
        "SELECT count(*) AS count FROM {table} AS t \
         WHERE t::text LIKE '%{text}%' OR t::text LIKE '%{hex}%'"
    );
    world.db.count(&sql).await.unwrap()
}
