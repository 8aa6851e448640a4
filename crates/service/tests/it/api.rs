//! A small API that uses every part of the kit, called in process.

use std::io;
use std::sync::Arc;

use actix_web::body::to_bytes;
use actix_web::test::{TestRequest, init_service, try_call_service};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpMessage, HttpResponse, ResponseError};
use anyhow::anyhow;
use futures_util::future::BoxFuture;
use kernel::ids::{ApiKeyId, ConnectionId, WorkspaceId};
use kernel::{Retryable, SystemClock};
use serde::Deserialize;
use service::{
    Auth, Caller, Code, Cursor, Json, KeyStore, Limit, Page, Problem, Query, RequestId, Role,
    Scope, StoredKey,
};
use sha2::{Digest, Sha256};

/// The key `swk_live_<32 zeros>_open`, of an agent.
pub(crate) const KEY: &str = "Bearer swk_live_00000000000000000000000000000000_open";

struct OneKey;

impl KeyStore for OneKey {
    fn find(&self, id: ApiKeyId) -> BoxFuture<'_, anyhow::Result<Option<StoredKey>>> {
        let key = (id.as_uuid().is_nil()).then(|| StoredKey {
            workspace: WorkspaceId::from_uuid(id.as_uuid()),
            role: Role::Agent,
            secret_sha256: Sha256::digest("open").into(),
            expires_at: None,
            revoked_at: None,
        });
        Box::pin(async move { Ok(key) })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    pub(crate) lines: Vec<Line>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    pub(crate) amount: u8,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<u32>>,
    #[serde(default)]
    status: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("the pool is empty")]
struct PoolEmpty(#[source] io::Error);

impl Retryable for PoolEmpty {
    fn is_transient(&self) -> bool {
        true
    }
}

async fn order(Json(order): Json<Order>) -> HttpResponse {
    HttpResponse::Created().json(order.lines.iter().map(|line| line.amount).sum::<u8>())
}

/// Numbers from 1 to 120, after the cursor.
async fn numbers(Query(filter): Query<Filter>) -> Page<String> {
    let after = filter.cursor.map_or(0, |Cursor(last)| last);
    let rows = usize::try_from(filter.limit.rows()).unwrap();
    let rows = (after + 1..=120).take(rows).collect();
    let tags = filter.status.concat();
    Page::new(rows, filter.limit, |row| *row, |row: u32| format!("{row}{tags}"))
}

async fn connection(id: web::Path<ConnectionId>) -> String {
    id.to_string()
}

async fn mine(caller: Caller) -> Result<String, Problem> {
    caller.require(Scope::ContactsWrite)?;
    Ok(caller.role.to_string())
}

async fn keys(caller: Caller) -> Result<String, Problem> {
    caller.require(Scope::KeysWrite)?;
    Ok(String::new())
}

async fn fail(kind: web::Path<String>) -> Result<String, Problem> {
    Err(match kind.as_str() {
        "internal" => Problem::internal(anyhow!("password is hunter2")),
        "unavailable" => Problem::unavailable("RabbitMQ", anyhow!("hidden")),
        "transient" => PoolEmpty(io::Error::other("hidden")).into(),
        "running" => Problem::new(Code::AlreadyRunning, "Template sync is already in progress")
            .with("existing", serde_json::json!({ "id": "tsy_1" })),
        "fields" => Problem::invalid("/to", "unknown_contact", "there is no such contact")
            .and_invalid("/text", "too_long", "a text may have 4096 characters"),
        _ => panic!("the handler panics"),
    })
}

pub(crate) fn routes(config: &mut ServiceConfig) {
    let auth = Auth::new(Arc::new(OneKey), Arc::new(SystemClock));
    config
        .app_data(web::Data::new(auth))
        .service(web::resource("/v1/orders").route(web::post().to(order)))
        .service(
            web::resource("/v1/numbers")
                .route(web::get().to(numbers))
                .route(web::delete().to(HttpResponse::NoContent)),
        )
        .service(web::resource("/v1/connections/{id}").route(web::get().to(connection)))
        .service(web::resource("/v1/mine").route(web::get().to(mine)))
        .service(web::resource("/v1/api-keys").route(web::get().to(keys)))
        .service(web::resource("/v1/fail/{kind}").route(web::get().to(fail)))
        .service(
            web::resource("/v1/request-id")
                .route(web::get().to(async |id: RequestId| id.to_string())),
        )
        .service(web::resource("/v1/trace").route(
            web::get().to(async || telemetry::trace::current_traceparent().unwrap_or_default()),
        ));
}

/// An answer, with the request id `req_0123456789` unless the request brings another.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// As a snapshot keeps it.
    pub(crate) fn shown(&self) -> String {
        let mut shown = format!("{}\n", self.status);
        for (name, value) in &self.headers {
            shown.push_str(&format!("{name}: {value}\n"));
        }
        let body = serde_json::from_str::<serde_json::Value>(&self.body)
            .map_or_else(|_| self.body.clone(), |json| format!("{json:#}"));
        format!("{shown}\n{body}")
    }
}

/// Calls the API in process.
pub(crate) async fn call(request: TestRequest) -> Answer {
    call_on(&routes, request).await
}

pub(crate) async fn call_on(routes: &dyn Fn(&mut ServiceConfig), request: TestRequest) -> Answer {
    let app = init_service(service::app(routes)).await;
    let mut request = request.to_request();
    let name = "request-id".parse().unwrap();
    if !request.headers().contains_key("request-id") {
        request.headers_mut().insert(name, "req_0123456789".parse().unwrap());
    }
    let response = match try_call_service(&app, request).await {
        Ok(response) => response.into_parts().1,
        Err(error) => error.error_response(),
    };
    let mut headers: Vec<(String, String)> = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body()).await.unwrap_or_default();
    Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

/// A problem rendered outside of any request.
pub(crate) fn status_of(problem: &Problem) -> u16 {
    problem.status_code().as_u16()
}
