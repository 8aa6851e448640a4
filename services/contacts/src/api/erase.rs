//! `DELETE /v1/contacts/{id}`: forgets a person who asked for it.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use chrono::{DateTime, Utc};
use contracts::names::event::CONTACT_ERASED;
use diesel_async::AsyncConnection;
use kernel::ids::{AuditId, ContactId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::{Caller, Code, Problem, Query, RequestId, Scope};
use storage::audit::{self, Entry};
use storage::contacts::{self, Erased, Erasure};
use storage::events::Event;
use storage::{AsyncPgConnection, StorageError};

use super::{Api, tell};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// For the audit log.
    #[serde(default)]
    reason: Reason,
}

/// Why, for the audit log.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Reason(pub(super) String);

impl Default for Reason {
    fn default() -> Self {
        Self("asked for by API, without a reason".to_owned())
    }
}

impl TryFrom<String> for Reason {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match audit::reason(&text) {
            Some(reason) => Ok(Self(reason.to_owned())),
            None => Err(format!("a reason has 1 to {} characters", audit::LONGEST_REASON)),
        }
    }
}

#[derive(Serialize)]
struct Shown {
    object: &'static str,
    contact: ContactId,
    conversations: usize,
    messages: usize,
    cancelled: usize,
    audit: AuditId,
}

pub(super) async fn erase(
    caller: Caller,
    api: Data<Api>,
    id: Path<ContactId>,
    request: RequestId,
    Query(asked): Query<Asked>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::ContactsWrite)?;
    let now = api.clock.now();
    let entry = Entry {
        actor: caller.key.to_string(),
        workspace: Some(caller.workspace),
        action: "contact.erase".to_owned(),
        target: id.to_string(),
        reason: asked.reason.0,
        before: None,
        after: None,
        request_id: Some(request.to_string()),
        follows: None,
    };
    let mut conn = api.db.connection().await?;
    let (erased, done) =
        (*conn).transaction(async |tx| forget(tx, &caller, *id, entry, now).await).await?;
    drop(conn);
    match (erased, done) {
        (Erased::Done(Erasure { conversations, messages, cancelled }), Some((audit, event))) => {
            api.relay.publish(vec![event]).await;
            let object = "erasure";
            let contact = *id;
            let shown = Shown { object, contact, conversations, messages, cancelled, audit };
            Ok(HttpResponse::Ok().json(shown))
        }
        (Erased::OnItsWay, _) => Err(Problem::new(
            Code::StateConflict,
            "A message to this person is on its way, or it is not known yet what became of it. Nothing was \
             changed. Try again in some minutes.",
        )),
        (Erased::Done(_) | Erased::NotThere, _) => Err(Problem::not_found()),
    }
}

async fn forget(
    tx: &mut AsyncPgConnection,
    caller: &Caller,
    id: ContactId,
    mut entry: Entry,
    now: DateTime<Utc>,
) -> Result<(Erased, Option<(AuditId, Event)>), StorageError> {
    let workspace = caller.workspace;
    let erased = contacts::erase(tx, workspace, id, now).await?;
    let Erased::Done(Erasure { conversations, messages, cancelled }) = erased else {
        return Ok((erased, None));
    };
    entry.before = Some(json!({ "conversations": conversations, "messages": messages }));
    entry.after = Some(json!({ "cancelled": cancelled }));
    let audit = audit::write(tx, entry).await?;
    let event = tell(tx, workspace, id, CONTACT_ERASED, now).await?;
    Ok((erased, Some((audit, event))))
}
