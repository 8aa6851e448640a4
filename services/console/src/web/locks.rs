//! `/v1/ops/locks`: who holds what, and taking it away.

use actix_web::web::{self, Data, Path, ServiceConfig};
use serde::Deserialize;
use service::{Caller, Cursor, Json, Limit, Page, Problem, Query, RequestId, Scope};

use super::values::{Nothing, Shown, page};
use super::{actor, naming, problem, view};
use crate::locks::{HeldLock, Release, Released};
use crate::{Desk, OpsError};

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/v1/ops/locks").route(web::get().to(list)))
        .service(web::resource("/v1/ops/locks/{name}").route(web::get().to(read)))
        .service(web::resource("/v1/ops/locks/{name}/release").route(web::post().to(release)));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<usize>>,
    class: Option<String>,
    #[serde(default)]
    unmask: bool,
}

async fn list(
    caller: Caller,
    desk: Data<Desk>,
    Query(filter): Query<Filter>,
) -> Result<Page<HeldLock>, Problem> {
    caller.require(Scope::OpsRead)?;
    let naming = naming(&caller, filter.unmask)?;
    let held = desk.held_locks(view(&caller), filter.class.as_deref(), naming).await;
    let mut held = held.map_err(|error| match error {
        OpsError::Unknown { .. } => Problem::invalid("class", "unknown_class", error.to_string()),
        error => problem(error),
    })?;
    // By name: ages change their order from one page to the next.
    held.sort_by(|one, other| one.plain.cmp(&other.plain));
    Ok(page(held, filter.limit, filter.cursor))
}

async fn read(
    caller: Caller,
    desk: Data<Desk>,
    name: Path<String>,
    Query(shown): Query<Shown>,
) -> Result<web::Json<HeldLock>, Problem> {
    caller.require(Scope::OpsRead)?;
    let naming = naming(&caller, shown.unmask)?;
    let found = desk.find_locks(view(&caller), &name, naming).await.map_err(problem)?;
    let count = found.len();
    match <[HeldLock; 1]>::try_from(found) {
        Ok([held]) => Ok(web::Json(held)),
        Err(_) => Err(problem(OpsError::Ambiguous { count })),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    owner_token_prefix: String,
    reason: String,
}

async fn release(
    caller: Caller,
    desk: Data<Desk>,
    name: Path<String>,
    _: Query<Nothing>,
    request: RequestId,
    Json(asked): Json<Asked>,
) -> Result<web::Json<Released>, Problem> {
    caller.require(Scope::OpsWrite)?;
    let Asked { owner_token_prefix, reason } = &asked;
    let release = Release { name: &name, owner_token_prefix, reason };
    let actor = actor(&caller, &request);
    let released = desk.release_lock(view(&caller), &actor, release).await;
    Ok(web::Json(released.map_err(problem)?))
}
