//! `/v1/contact-imports` and what is below it.

use actix_multipart::{Field, Multipart};
use actix_web::http::header::LOCATION;
use actix_web::web::{self, Data, Path, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Responder};
use futures_util::TryStreamExt;
use kernel::ids::ImportId;
use serde::Deserialize;
use service::values::Nothing;
use service::{Caller, Code, Cursor, Limit, Page, Problem, Query, Scope};

use super::options::Options;
use super::shown::Shown;
use super::{path, rejects, store};
use crate::api::Api;
use crate::files::FilesError;

/// Bytes of the member `options` at most.
const MOST_OPTIONS: usize = 64 * 1024;
/// Characters of a file's name that are kept.
const LONGEST_NAME: usize = 200;

/// Mounts the API.
pub(crate) fn routes(api: &Data<Api>, config: &mut ServiceConfig) {
    let resource =
        |path: &str| web::resource(format!("/v1/contact-imports{path}")).app_data(Data::clone(api));
    config
        .service(resource("").route(web::get().to(list)).route(web::post().to(create)))
        .service(resource("/{id}").route(web::get().to(show)))
        .service(resource("/{id}/cancel").route(web::post().to(cancel)))
        .service(resource("/{id}/rejects").route(web::get().to(rejects::show)));
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<ImportId>>,
}

/// What a form brought.
#[derive(Default)]
struct Form {
    options: Option<Options>,
    /// Its name and its size.
    file: Option<(String, i64)>,
}

/// Takes a file: `multipart/form-data` with `file` and, before or behind it, `options`.
async fn create(
    api: Data<Api>,
    caller: Caller,
    Query(Nothing {}): Query<Nothing>,
    request: HttpRequest,
    payload: Payload,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::ContactsImport)?;
    // Before the upload, to spare a large one; the key of the table decides.
    refuse_second(&api, &caller).await?;
    let id = ImportId::new();
    let form = Multipart::new(request.headers(), payload);
    let stored = match receive(&api, id, form).await {
        Ok(form) => insert(&api, &caller, id, form).await,
        Err(problem) => Err(problem),
    };
    let import = match stored {
        Ok(import) => import,
        Err(problem) => {
            // What cannot be removed now the janitor finds.
            drop(api.files.remove(&path(id)).await);
            return Err(problem);
        }
    };
    api.ticks.tick(id.as_uuid()).await;
    Ok(HttpResponse::Accepted()
        .insert_header((LOCATION, format!("/v1/contact-imports/{id}")))
        .json(Shown::new(import, api.clock.now())))
}

async fn list(
    api: Data<Api>,
    caller: Caller,
    Query(wanted): Query<Wanted>,
) -> Result<Page<Shown>, Problem> {
    caller.require(Scope::ContactsRead)?;
    let before = wanted.cursor.map(|Cursor(last)| last);
    let mut conn = api.db.connection().await?;
    let found = store::list(&mut conn, caller.workspace, before, wanted.limit.rows()).await?;
    let now = api.clock.now();
    Ok(Page::new(found, wanted.limit, store::Import::id, |import| Shown::new(import, now)))
}

async fn show(
    api: Data<Api>,
    caller: Caller,
    id: Path<ImportId>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::ContactsRead)?;
    let mut conn = api.db.connection().await?;
    let found = store::find(&mut conn, caller.workspace, *id).await?;
    let import = found.ok_or_else(Problem::not_found)?;
    Ok(HttpResponse::Ok().json(Shown::new(import, api.clock.now())))
}

/// Stops an import. Nothing of it is kept: it takes effect as a whole, or not at all.
async fn cancel(
    api: Data<Api>,
    caller: Caller,
    id: Path<ImportId>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::ContactsImport)?;
    let mut conn = api.db.connection().await?;
    let now = api.clock.now();
    let found = store::cancel(&mut conn, caller.workspace, *id, now).await?;
    let import = found.ok_or_else(Problem::not_found)?;
    if import.status != store::Status::Cancelled.as_str() {
        let detail = match import.is_over() {
            true => format!("This import is {} already.", import.status),
            false => "This import is being written; it can no longer be stopped.".to_owned(),
        };
        return Err(Problem::new(Code::StateConflict, detail));
    }
    Ok(HttpResponse::Ok().json(Shown::new(import, now)))
}

