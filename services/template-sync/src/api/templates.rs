//! Templates: list and show.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, Responder};
use kernel::ids::{ConnectionId, TemplateId};
use serde::Deserialize;
use service::{Caller, Cursor, Limit, Page, Problem, Query, Scope};

use super::Api;
use super::shown::ShownTemplate;
use super::values::{Nothing, Word};
use crate::store::templates::{self, Deleted, Filter, Template};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<TemplateId>>,
    connection: Option<ConnectionId>,
    #[serde(default)]
    status: Vec<Word>,
    #[serde(default)]
    category: Vec<Word>,
    #[serde(default)]
    language: Vec<Word>,
    name: Option<Word>,
    /// A part of the name.
    q: Option<Word>,
    /// Whether those that Meta does not have any more are listed, too.
    #[serde(default)]
    deleted: bool,
}

/// The workspace's templates, those we learnt of last first.
pub(super) async fn list(
    api: Data<Api>,
    caller: Caller,
    Query(wanted): Query<Wanted>,
) -> Result<Page<ShownTemplate>, Problem> {
    caller.require(Scope::TemplatesRead)?;
    let words = |words: Vec<Word>| words.into_iter().map(|word| word.0).collect();
    let filter = Filter {
        id: None,
        connection: wanted.connection,
        statuses: words(wanted.status),
        categories: words(wanted.category),
        languages: words(wanted.language),
        name: wanted.name.map(|name| name.0),
        name_part: wanted.q.map(|part| part.0),
        deleted: if wanted.deleted { Deleted::Shown } else { Deleted::Left },
        before: wanted.cursor.map(|Cursor(last)| last),
    };
    let mut conn = api.db.connection().await?;
    let rows = wanted.limit.rows();
    let found = templates::list(&mut conn, caller.workspace, filter, rows).await?;
    drop(conn);
    let shown = found
        .into_iter()
        .map(|template| Ok((template.id(), ShownTemplate::try_from(template)?)))
        .collect::<Result<Vec<_>, serde_json::Error>>()
        .map_err(Problem::internal)?;
    Ok(Page::new(shown, wanted.limit, |(id, _)| *id, |(_, shown)| shown))
}

/// One template, also one that is deleted.
pub(super) async fn show(
    api: Data<Api>,
    caller: Caller,
    id: Path<TemplateId>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::TemplatesRead)?;
    answer(one(&api, &caller, *id).await?)
}

/// A template of the caller's workspace.
pub(super) async fn one(api: &Api, caller: &Caller, id: TemplateId) -> Result<Template, Problem> {
    let mut conn = api.db.connection().await?;
    let found = templates::find(&mut conn, caller.workspace, id).await?;
    found.ok_or_else(Problem::not_found)
}

pub(super) fn answer(template: Template) -> Result<HttpResponse, Problem> {
    let shown = ShownTemplate::try_from(template).map_err(Problem::internal)?;
    Ok(HttpResponse::Ok().json(shown))
}
