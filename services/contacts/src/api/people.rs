//! `/v1/contacts`: people, what is known of them, and whether campaigns may write to them.
//!
//! Whoever keeps contacts elsewhere brings them here by number: `PUT …/by-phone/{e164}` makes or
//! changes, whichever it takes, however often it is called.

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path};
use kernel::ids::ContactId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service::values::{Nothing, Phone, Time};
use service::version::{IfMatch, etag};
use service::{Caller, Cursor, Json, Limit, Page, Problem, Query, Scope};
use storage::AsyncPgConnection;
use storage::contacts::{self, Consent};

use super::Api;
use super::values::{Patch, Tag};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<ContactId>>,
    phone: Option<Phone>,
    /// Given several times: contacts with any of them.
    #[serde(default)]
    tag: Vec<Tag>,
}

#[derive(Serialize)]
pub(super) struct Contact {
    object: &'static str,
    id: ContactId,
    /// E.164 with `+`; Meta may show only the user id.
    phone: Option<String>,
    user_id: Option<String>,
    name: Option<String>,
    tags: Vec<String>,
    attributes: Value,
    /// Since when no campaign may write to them.
    opted_out_at: Option<Time>,
    source: String,
    created_at: Time,
    updated_at: Time,
}

impl From<contacts::Contact> for Contact {
    fn from(stored: contacts::Contact) -> Self {
        Self {
            object: "contact",
            id: stored.id(),
            phone: stored.wa_id().map(|number| format!("+{}", number.as_str())),
            user_id: stored.user_id().map(kernel::UserId::into_string),
            opted_out_at: stored.opted_out_at.map(Time),
            created_at: Time(stored.created_at),
            updated_at: Time(stored.updated_at),
            name: stored.name,
            tags: stored.tags,
            attributes: stored.attributes,
            source: stored.source,
        }
    }
}

fn show(stored: contacts::Contact) -> HttpResponse {
    HttpResponse::Ok().insert_header(etag(stored.updated_at)).json(Contact::from(stored))
}

pub(super) async fn list(
    caller: Caller,
    api: Data<Api>,
    Query(filter): Query<Filter>,
) -> Result<Page<Contact>, Problem> {
    caller.require(Scope::ContactsRead)?;
    let wa_id = filter.phone.as_ref().map(Phone::wa_id);
    let tags: Vec<String> = filter.tag.into_iter().map(Tag::into_string).collect();
    let before = filter.cursor.map(|Cursor(last)| last);
    let mut conn = api.db.connection().await?;
    let (workspace, rows) = (caller.workspace, filter.limit.rows());
    let found = contacts::list(&mut conn, workspace, wa_id.as_ref(), &tags, before, rows).await?;
    Ok(Page::new(found, filter.limit, contacts::Contact::id, Contact::from))
}

pub(super) async fn keep(
    caller: Caller,
    api: Data<Api>,
    e164: Path<String>,
    _: Query<Nothing>,
    Json(patch): Json<Patch>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::ContactsWrite)?;
    let phone = Phone::try_from(e164.into_inner())
        .map_err(|detail| Problem::invalid("e164", "invalid_value", detail))?;
    let conn: &mut AsyncPgConnection = &mut *api.db.connection().await?;
    let (wa_id, now) = (phone.wa_id(), api.clock.now());
    let (stored, is_new) = contacts::keep(conn, caller.workspace, wa_id, patch.into(), now).await?;
    if !is_new {
        return Ok(show(stored));
    }
    let location = (LOCATION, format!("/v1/contacts/{}", stored.id()));
    Ok(HttpResponse::Created()
        .insert_header(location)
        .insert_header(etag(stored.updated_at))
        .json(Contact::from(stored)))
}

pub(super) async fn read(
    caller: Caller,
    api: Data<Api>,
    id: Path<ContactId>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::ContactsRead)?;
    let mut conn = api.db.connection().await?;
    let found = contacts::find(&mut conn, caller.workspace, *id).await?;
    found.map(show).ok_or_else(Problem::not_found)
}

pub(super) async fn change(
    caller: Caller,
    api: Data<Api>,
    id: Path<ContactId>,
    _: Query<Nothing>,
    if_match: IfMatch,
    Json(patch): Json<Patch>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::ContactsWrite)?;
    let conn: &mut AsyncPgConnection = &mut *api.db.connection().await?;
    let (workspace, versions, now) = (caller.workspace, if_match.versions(), api.clock.now());
    match contacts::change(conn, workspace, *id, patch.into(), versions, now).await? {
        Some(stored) => Ok(show(stored)),
        None => {
            let is_there = contacts::find(conn, workspace, *id).await?.is_some();
            Err(if_match.refusal(is_there))
        }
    }
}

pub(super) async fn opt_out(
    caller: Caller,
    api: Data<Api>,
    id: Path<ContactId>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    consent(&caller, &api, *id, Consent::Withdrawn).await
}

pub(super) async fn opt_in(
    caller: Caller,
    api: Data<Api>,
    id: Path<ContactId>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    consent(&caller, &api, *id, Consent::Given).await
}

/// Idempotent by state: a second opt-out keeps the time of the first.
async fn consent(
    caller: &Caller,
    api: &Api,
    id: ContactId,
    consent: Consent,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::ContactsWrite)?;
    let mut conn = api.db.connection().await?;
    let now = api.clock.now();
    let stored = contacts::consent(&mut conn, caller.workspace, id, consent, now).await?;
    stored.map(show).ok_or_else(Problem::not_found)
}
