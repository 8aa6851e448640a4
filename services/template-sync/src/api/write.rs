//! Making, changing, unpausing and deleting templates: Meta is called, then what it took is written
//! down. What is not written down because we died in between comes with the next sync.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, Responder};
use diesel_async::AsyncConnection;
use kernel::WabaId;
use kernel::ids::{ConnectionId, TemplateId};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use service::{Caller, Code, Json, Problem, Query, Scope};
use storage::connections::{self, Connection};
use whatsapp::graph::CallError;

use super::Api;
use super::refused::{is_open, not_yet, refused};
use super::shown::ShownTemplate;
use super::templates::{answer, one};
use super::values::{Category, Components, Language, Name, Nothing, ParameterFormat};
use crate::store::telling::{self, Facts, Turn, Whose};
use crate::store::templates::{self, Edited, Made, Template};
use crate::store::{accounts, schedules};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBody {
    connection: ConnectionId,
    name: Name,
    language: Language,
    category: Category,
    components: Components,
    #[serde(default)]
    parameter_format: ParameterFormat,
    message_send_ttl_seconds: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Patch {
    category: Option<Category>,
    components: Option<Components>,
    message_send_ttl_seconds: Option<i64>,
}

/// What Meta is sent.
#[derive(Serialize)]
struct Sent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter_format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    components: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_send_ttl_seconds: Option<i64>,
}

/// Makes a template; it can be sent when Meta has approved it.
pub(super) async fn create(
    api: Data<Api>,
    caller: Caller,
    Query(Nothing {}): Query<Nothing>,
    Json(body): Json<NewBody>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::TemplatesWrite)?;
    let connection = api.connection(caller.workspace, body.connection, "/connection").await?;
    let token = admitted(&api, &connection).await?;
    let sent = Sent {
        name: Some(&body.name.0),
        language: Some(&body.language.0),
        category: Some(body.category.as_str()),
        parameter_format: Some(body.parameter_format.as_str()),
        components: Some(&body.components.0),
        message_send_ttl_seconds: body.message_send_ttl_seconds,
    };
    let sent = serde_json::to_string(&sent).map_err(Problem::internal)?;
    let waba = connection.waba_id();
    let created = api.meta.graph.create_template(&token, &waba, sent).await;
    let created = heard(&api, &connection, created).await?;
    let made = Made {
        id: TemplateId::new(),
        workspace: caller.workspace,
        waba: waba.clone(),
        meta_id: created.id,
        name: body.name.0,
        language: body.language.0,
        status: created.status,
        category: created.category.unwrap_or_else(|| body.category.as_str().to_owned()),
        parameter_format: body.parameter_format.as_str().to_owned(),
        components: body.components.0.get().to_owned(),
        ttl_seconds: body.message_send_ttl_seconds,
    };
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    let id = (*conn)
        .transaction(async |tx| {
            accounts::lock(tx, caller.workspace, &waba).await?;
            templates::insert(tx, made, now).await
        })
        .await?;
    drop(conn);
    let shown = ShownTemplate::try_from(one(&api, &caller, id).await?);
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/v1/templates/{id}")))
        .json(shown.map_err(Problem::internal)?))
}

/// Changes a template, which Meta then looks at anew.
pub(super) async fn change(
    api: Data<Api>,
    caller: Caller,
    id: Path<TemplateId>,
    Query(Nothing {}): Query<Nothing>,
    Json(patch): Json<Patch>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::TemplatesWrite)?;
    let (template, connection) = living(&api, &caller, *id).await?;
    if patch.category.is_none()
        && patch.components.is_none()
        && patch.message_send_ttl_seconds.is_none()
    {
        let detail = "give at least one of category, components and message_send_ttl_seconds";
        return Err(Problem::invalid("", "missing_field", detail));
    }
    let token = admitted(&api, &connection).await?;
    let sent = Sent {
        name: None,
        language: None,
        category: patch.category.map(Category::as_str),
        parameter_format: None,
        components: patch.components.as_ref().map(|components| &*components.0),
        message_send_ttl_seconds: patch.message_send_ttl_seconds,
    };
    let sent = serde_json::to_string(&sent).map_err(Problem::internal)?;
    let edited = api.meta.graph.edit_template(&token, &template.meta_id, sent).await;
    heard(&api, &connection, edited).await?;
    let edited = Edited {
        // Whether it may be sent while Meta looks at it is not documented: no, until it says so.
        status: Some("PENDING"),
        category: patch.category.map(|category| category.as_str().to_owned()),
        components: patch.components.map(|components| components.0.get().to_owned()),
        ttl_seconds: patch.message_send_ttl_seconds,
        is_deleted: false,
    };
    write_down(&api, &connection, &template, edited).await?;
    answer(one(&api, &caller, *id).await?)
}

