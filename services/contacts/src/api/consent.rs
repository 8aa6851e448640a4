//! `/v1/contacts/{id}/opt-out`, `/opt-in` and `/consents`: whether a person wants to hear from us, and
//! how we know.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use chrono::{DateTime, Utc};
use contracts::names::event::{CONTACT_OPTED_IN, CONTACT_OPTED_OUT};
use diesel_async::AsyncConnection;
use kernel::ids::{ConnectionId, ConsentId, ContactId};
use serde::{Deserialize, Serialize};
use service::values::{Nothing, Time};
use service::{Caller, Cursor, Limit, MaybeJson, Page, Problem, Query, Scope};
use storage::contacts::{self, Consent, ConsentSource, Contact, Declaration, Proof};
use storage::events::Event;
use storage::{AsyncPgConnection, StorageError};

use super::shown::show;
use super::{Api, tell};

/// Characters of what was said, at most: a longest message (Meta, text messages, 4,096).
const LONGEST_TEXT: usize = 4096;
/// Characters of where it was said.
const LONGEST_SOURCE: usize = 64;

/// How the caller knows.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Known {
    source: Option<Place>,
    text: Option<Text>,
}

/// Where it was said: a form, a shop, a call.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Place(String);

/// What was said, or what was agreed to.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Text(String);

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let place = text.trim();
        let is_fit = (1..=LONGEST_SOURCE).contains(&place.chars().count());
        let is_ours = ConsentSource::OURS.iter().any(|source| source.as_str() == place);
        if is_fit && !is_ours && !place.contains(char::is_control) {
            return Ok(Self(place.to_owned()));
        }
        Err(format!(
            "a source has 1 to {LONGEST_SOURCE} characters on one line, and is not keyword, meta or import"
        ))
    }
}

impl TryFrom<String> for Text {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if (1..=LONGEST_TEXT).contains(&text.chars().count()) && !text.contains('\0') {
            return Ok(Self(text));
        }
        Err(format!("a text has 1 to {LONGEST_TEXT} characters"))
    }
}

pub(super) async fn opt_out(
    caller: Caller,
    api: Data<Api>,
    id: Path<ContactId>,
    _: Query<Nothing>,
    MaybeJson(known): MaybeJson<Known>,
) -> Result<HttpResponse, Problem> {
    decide(&caller, &api, *id, Consent::Withdrawn, known.unwrap_or_default()).await
}

pub(super) async fn opt_in(
    caller: Caller,
    api: Data<Api>,
    id: Path<ContactId>,
    _: Query<Nothing>,
    MaybeJson(known): MaybeJson<Known>,
) -> Result<HttpResponse, Problem> {
    decide(&caller, &api, *id, Consent::Given, known.unwrap_or_default()).await
}

/// Idempotent by state: a second opt-out keeps the time of the first.
async fn decide(
    caller: &Caller,
    api: &Api,
    id: ContactId,
    consent: Consent,
    known: Known,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::ContactsWrite)?;
    let now = api.clock.now();
    let declaration = Declaration {
        consent,
        source: ConsentSource::Api(known.source.map(|place| place.0)),
        text: known.text.map(|text| text.0),
        actor: Some(caller.key.to_string()),
        connection_id: None,
        said_at: now,
    };
    let mut conn = api.db.connection().await?;
    let decided =
        (*conn).transaction(async |tx| write_down(tx, caller, id, declaration, now).await).await?;
    drop(conn);
    let (stored, events) = decided.ok_or_else(Problem::not_found)?;
    api.relay.publish(events).await;
    Ok(show(stored))
}

async fn write_down(
    tx: &mut AsyncPgConnection,
    caller: &Caller,
    id: ContactId,
    declaration: Declaration,
    now: DateTime<Utc>,
) -> Result<Option<(Contact, Vec<Event>)>, StorageError> {
    let workspace = caller.workspace;
    if contacts::lock(tx, workspace, &[id]).await?.is_empty() {
        return Ok(None);
    }
    let mut events = Vec::new();
    for (contact, consent) in contacts::declare(tx, vec![(id, declaration)], now).await? {
        let event_type = match consent {
            Consent::Given => CONTACT_OPTED_IN,
            Consent::Withdrawn => CONTACT_OPTED_OUT,
        };
        events.push(tell(tx, workspace, contact, event_type, now).await?);
    }
    let stored = contacts::find(tx, workspace, id).await?;
    Ok(stored.map(|stored| (stored, events)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<ConsentId>>,
}

#[derive(Serialize)]
pub(super) struct Shown {
    object: &'static str,
    id: ConsentId,
    /// `given` or `withdrawn`.
    decision: String,
    /// `api` or the caller's word, `keyword`, `meta`, `import`.
    source: String,
    text: Option<String>,
    /// Who wrote it down, when it was not the person.
    actor: Option<String>,
    connection: Option<ConnectionId>,
    said_at: Time,
    recorded_at: Time,
}

impl From<Proof> for Shown {
    fn from(proof: Proof) -> Self {
        Self {
            object: "consent",
            id: proof.id(),
            connection: proof.connection_id(),
            said_at: Time(proof.said_at),
            recorded_at: Time(proof.recorded_at),
            decision: proof.decision,
            source: proof.source,
            text: proof.text,
            actor: proof.actor,
        }
    }
}

/// What the person decided over time, newest first.
pub(super) async fn list(
    caller: Caller,
    api: Data<Api>,
    id: Path<ContactId>,
    Query(wanted): Query<Wanted>,
) -> Result<Page<Shown>, Problem> {
    caller.require(Scope::ContactsRead)?;
    let (workspace, before) = (caller.workspace, wanted.cursor.map(|Cursor(last)| last));
    let mut conn = api.db.connection().await?;
    contacts::find(&mut conn, workspace, *id).await?.ok_or_else(Problem::not_found)?;
    let found = contacts::proofs(&mut conn, workspace, *id, before, wanted.limit.rows()).await?;
    Ok(Page::new(found, wanted.limit, Proof::id, Shown::from))
}
