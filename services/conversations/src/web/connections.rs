//! `/v1/connections`: phone numbers. An access token goes in and never comes out.

mod limits;

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use actix_web::web::{self, Data, Path, ServiceConfig};
use kernel::ids::{ConnectionId, WorkspaceId};
use kernel::{PhoneNumberId, WabaId};
use serde::{Deserialize, Serialize};
use service::values::{Name, Nothing, Phone, Time, given};
use service::version::{IfMatch, etag};
use service::{Caller, Code, Cursor, Json, Limit, Page, Problem, Query, Scope};
use storage::AsyncPgConnection;
use storage::connections::{self, Changes, NewConnection, ONE_PER_NUMBER};
use storage::sealed::Column;

use self::limits::OwnLimits;
use super::State;
use super::values::{AccessToken, MetaId};

pub(super) fn routes(config: &mut ServiceConfig) {
    let all = web::resource("/v1/connections");
    let one = web::resource("/v1/connections/{id}");
    config
        .service(all.route(web::get().to(list)).route(web::post().to(create)))
        .service(
            one.route(web::get().to(read))
                .route(web::patch().to(change))
                .route(web::delete().to(archive)),
        )
        .configure(limits::routes);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<ConnectionId>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: Name,
    phone_number_id: MetaId,
    waba_id: MetaId,
    display_phone_number: Option<Phone>,
    access_token: AccessToken,
    #[serde(default)]
    limits: OwnLimits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    #[serde(default, deserialize_with = "given")]
    name: Option<Name>,
    #[serde(default, deserialize_with = "given")]
    access_token: Option<AccessToken>,
    /// Whether STOP ends campaigns to whoever writes it to this number.
    #[serde(default, deserialize_with = "given")]
    stop_words: Option<bool>,
}

#[derive(Serialize)]
struct Connection {
    object: &'static str,
    id: ConnectionId,
    name: String,
    phone_number_id: String,
    waba_id: String,
    display_phone_number: Option<String>,
    limits: Limits,
    /// Whether STOP ends campaigns to whoever writes it here.
    stop_words: bool,
    created_at: Time,
    updated_at: Time,
    archived_at: Option<Time>,
}

/// The limits in force; `/limits` tells where each comes from.
#[derive(Serialize)]
struct Limits {
    whatsapp_api_per_minute: i64,
    webhook_per_minute: i64,
    webhook_over_limit: String,
}

impl Connection {
    fn new(stored: connections::Connection, defaults: &settings::Limits) -> Self {
        let api = limits::Effective::api(&stored, defaults);
        let webhook = limits::Effective::webhook(&stored, defaults);
        Self {
            object: "connection",
            id: stored.id(),
            phone_number_id: stored.phone_number_id().into_string(),
            waba_id: stored.waba_id().into_string(),
            display_phone_number: stored.display_phone_number,
            limits: Limits {
                whatsapp_api_per_minute: api.limit,
                webhook_per_minute: webhook.limit,
                webhook_over_limit: stored.webhook_over_limit,
            },
            stop_words: stored.heeds_stop_words,
            created_at: Time(stored.created_at),
            updated_at: Time(stored.updated_at),
            archived_at: stored.archived_at.map(Time),
            name: stored.name,
        }
    }
}

impl State {
    fn show(&self, stored: connections::Connection) -> HttpResponse {
        let etag = etag(stored.updated_at);
        HttpResponse::Ok().insert_header(etag).json(Connection::new(stored, &self.limits))
    }

    fn seal_token(&self, workspace: WorkspaceId, token: &AccessToken) -> Result<Vec<u8>, Problem> {
        self.sealer.seal(workspace, Column::AccessToken, &token.0).map_err(Problem::internal)
    }
}

async fn list(
    caller: Caller,
    state: Data<State>,
    Query(filter): Query<Filter>,
) -> Result<Page<Connection>, Problem> {
    caller.require(Scope::ConnectionsRead)?;
    let before = filter.cursor.map(|Cursor(last)| last);
    let mut conn = state.db.connection().await?;
    let found = connections::list(&mut conn, caller.workspace, before, filter.limit.rows()).await?;
    let show = |stored| Connection::new(stored, &state.limits);
    Ok(Page::new(found, filter.limit, connections::Connection::id, show))
}

async fn create(
    caller: Caller,
    state: Data<State>,
    _: Query<Nothing>,
    Json(new): Json<New>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::ConnectionsWrite)?;
    let new = NewConnection {
        id: ConnectionId::new(),
        workspace_id: caller.workspace,
        name: new.name.0,
        phone_number_id: PhoneNumberId::from(new.phone_number_id),
        waba_id: WabaId::from(new.waba_id),
        display_phone_number: new.display_phone_number.as_ref().map(Phone::with_plus),
        access_token_sealed: state.seal_token(caller.workspace, &new.access_token)?,
        limits: new.limits.into(),
    };
    let mut conn = state.db.connection().await?;
    let stored = connections::insert(&mut conn, new, state.clock.now()).await;
    let stored = stored.map_err(|error| match error.violated_unique() {
        // Whose it is is nobody else's business.
        Some(ONE_PER_NUMBER) => {
            Problem::new(Code::StateConflict, "This phone number is connected already.")
        }
        Some(_) | None => Problem::from(error),
    })?;
    let location = (LOCATION, format!("/v1/connections/{}", stored.id()));
    Ok(HttpResponse::Created()
        .insert_header(location)
        .insert_header(etag(stored.updated_at))
        .json(Connection::new(stored, &state.limits)))
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
    found.map(|stored| state.show(stored)).ok_or_else(Problem::not_found)
}

async fn change(
    caller: Caller,
    state: Data<State>,
    id: Path<ConnectionId>,
    _: Query<Nothing>,
    if_match: IfMatch,
    Json(patch): Json<Patch>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::ConnectionsWrite)?;
    let token = patch.access_token.as_ref();
    let changes = Changes {
        name: patch.name.map(|name| name.0),
        access_token_sealed: token
            .map(|token| state.seal_token(caller.workspace, token))
            .transpose()?,
        heeds_stop_words: patch.stop_words,
        ..Changes::default()
    };
    let stored = update(&state, caller.workspace, *id, changes, &if_match).await?;
    Ok(state.show(stored))
}

/// Nothing is sent or received any more; what was said stays, and the number is free again.
async fn archive(
    caller: Caller,
    state: Data<State>,
    id: Path<ConnectionId>,
    _: Query<Nothing>,
    if_match: IfMatch,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::ConnectionsWrite)?;
    let changes = Changes { archived_at: Some(state.clock.now()), ..Changes::default() };
    let stored = update(&state, caller.workspace, *id, changes, &if_match).await?;
    Ok(state.show(stored))
}

/// Changes a connection unless it is at another version than the caller knows.
async fn update(
    state: &State,
    workspace: WorkspaceId,
    id: ConnectionId,
    changes: Changes,
    if_match: &IfMatch,
) -> Result<connections::Connection, Problem> {
    let conn: &mut AsyncPgConnection = &mut *state.db.connection().await?;
    let versions = if_match.versions();
    let now = state.clock.now();
    match connections::update(conn, workspace, id, changes, versions, now).await? {
        Some(stored) => Ok(stored),
        None => {
            let is_there = connections::find(conn, workspace, id).await?.is_some();
            Err(if_match.refusal(is_there))
        }
    }
}