/// Deletes a template in its language; campaigns that send it are paused.
pub(super) async fn delete(
    api: Data<Api>,
    caller: Caller,
    id: Path<TemplateId>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::TemplatesWrite)?;
    let (template, connection) = living(&api, &caller, *id).await?;
    let token = admitted(&api, &connection).await?;
    let which = (template.meta_id.as_str(), template.name.as_str());
    let deleted = api.meta.graph.delete_template(&token, &template.waba(), which).await;
    heard(&api, &connection, deleted).await?;
    write_down(&api, &connection, &template, Edited { is_deleted: true, ..Edited::default() })
        .await?;
    answer(one(&api, &caller, *id).await?)
}

/// Lifts a pause of Meta's that waits for a person; what Meta makes of it comes by webhook.
pub(super) async fn unpause(
    api: Data<Api>,
    caller: Caller,
    id: Path<TemplateId>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::TemplatesWrite)?;
    let (template, connection) = living(&api, &caller, *id).await?;
    if template.status == "PAUSED" {
        let token = admitted(&api, &connection).await?;
        let unpaused = api.meta.graph.unpause_template(&token, &template.meta_id).await;
        heard(&api, &connection, unpaused).await?;
        look_soon(&api, &connection).await?;
    }
    answer(one(&api, &caller, *id).await?)
}

/// A template that Meta has, and a connection that may speak for it.
async fn living(
    api: &Api,
    caller: &Caller,
    id: TemplateId,
) -> Result<(Template, Connection), Problem> {
    let template = one(api, caller, id).await?;
    if template.deleted_at.is_some() {
        let detail = "Meta does not have this template any more. Make another one.";
        return Err(Problem::new(Code::StateConflict, detail));
    }
    let mut conn = api.db.connection().await?;
    let owners = accounts::owners(&mut conn, vec![template.waba().into_string()]).await?;
    let owner = owners.into_iter().find(|owner| owner.workspace == caller.workspace);
    let connection = match owner {
        Some(owner) => connections::find(&mut conn, caller.workspace, owner.connection).await?,
        None => None,
    };
    let connection = connection.ok_or_else(|| {
        let detail = "No connection of this template's account is left. Connect a number of it.";
        Problem::new(Code::StateConflict, detail)
    })?;
    Ok((template, connection))
}

/// Asks the limits; gives the token.
async fn admitted(api: &Api, connection: &Connection) -> Result<SecretString, Problem> {
    let mut conn = api.db.connection().await?;
    let sharing = accounts::sharing(&mut conn, &connection.waba_id()).await?;
    drop(conn);
    api.meta.admit_call(connection, sharing).await.map_err(not_yet)?;
    Ok(api.meta.token(connection)?)
}

/// What Meta answered; when it gave no answer, a sync finds out.
async fn heard<T>(
    api: &Api,
    connection: &Connection,
    answer: Result<T, CallError>,
) -> Result<T, Problem> {
    match answer {
        Ok(answer) => Ok(answer),
        Err(error) => {
            api.meta.learn(connection, &error).await;
            if is_open(&error) {
                look_soon(api, connection).await?;
            }
            Err(refused(error))
        }
    }
}

async fn look_soon(api: &Api, connection: &Connection) -> Result<(), Problem> {
    let mut conn = api.db.connection().await?;
    schedules::ask(&mut conn, &[connection.id()], api.clock.now()).await?;
    Ok(())
}

async fn write_down(
    api: &Api,
    connection: &Connection,
    template: &Template,
    edited: Edited,
) -> Result<(), Problem> {
    let (now, workspace) = (api.clock.now(), connection.workspace_id());
    let waba: WabaId = template.waba();
    let mut conn = api.db.connection().await?;
    let told = (*conn)
        .transaction(async |tx| {
            accounts::lock(tx, workspace, &waba).await?;
            let after = match edited.status {
                _ if edited.is_deleted => "DELETED",
                Some(status) => status,
                None => &template.status,
            };
            let facts = |status: &str| {
                let (status, quality) = (status.to_owned(), template.quality.clone());
                Facts { status, quality }
            };
            let turn = Turn {
                id: template.id(),
                name: template.name.clone(),
                language: template.language.clone(),
                before: Some(facts(&template.status)),
                now: facts(after),
            };
            templates::edit(tx, template.id(), edited, now).await?;
            let whose = Whose { workspace, waba: &waba, connection: connection.id() };
            telling::tell(tx, whose, &[turn], now).await
        })
        .await?;
    drop(conn);
    api.relay.publish(told).await;
    Ok(())
}
