//! How often a connection's templates are fetched by themselves.

use std::time::Duration;

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, Responder};
use kernel::ids::ConnectionId;
use serde::{Deserialize, Serialize};
use service::{Caller, Json, Problem, Query, Scope};
use storage::connections;

use super::values::{Nothing, nullable};
use super::{Api, shown_time};
use crate::store::schedules;

/// Meta counts every call.
const SHORTEST: u64 = 60;
const LONGEST: u64 = 30 * 86_400;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBody {
    /// `6h`; `0s`: never; null: as the installation does it.
    #[serde(default, deserialize_with = "nullable")]
    every: Option<Option<String>>,
}

#[derive(Debug, Serialize)]
struct Shown {
    object: &'static str,
    connection: ConnectionId,
    /// Seconds; 0: never.
    every_seconds: i64,
    /// `default` or `connection`.
    source: &'static str,
    next_at: Option<String>,
}

/// When a connection is synced next.
pub(super) async fn show(
    api: Data<Api>,
    caller: Caller,
    id: Path<ConnectionId>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::TemplatesRead)?;
    require(&api, &caller, *id).await?;
    shown(&api, *id).await
}

/// Sets a connection's own interval.
pub(super) async fn set(
    api: Data<Api>,
    caller: Caller,
    id: Path<ConnectionId>,
    Query(Nothing {}): Query<Nothing>,
    Json(body): Json<NewBody>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::TemplatesSync)?;
    require(&api, &caller, *id).await?;
    let every = match body.every {
        Some(every) => every.map(|text| interval(&text)).transpose()?,
        None => {
            let detail = "say how often, e.g. \"6h\", \"0s\" for never, null for the default";
            return Err(Problem::invalid("/every", "missing_field", detail));
        }
    };
    let mut conn = api.db.connection().await?;
    schedules::set(&mut conn, *id, every, api.every, api.clock.now()).await?;
    drop(conn);
    shown(&api, *id).await
}

fn interval(text: &str) -> Result<i32, Problem> {
    let seconds = settings::duration(text).as_ref().map(Duration::as_secs);
    let fit = seconds.filter(|every| *every == 0 || (SHORTEST..=LONGEST).contains(every));
    fit.and_then(|every| i32::try_from(every).ok()).ok_or_else(|| {
        Problem::invalid("/every", "invalid_value", "from 1m to 30d, written 6h, or 0s for never")
    })
}

async fn require(api: &Api, caller: &Caller, id: ConnectionId) -> Result<(), Problem> {
    let mut conn = api.db.connection().await?;
    let found = connections::find(&mut conn, caller.workspace, id).await?;
    found.map(drop).ok_or_else(Problem::not_found)
}

async fn shown(api: &Api, connection: ConnectionId) -> Result<HttpResponse, Problem> {
    let mut conn = api.db.connection().await?;
    let schedule = schedules::find(&mut conn, connection).await?;
    Ok(HttpResponse::Ok().json(Shown {
        object: "template_sync_schedule",
        connection,
        every_seconds: schedule.every.map_or(api.every, i64::from),
        source: if schedule.every.is_some() { "connection" } else { "default" },
        next_at: schedule.next_at.map(shown_time),
    }))
}
