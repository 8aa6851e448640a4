//! Syncs: start one, list them, show one.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, Responder};
use diesel_async::AsyncConnection;
use kernel::ids::{ConnectionId, TemplateSyncId};
use serde::Deserialize;
use serde_json::json;
use service::{Caller, Code, Cursor, Json, Limit, Page, Problem, Query, Scope};

use super::Api;
use super::refused::not_yet;
use super::shown::ShownSync;
use super::values::{Nothing, Word};
use crate::store::accounts;
use crate::store::runs::{self, Filter, NewRun, Trigger};

/// A request that lost to another one, which ended at once, is tried again.
const TRIES: usize = 3;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<TemplateSyncId>>,
    connection: Option<ConnectionId>,
    #[serde(default)]
    status: Vec<Word>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBody {
    connection: ConnectionId,
}

/// Starts a sync of a connection's templates.
pub(super) async fn start(
    api: Data<Api>,
    caller: Caller,
    Query(Nothing {}): Query<Nothing>,
    Json(body): Json<NewBody>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::TemplatesSync)?;
    let connection = api.connection(caller.workspace, body.connection, "/connection").await?;
    let mut conn = api.db.connection().await?;
    let running = runs::running_of(&mut conn, caller.workspace, connection.id()).await?;
    if let Some(running) = running {
        return Err(already_running(running));
    }
    let sharing = accounts::sharing(&mut conn, &connection.waba_id()).await?;
    drop(conn);
    let id = TemplateSyncId::new();
    api.meta.admit_sync(&connection, sharing, id).await.map_err(not_yet)?;
    let new = NewRun {
        id,
        workspace: caller.workspace,
        connection: connection.id(),
        waba: connection.waba_id(),
        trigger: Trigger::Request,
        requested_by: caller.key.to_string(),
    };
    begin(&api, &new).await?;
    api.ticks.tick(id).await;
    let shown = one(&api, &caller, id).await?;
    Ok(HttpResponse::Accepted()
        .insert_header((LOCATION, format!("/v1/template-syncs/{id}")))
        .json(shown))
}

async fn begin(api: &Api, new: &NewRun) -> Result<(), Problem> {
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    for _ in 0..TRIES {
        let run = new.clone();
        let is_started = (*conn).transaction(async |tx| runs::start(tx, run, now).await).await?;
        if is_started {
            return Ok(());
        }
        let running = runs::running_of(&mut conn, new.workspace, new.connection).await?;
        if let Some(running) = running {
            return Err(already_running(running));
        }
    }
    Err(Problem::new(Code::StateConflict, "Other syncs of this connection came first. Try again."))
}

fn already_running(running: TemplateSyncId) -> Problem {
    Problem::new(Code::AlreadyRunning, "Template sync is already in progress")
        .with("existing", json!({ "object": "template_sync", "id": running }))
}

/// The workspace's syncs, newest first.
pub(super) async fn list(
    api: Data<Api>,
    caller: Caller,
    Query(wanted): Query<Wanted>,
) -> Result<Page<ShownSync>, Problem> {
    caller.require(Scope::TemplatesRead)?;
    let filter = Filter {
        id: None,
        connection: wanted.connection,
        statuses: wanted.status.into_iter().map(|status| status.0).collect(),
        before: wanted.cursor.map(|Cursor(last)| last),
    };
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    let found = runs::list(&mut conn, caller.workspace, filter, wanted.limit.rows()).await?;
    Ok(Page::new(found, wanted.limit, runs::Seen::id, |seen| ShownSync::new(seen, now)))
}

/// One sync.
pub(super) async fn show(
    api: Data<Api>,
    caller: Caller,
    id: Path<TemplateSyncId>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::TemplatesRead)?;
    Ok(HttpResponse::Ok().json(one(&api, &caller, *id).await?))
}

async fn one(api: &Api, caller: &Caller, id: TemplateSyncId) -> Result<ShownSync, Problem> {
    let filter = Filter { id: Some(id), ..Filter::default() };
    let mut conn = api.db.connection().await?;
    let found = runs::list(&mut conn, caller.workspace, filter, 1).await?.pop();
    let seen = found.ok_or_else(Problem::not_found)?;
    Ok(ShownSync::new(seen, api.clock.now()))
}
