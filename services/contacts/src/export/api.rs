//! `/v1/contact-exports` and what is below it.

use actix_web::http::header::{CONTENT_DISPOSITION, LOCATION};
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{FromRequest, HttpRequest, HttpResponse, Responder};
use chrono::{DateTime, Utc};
use kernel::ids::ExportId;
use serde::{Deserialize, Serialize};
use service::values::{Nothing, Time};
use service::{Caller, Code, Cursor, Json, Limit, Page, Problem, Query, Scope};

use super::filter::Filter;
use super::store::{self, COMPLETED, Export};
use super::table::Format;
use super::{link, path};
use crate::api::Api;
use crate::import::Why;
use crate::progress::Progress;

/// Mounts the API.
pub(crate) fn routes(api: &Data<Api>, config: &mut ServiceConfig) {
    let resource =
        |path: &str| web::resource(format!("/v1/contact-exports{path}")).app_data(Data::clone(api));
    config
        .service(resource("").route(web::get().to(list)).route(web::post().to(create)))
        .service(resource("/{id}").route(web::get().to(show)))
        .service(resource("/{id}/file").route(web::get().to(file)));
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<ExportId>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    #[serde(default)]
    filter: Filter,
    #[serde(default)]
    format: Format,
    /// Whether a CSV begins with a mark that tells Excel it is UTF-8.
    #[serde(default)]
    bom: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    expires: Option<i64>,
    signature: Option<String>,
}

#[derive(Debug, Serialize)]
struct Shown {
    object: &'static str,
    id: ExportId,
    status: String,
    filter: serde_json::Value,
    format: Format,
    bom: bool,
    /// In contacts.
    progress: Progress,
    file: Option<File>,
    error: Option<Why>,
    created_at: Time,
    started_at: Option<Time>,
    ended_at: Option<Time>,
    /// When the file goes.
    expires_at: Option<Time>,
}

#[derive(Debug, Serialize)]
struct File {
    name: String,
    bytes: i64,
    rows: i64,
    /// Opens without a key.
    url: String,
    url_expires_at: Time,
}

async fn create(
    api: Data<Api>,
    caller: Caller,
    Query(Nothing {}): Query<Nothing>,
    Json(new): Json<New>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::ContactsExport)?;
    let key = rand::random::<[u8; 32]>().to_vec();
    let id = ExportId::new();
    let new = store::NewExport {
        id,
        workspace: caller.workspace,
        filter: serde_json::to_value(new.filter).map_err(Problem::internal)?,
        format: new.format,
        has_bom: new.bom,
        link_key: key,
        created_by: caller.key.to_string(),
    };
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    let Some(export) = store::insert(&mut conn, new, now).await? else {
        let existing = store::open(&mut conn, caller.workspace).await?.unwrap_or(id);
        return Err(Problem::new(Code::AlreadyRunning, "Contact export is already in progress")
            .with("existing", serde_json::json!({ "object": "contact_export", "id": existing })));
    };
    drop(conn);
    api.ticks.tick(id.as_uuid()).await;
    Ok(HttpResponse::Accepted()
        .insert_header((LOCATION, format!("/v1/contact-exports/{id}")))
        .json(Shown::new(export, now)))
}

async fn list(
    api: Data<Api>,
    caller: Caller,
    Query(wanted): Query<Wanted>,
) -> Result<Page<Shown>, Problem> {
    caller.require(Scope::ContactsExport)?;
    let before = wanted.cursor.map(|Cursor(last)| last);
    let mut conn = api.db.connection().await?;
    let found = store::list(&mut conn, caller.workspace, before, wanted.limit.rows()).await?;
    let now = api.clock.now();
    Ok(Page::new(found, wanted.limit, Export::id, |export| Shown::new(export, now)))
}

async fn show(
    api: Data<Api>,
    caller: Caller,
    id: Path<ExportId>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::ContactsExport)?;
    let mut conn = api.db.connection().await?;
    let found = store::find(&mut conn, caller.workspace, *id).await?;
    let export = found.ok_or_else(Problem::not_found)?;
    Ok(HttpResponse::Ok().json(Shown::new(export, api.clock.now())))
}

/// The file: for a key of the workspace, or by a link that is good.
async fn file(
    api: Data<Api>,
    id: Path<ExportId>,
    Query(given): Query<Link>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let now = api.clock.now();
    let export = match given.signature.as_deref().zip(given.expires) {
        Some((signature, expires)) => by_link(&api, *id, signature, expires, now).await?,
        None => {
            let caller = Caller::extract(&request).await?;
            caller.require(Scope::ContactsExport)?;
            let mut conn = api.db.connection().await?;
            let found = store::find(&mut conn, caller.workspace, *id).await?;
            found.ok_or_else(Problem::not_found)?
        }
    };
    let format = export.format();
    let Some(name) = export.file_name.filter(|_| export.status == COMPLETED) else {
        let detail = format!("This export is {}; there is no file to fetch.", export.status);
        return Err(Problem::new(Code::StateConflict, detail));
    };
    let found = api
        .files
        .read(&path(&name))
        .await
        .map_err(|error| Problem::unavailable("The file store", error))?;
    let Some((size, parts)) = found else {
        let detail = "The file is gone. Start another export.";
        return Err(Problem::new(Code::NotFound, detail));
    };
    Ok(HttpResponse::Ok()
        .content_type(format.content_type())
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .no_chunking(size)
        .streaming(parts))
}

/// Whoever has a link that was never made sees nothing.
async fn by_link(
    api: &Api,
    id: ExportId,
    signature: &str,
    expires: i64,
    now: DateTime<Utc>,
) -> Result<Export, Problem> {
    let mut conn = api.db.connection().await?;
    let found = store::find_any(&mut conn, id).await?;
    let is_ours = |export: &Export| link::is_ours(id, &export.link_key, expires, signature);
    let export = found.filter(is_ours).ok_or_else(Problem::not_found)?;
    if expires < now.timestamp() {
        let detail =
            format!("This link has expired. GET /v1/contact-exports/{id} gives a new one.");
        return Err(Problem::new(Code::NotFound, detail));
    }
    Ok(export)
}

impl Shown {
    fn new(export: Export, now: DateTime<Utc>) -> Self {
        let (id, format) = (export.id(), export.format());
        let until = export.ended_at.unwrap_or(now);
        let progress = Progress::new(
            (export.rows, export.total.unwrap_or(export.rows)),
            export.started_at.map(|started| until - started),
            (!export.is_over()).then_some(now),
        );
        let link = link::make(id, &export.link_key, now).filter(|_| export.status == COMPLETED);
        let file = export.file_name.zip(link).map(|(name, (url, until))| File {
            name,
            bytes: export.file_bytes.unwrap_or_default(),
            rows: export.rows,
            url,
            url_expires_at: Time(until),
        });
        Self {
            object: "contact_export",
            id,
            status: export.status,
            filter: export.filter,
            format,
            bom: export.has_bom,
            progress,
            file,
            error: export.error_code.map(|code| {
                let detail = export.error.unwrap_or_default();
                Why { code, detail }
            }),
            created_at: Time(export.created_at),
            started_at: export.started_at.map(Time),
            ended_at: export.ended_at.map(Time),
            expires_at: export.expires_at.map(Time),
        }
    }
}
