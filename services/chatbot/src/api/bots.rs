//! Bots: what they are called and which connections they answer on.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, Responder};
use diesel_async::AsyncConnection;
use kernel::ids::{BotId, ConnectionId};
use serde::{Deserialize, Serialize};
use service::{Caller, Cursor, IfMatch, Json, Limit, Page, Problem, Query, Scope, etag};
use storage::AsyncPgConnection;

use super::{Api, shown};
use crate::store::ChangeError;
use crate::store::bots::{self, Bot, Changes};

/// Enough for a name, short enough for a list.
const MOST_NAME_CHARS: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBot {
    name: String,
    #[serde(default)]
    connections: Vec<ConnectionId>,
    #[serde(default = "yes")]
    enabled: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BotPatch {
    name: Option<String>,
    connections: Option<Vec<ConnectionId>>,
    enabled: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<BotId>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Shown {
    object: &'static str,
    id: BotId,
    name: String,
    enabled: bool,
    connections: Vec<ConnectionId>,
    version: i64,
    created_at: String,
    updated_at: String,
}

impl Shown {
    fn new(bot: Bot, connections: Vec<ConnectionId>) -> Self {
        Self {
            object: "bot",
            id: bot.id(),
            name: bot.name,
            enabled: bot.is_enabled,
            connections,
            version: bot.version,
            created_at: shown(bot.created_at),
            updated_at: shown(bot.updated_at),
        }
    }
}

pub(super) async fn list(
    api: Data<Api>,
    caller: Caller,
    Query(filter): Query<Filter>,
) -> Result<Page<Shown>, Problem> {
    caller.require(Scope::BotsRead)?;
    let mut conn = api.db.connection().await?;
    let before = filter.cursor.map(|Cursor(last)| last);
    let found = bots::list(&mut conn, caller.workspace, before, filter.limit.rows()).await?;
    let ids: Vec<BotId> = found.iter().map(Bot::id).collect();
    let mut connections = bots::connections_of(&mut conn, caller.workspace, &ids).await?;
    Ok(Page::new(found, filter.limit, Bot::id, |bot: Bot| {
        let connections = connections.remove(&bot.id()).unwrap_or_default();
        Shown::new(bot, connections)
    }))
}

pub(super) async fn create(
    api: Data<Api>,
    caller: Caller,
    Json(new): Json<NewBot>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::BotsWrite)?;
    let name = checked_name(new.name)?;
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    let made = (*conn)
        .transaction(async |tx| {
            let bot = bots::insert(tx, caller.workspace, name, new.enabled, now).await?;
            bots::connect(tx, caller.workspace, bot.id(), &new.connections).await?;
            with_connections(tx, caller, bot).await
        })
        .await?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/v1/bots/{}", made.id)))
        .insert_header(etag(made.version))
        .json(made))
}

pub(super) async fn show(
    api: Data<Api>,
    caller: Caller,
    id: Path<BotId>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::BotsRead)?;
    let mut conn = api.db.connection().await?;
    let bot = bots::find(&mut conn, caller.workspace, *id).await?;
    let bot = bot.ok_or_else(Problem::not_found)?;
    Ok(answer(with_connections(&mut conn, caller, bot).await?))
}

pub(super) async fn change(
    api: Data<Api>,
    caller: Caller,
    id: Path<BotId>,
    IfMatch(expected): IfMatch,
    Json(patch): Json<BotPatch>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::BotsWrite)?;
    let name = patch.name.map(checked_name).transpose()?;
    let changes = Changes { name, is_enabled: patch.enabled };
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    let changed = (*conn)
        .transaction(async |tx| {
            let bot = bots::touch(tx, caller.workspace, *id, expected, changes, now).await?;
            if let Some(connections) = &patch.connections {
                bots::connect(tx, caller.workspace, bot.id(), connections).await?;
            }
            with_connections(tx, caller, bot).await
        })
        .await?;
    Ok(answer(changed))
}

pub(super) async fn delete(
    api: Data<Api>,
    caller: Caller,
    id: Path<BotId>,
    IfMatch(expected): IfMatch,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::BotsWrite)?;
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    let deleted = (*conn)
        .transaction(async |tx| {
            let workspace = caller.workspace;
            let bot = bots::touch(tx, workspace, *id, expected, Changes::default(), now).await?;
            let shown = with_connections(tx, caller, bot).await?;
            bots::delete(tx, workspace, *id).await?;
            Ok::<_, ChangeError>(shown)
        })
        .await?;
    Ok(answer(deleted))
}

fn answer(bot: Shown) -> HttpResponse {
    HttpResponse::Ok().insert_header(etag(bot.version)).json(bot)
}

async fn with_connections(
    conn: &mut AsyncPgConnection,
    caller: Caller,
    bot: Bot,
) -> Result<Shown, ChangeError> {
    let mut connections = bots::connections_of(conn, caller.workspace, &[bot.id()]).await?;
    let connections = connections.remove(&bot.id()).unwrap_or_default();
    Ok(Shown::new(bot, connections))
}

fn checked_name(name: String) -> Result<String, Problem> {
    let name = name.trim();
    let count = name.chars().count();
    if count == 0 || count > MOST_NAME_CHARS || name.contains('\0') {
        let detail = format!("a name has 1 to {MOST_NAME_CHARS} characters, and no U+0000");
        return Err(Problem::invalid("/name", "invalid_value", detail));
    }
    Ok(name.to_owned())
}