async fn refuse_second(api: &Api, caller: &Caller) -> Result<(), Problem> {
    let mut conn = api.db.connection().await?;
    match store::open(&mut conn, caller.workspace).await? {
        Some(existing) => Err(already_running(existing)),
        None => Ok(()),
    }
}

fn already_running(existing: ImportId) -> Problem {
    Problem::new(Code::AlreadyRunning, "Contact import is already in progress")
        .with("existing", serde_json::json!({ "object": "contact_import", "id": existing }))
}

async fn insert(
    api: &Api,
    caller: &Caller,
    id: ImportId,
    form: Form,
) -> Result<store::Import, Problem> {
    let Some((file_name, file_bytes)) = form.file else {
        return Err(Problem::invalid("file", "required", "send the file as the member file"));
    };
    let options = form.options.unwrap_or_default();
    let new = store::NewImport {
        id,
        workspace: caller.workspace,
        file_name,
        file_bytes,
        options: serde_json::to_value(options).map_err(Problem::internal)?,
        created_by: caller.key.to_string(),
    };
    let mut conn = api.db.connection().await?;
    let inserted = store::insert(&mut conn, new, api.clock.now()).await?;
    match inserted {
        Some(import) => Ok(import),
        None => {
            let existing = store::open(&mut conn, caller.workspace).await?;
            Err(already_running(existing.unwrap_or(id)))
        }
    }
}

/// Reads the form; the file goes to the file store as it comes.
async fn receive(api: &Api, id: ImportId, mut form: Multipart) -> Result<Form, Problem> {
    let mut received = Form::default();
    while let Some(mut field) = form.try_next().await.map_err(|error| ill_formed(&error))? {
        match field.name() {
            Some("file") if received.file.is_none() => {
                let name = file_name(&field);
                let length = keep(api, id, &mut field).await?;
                received.file = Some((name, i64::try_from(length).unwrap_or(i64::MAX)));
            }
            Some("options") if received.options.is_none() => {
                received.options = Some(options(&mut field).await?);
            }
            name => {
                let name = name.unwrap_or_default();
                let detail = "the form has one file and one options, each once";
                return Err(Problem::invalid(name, "unknown_member", detail));
            }
        }
    }
    Ok(received)
}

async fn keep(api: &Api, id: ImportId, field: &mut Field) -> Result<u64, Problem> {
    let parts = field.map_err(|error| error.to_string());
    api.files.keep(&path(id), parts, api.most_import_bytes).await.map_err(|error| match error {
        FilesError::TooLarge { most } => {
            Problem::new(Code::TooLarge, format!("A file may have {most} bytes."))
        }
        FilesError::BrokeOff(cause) => {
            Problem::new(Code::BadRequest, "The file broke off.").caused_by(anyhow::anyhow!(cause))
        }
        error => Problem::unavailable("The file store", error),
    })
}

async fn options(field: &mut Field) -> Result<Options, Problem> {
    let mut text = Vec::new();
    while let Some(part) = field.try_next().await.map_err(|error| ill_formed(&error))? {
        text.extend_from_slice(&part);
        if text.len() > MOST_OPTIONS {
            return Err(Problem::new(
                Code::TooLarge,
                "The options are longer than any honest ones.",
            ));
        }
    }
    let mut source = serde_json::Deserializer::from_slice(&text);
    serde_path_to_error::deserialize(&mut source).map_err(|error| {
        let pointer = format!("/options/{}", error.path().to_string().replace('.', "/"));
        Problem::invalid(pointer, "invalid_value", error.inner().to_string())
    })
}

fn file_name(field: &Field) -> String {
    let given = field.content_disposition().and_then(|disposition| disposition.get_filename());
    let name: String = given.unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    let name: String = name.chars().take(LONGEST_NAME).collect();
    if name.is_empty() { "upload".to_owned() } else { name }
}

fn ill_formed(error: &dyn std::fmt::Display) -> Problem {
    Problem::new(
        Code::BadRequest,
        format!("Send multipart/form-data with the members file and options: {error}."),
    )
}
