//! `/v1/ops/limits`: who is near a limit, and changing one at run time.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path, ServiceConfig};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use service::{Caller, Cursor, Json, Limit, Page, Problem, Query, RequestId, Scope};

use super::values::{IfMatch, Nothing, etag, nullable, page};
use super::{actor, naming, problem, view};
use crate::limits::{NewLimit, UsedLimit};
use crate::{Desk, OpsError};

/// Limits of one policy that are found at once.
const MOST: usize = 500;

pub(super) fn routes(config: &mut ServiceConfig) {
    let policy = web::resource("/v1/ops/limits/{policy}");
    config
        .service(web::resource("/v1/ops/limits").route(web::get().to(list)))
        .service(policy.route(web::get().to(read)).route(web::patch().to(change)));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<usize>>,
    policy: Option<String>,
    #[serde(default)]
    unmask: bool,
}

async fn list(
    caller: Caller,
    desk: Data<Desk>,
    Query(filter): Query<Filter>,
) -> Result<Page<UsedLimit>, Problem> {
    caller.require(Scope::OpsRead)?;
    let naming = naming(&caller, filter.unmask)?;
    let found = desk.hottest_limits(view(&caller), filter.policy.as_deref(), MOST, naming).await;
    let found = found.map_err(|error| match error {
        OpsError::Unknown { .. } => Problem::invalid("policy", "unknown_policy", error.to_string()),
        error => problem(error),
    })?;
    Ok(page(found, filter.limit, filter.cursor))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    key: Option<String>,
    #[serde(default)]
    unmask: bool,
}

async fn read(
    caller: Caller,
    desk: Data<Desk>,
    policy: Path<String>,
    Query(one): Query<One>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::OpsRead)?;
    let (view, naming) = (view(&caller), naming(&caller, one.unmask)?);
    let Some(key) = &one.key else {
        let line = desk.find_policy(view, &policy).await.map_err(problem)?;
        return Ok(HttpResponse::Ok().insert_header(etag(line.version)).json(line));
    };
    let used = desk.find_limit(view, &policy, key, naming).await.map_err(problem)?;
    Ok(HttpResponse::Ok().insert_header(etag(used.version)).json(used))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// Units per window; `null` ends an earlier change.
    #[serde(deserialize_with = "nullable")]
    limit: Option<u32>,
    key: Option<String>,
    expires_at: Option<DateTime<Utc>>,
    reason: String,
}

async fn change(
    caller: Caller,
    desk: Data<Desk>,
    policy: Path<String>,
    _: Query<Nothing>,
    if_match: IfMatch,
    request: RequestId,
    Json(asked): Json<Change>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::LimitsWrite)?;
    let new = NewLimit {
        policy: &policy,
        key: asked.key.as_deref(),
        most: asked.limit,
        lasts: asked.expires_at.map(|end| lasts(&desk, end)).transpose()?,
        reason: &asked.reason,
        version: if_match.0,
    };
    let actor = actor(&caller, &request);
    let changed = desk.set_limit(view(&caller), &actor, new).await.map_err(problem)?;
    Ok(HttpResponse::Ok().insert_header(etag(changed.version)).json(changed))
}

fn lasts(desk: &Desk, end: DateTime<Utc>) -> Result<Duration, Problem> {
    let left = end.signed_duration_since(desk.clock.now()).to_std().ok();
    left.filter(|left| !left.is_zero()).ok_or_else(|| {
        Problem::invalid("/expires_at", "in_the_past", "The end of a change lies ahead.")
    })
}
