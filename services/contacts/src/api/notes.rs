//! `/v1/contacts/{id}/notes`: what colleagues write down about a person, who and when.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use kernel::ids::{ContactId, NoteId};
use serde::{Deserialize, Serialize};
use service::values::{Nothing, Time};
use service::{Caller, Cursor, Json, Limit, Page, Problem, Query, Scope};
use storage::contacts;

use super::Api;
use crate::store::notes::{self, Note};

/// Characters of a note, at most: as much as a message (Meta, text messages, 4,096).
const LONGEST: usize = 4096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    text: Text,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Text(String);

impl TryFrom<String> for Text {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let text = text.trim();
        if (1..=LONGEST).contains(&text.chars().count()) && !text.contains('\0') {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("a note has 1 to {LONGEST} characters"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<NoteId>>,
}

#[derive(Serialize)]
pub(super) struct Shown {
    object: &'static str,
    id: NoteId,
    text: String,
    /// The API key it was written with.
    author: String,
    created_at: Time,
}

impl From<Note> for Shown {
    fn from(note: Note) -> Self {
        Self {
            object: "note",
            id: note.id(),
            text: note.text,
            author: note.author,
            created_at: Time(note.created_at),
        }
    }
}

pub(super) async fn add(
    caller: Caller,
    api: Data<Api>,
    contact: Path<ContactId>,
    _: Query<Nothing>,
    Json(new): Json<New>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::ContactsWrite)?;
    let (author, now) = (caller.key.to_string(), api.clock.now());
    let mut conn = api.db.connection().await?;
    let added = notes::add(&mut conn, caller.workspace, *contact, author, new.text.0, now).await?;
    let note = added.ok_or_else(Problem::not_found)?;
    let location = format!("/v1/contacts/{}/notes/{}", *contact, note.id());
    Ok(HttpResponse::Created().insert_header(("location", location)).json(Shown::from(note)))
}

pub(super) async fn list(
    caller: Caller,
    api: Data<Api>,
    contact: Path<ContactId>,
    Query(wanted): Query<Wanted>,
) -> Result<Page<Shown>, Problem> {
    caller.require(Scope::ContactsRead)?;
    let (workspace, before) = (caller.workspace, wanted.cursor.map(|Cursor(last)| last));
    let mut conn = api.db.connection().await?;
    contacts::find(&mut conn, workspace, *contact).await?.ok_or_else(Problem::not_found)?;
    let found = notes::list(&mut conn, workspace, *contact, before, wanted.limit.rows()).await?;
    Ok(Page::new(found, wanted.limit, Note::id, Shown::from))
}

/// Shows once more what is gone.
pub(super) async fn remove(
    caller: Caller,
    api: Data<Api>,
    path: Path<(ContactId, NoteId)>,
    _: Query<Nothing>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::ContactsWrite)?;
    let (contact, note) = path.into_inner();
    let mut conn = api.db.connection().await?;
    let removed = notes::remove(&mut conn, caller.workspace, contact, note).await?;
    removed.map(|note| HttpResponse::Ok().json(Shown::from(note))).ok_or_else(Problem::not_found)
}
