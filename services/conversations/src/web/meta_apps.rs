//! `/v1/meta-apps`: Meta apps whose webhooks are taken. Their secrets go in and never come out.

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use actix_web::web::{self, Data, Path, ServiceConfig};
use chrono::{DateTime, TimeDelta, Utc};
use diesel_async::AsyncConnection;
use kernel::ids::{MetaAppId, WorkspaceId};
use serde::{Deserialize, Serialize};
use service::values::{Nothing, Time};
use service::{Caller, Code, Cursor, Json, Limit, Page, Problem, Query, Scope};
use storage::meta_apps::{self, MetaApp, ONE_PER_SLUG};
use storage::sealed::Column;
use storage::{AsyncPgConnection, StorageError};

use super::State;
use super::values::{SharedSecret, Slug};

pub(super) fn routes(config: &mut ServiceConfig) {
    let apps = web::resource("/v1/meta-apps").route(web::get().to(list));
    config.service(apps.route(web::post().to(create))).service(
        web::resource("/v1/meta-apps/{id}/rotate-secret").route(web::post().to(rotate_secret)),
    );
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<MetaAppId>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewApp {
    slug: Slug,
    app_secret: SharedSecret,
    verify_token: SharedSecret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    app_secret: SharedSecret,
    #[serde(default)]
    overlap_seconds: Overlap,
}

/// How long the secrets before this one go on signing, in seconds: 0 to 30 days, a day unless told.
#[derive(Deserialize)]
#[serde(try_from = "u32")]
struct Overlap(u32);

impl Default for Overlap {
    fn default() -> Self {
        Self(24 * 60 * 60)
    }
}

impl TryFrom<u32> for Overlap {
    type Error = &'static str;

    fn try_from(seconds: u32) -> Result<Self, &'static str> {
        const LONGEST: u32 = 30 * 24 * 60 * 60;
        if seconds <= LONGEST {
            return Ok(Self(seconds));
        }
        Err("an overlap has 0 to 2592000 seconds")
    }
}

#[derive(Serialize)]
struct App {
    object: &'static str,
    id: MetaAppId,
    slug: String,
    /// What is entered as the callback URL's path at Meta.
    webhook_path: String,
    /// More than one while a rotation overlaps.
    secrets_in_force: usize,
    created_at: Time,
}

impl From<MetaApp> for App {
    fn from(stored: MetaApp) -> Self {
        Self {
            object: "meta_app",
            id: stored.id,
            webhook_path: format!("/webhooks/whatsapp/{}", stored.slug),
            slug: stored.slug,
            secrets_in_force: stored.secrets_sealed.len(),
            created_at: Time(stored.created_at),
        }
    }
}

async fn list(
    caller: Caller,
    state: Data<State>,
    Query(filter): Query<Filter>,
) -> Result<Page<App>, Problem> {
    caller.require(Scope::ConnectionsRead)?;
    let mut conn = state.db.connection().await?;
    // A workspace has a handful, so all are read and the page is cut out here.
    let mut apps = meta_apps::list(&mut conn, caller.workspace, state.clock.now()).await?;
    if let Some(Cursor(last)) = filter.cursor {
        apps.retain(|app| app.id < last);
    }
    Ok(Page::new(apps, filter.limit, |app| app.id, App::from))
}

async fn create(
    caller: Caller,
    state: Data<State>,
    _: Query<Nothing>,
    Json(new): Json<NewApp>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::ConnectionsWrite)?;
    let (workspace, now) = (caller.workspace, state.clock.now());
    let seal = |column, secret: &SharedSecret| {
        state.sealer.seal(workspace, column, &secret.0).map_err(Problem::internal)
    };
    let app = MetaApp {
        id: MetaAppId::new(),
        workspace_id: workspace,
        slug: new.slug.0,
        verify_token_sealed: seal(Column::VerifyToken, &new.verify_token)?,
        secrets_sealed: vec![seal(Column::AppSecret, &new.app_secret)?],
        created_at: now,
    };
    let mut conn = state.db.connection().await?;
    let stored = (*conn).transaction(async |tx| meta_apps::insert(tx, &app, now).await).await;
    stored.map_err(|error| match error.violated_unique() {
        Some(ONE_PER_SLUG) => Problem::new(Code::StateConflict, "This slug is taken."),
        Some(_) | None => Problem::from(error),
    })?;
    let location = (LOCATION, format!("/v1/meta-apps/{}", app.id));
    Ok(HttpResponse::Created().insert_header(location).json(App::from(app)))
}

async fn rotate_secret(
    caller: Caller,
    state: Data<State>,
    id: Path<MetaAppId>,
    _: Query<Nothing>,
    Json(rotation): Json<Rotation>,
) -> Result<web::Json<App>, Problem> {
    caller.require(Scope::ConnectionsWrite)?;
    let (workspace, now) = (caller.workspace, state.clock.now());
    let secret = &rotation.app_secret.0;
    let sealed =
        state.sealer.seal(workspace, Column::AppSecret, secret).map_err(Problem::internal)?;
    let until = now + TimeDelta::seconds(i64::from(rotation.overlap_seconds.0));
    let mut conn = state.db.connection().await?;
    let rotated = (*conn)
        .transaction(async |tx| {
            meta_apps::rotate_secret(tx, workspace, *id, &sealed, until, now).await?;
            find(tx, workspace, *id, now).await
        })
        .await?;
    rotated.map(|app| web::Json(app.into())).ok_or_else(Problem::not_found)
}

async fn find(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: MetaAppId,
    now: DateTime<Utc>,
) -> Result<Option<MetaApp>, StorageError> {
    Ok(meta_apps::list(tx, workspace, now).await?.into_iter().find(|app| app.id == id))
}
