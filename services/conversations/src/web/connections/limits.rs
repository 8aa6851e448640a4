//! `/v1/connections/{id}/limits`: how much a number may send and receive, and who says so.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path, ServiceConfig};
use kernel::ids::ConnectionId;
use serde::{Deserialize, Serialize};
use service::values::{Nothing, Time};
use service::version::{IfMatch, etag};
use service::{Caller, Json, Problem, Query, Scope};
use storage::connections::{self, Changes, Connection};

use crate::web::State;
use crate::web::values::{OverLimit, PerMinute};

pub(super) fn routes(config: &mut ServiceConfig) {
    let limits = web::resource("/v1/connections/{id}/limits");
    config.service(limits.route(web::get().to(read)).route(web::put().to(replace)));
}

/// A connection's own limits; what is left out or `null` is the installation's default.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnLimits {
    whatsapp_api_per_minute: Option<PerMinute>,
    webhook_per_minute: Option<PerMinute>,
    webhook_over_limit: Option<OverLimit>,
}

impl From<OwnLimits> for connections::Limits {
    fn from(own: OwnLimits) -> Self {
        Self {
            whatsapp_api_per_minute: own.whatsapp_api_per_minute.map(|limit| limit.0),
            webhook_per_minute: own.webhook_per_minute.map(|limit| limit.0),
            webhook_over_limit: own.webhook_over_limit.map(|over| over.as_str().to_owned()),
        }
    }
}

/// A limit in force.
#[derive(Serialize)]
pub(super) struct Effective {
    pub(super) limit: i64,
    source: Source,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Source {
    Default,
    Override,
}

impl Effective {
    /// R1 of a connection.
    pub(super) fn api(stored: &Connection, defaults: &settings::Limits) -> Self {
        Self::of(stored.whatsapp_api_per_minute, defaults.whatsapp_api_per_minute)
    }

    /// R4 of a connection.
    pub(super) fn webhook(stored: &Connection, defaults: &settings::Limits) -> Self {
        Self::of(stored.webhook_per_minute, defaults.webhook_per_minute)
    }

    fn of(own: Option<i32>, default: u32) -> Self {
        match own {
            Some(limit) => Self { limit: limit.into(), source: Source::Override },
            None => Self { limit: default.into(), source: Source::Default },
        }
    }
}

#[derive(Serialize)]
struct Limits {
    object: &'static str,
    connection: ConnectionId,
    whatsapp_api_per_minute: Effective,
    webhook_per_minute: Effective,
    webhook_over_limit: String,
    updated_at: Time,
}

fn show(stored: Connection, defaults: &settings::Limits) -> HttpResponse {
    let limits = Limits {
        object: "connection_limits",
        connection: stored.id(),
        whatsapp_api_per_minute: Effective::api(&stored, defaults),
        webhook_per_minute: Effective::webhook(&stored, defaults),
        updated_at: Time(stored.updated_at),
        webhook_over_limit: stored.webhook_over_limit,
    };
    HttpResponse::Ok().insert_header(etag(stored.updated_at)).json(limits)
}

async fn read(
    caller: Caller,
    state: Data<State>,
    id: Path<ConnectionId>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::ConnectionsRead)?;
    let mut conn = state.db.connection().await?;
    let found = connections::find(&mut conn, caller.workspace, *id).await?;
    found.map(|stored| show(stored, &state.limits)).ok_or_else(Problem::not_found)
}

async fn replace(
    caller: Caller,
    state: Data<State>,
    id: Path<ConnectionId>,
    _: Query<Nothing>,
    if_match: IfMatch,
    Json(own): Json<OwnLimits>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::LimitsWrite)?;
    let over = own.webhook_over_limit.unwrap_or(OverLimit::SlowLane);
    let changes = Changes {
        whatsapp_api_per_minute: Some(own.whatsapp_api_per_minute.map(|limit| limit.0)),
        webhook_per_minute: Some(own.webhook_per_minute.map(|limit| limit.0)),
        webhook_over_limit: Some(over.as_str().to_owned()),
        ..Changes::default()
    };
    let stored = super::update(&state, caller.workspace, *id, changes, &if_match).await?;
    Ok(show(stored, &state.limits))
}
