//! `GET /v1/messages`, `/{id}` and a conversation's messages: newest first.

use actix_web::web::{self, Data, Path};
use chrono::{DateTime, Utc};
use kernel::Wamid;
use kernel::ids::{CampaignId, ConnectionId, ContactId, ConversationId, MessageId};
use serde::Deserialize;
use service::{Caller, Cursor, Limit, Page, Problem, Query, Scope};
use storage::messages::{self, Filter};
use storage::{conversations, idempotency};

use super::shown::Message;
use super::status::Status;
use crate::web::State;
use service::values::Nothing;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ThreadFilter {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<MessageId>>,
    wamid: Option<Wamid>,
    connection: Option<ConnectionId>,
    conversation: Option<ConversationId>,
    contact: Option<ContactId>,
    campaign: Option<CampaignId>,
    /// The message that a request with this key made.
    idempotency_key: Option<String>,
    /// Given several times: messages in any of them.
    #[serde(default)]
    status: Vec<Status>,
    created_after: Option<DateTime<Utc>>,
    created_before: Option<DateTime<Utc>>,
}

pub(super) async fn thread(
    caller: Caller,
    state: Data<State>,
    id: Path<ConversationId>,
    Query(filter): Query<ThreadFilter>,
) -> Result<Page<Message>, Problem> {
    caller.require(Scope::ConversationsRead)?;
    let mut conn = state.db.connection().await?;
    if conversations::find(&mut conn, caller.workspace, *id).await?.is_none() {
        return Err(Problem::not_found());
    }
    let (before, rows) = (filter.cursor.map(|Cursor(last)| last), filter.limit.rows());
    let found = messages::list(&mut conn, caller.workspace, *id, before, rows).await?;
    Ok(Page::new(found, filter.limit, |message| message.sequence, Message::from))
}

pub(super) async fn search(
    caller: Caller,
    state: Data<State>,
    Query(wanted): Query<Wanted>,
) -> Result<Page<Message>, Problem> {
    caller.require(Scope::MessagesRead)?;
    let mut conn = state.db.connection().await?;
    let id = match &wanted.idempotency_key {
        None => None,
        Some(key) => match idempotency::resource(&mut conn, caller.workspace, key).await? {
            Some(resource) => Some(MessageId::from_uuid(resource)),
            None => {
                return Ok(Page::new(
                    Vec::new(),
                    wanted.limit,
                    messages::Message::id,
                    Message::from,
                ));
            }
        },
    };
    let filter = Filter {
        id,
        wamid: wanted.wamid,
        connection: wanted.connection,
        conversation: wanted.conversation,
        contact: wanted.contact,
        campaign: wanted.campaign,
        states: wanted.status.into_iter().map(Status::state).collect(),
        created_after: wanted.created_after,
        created_before: wanted.created_before,
    };
    let (before, rows) = (wanted.cursor.map(|Cursor(last)| last), wanted.limit.rows());
    let found = messages::search(&mut conn, caller.workspace, &filter, before, rows).await?;
    Ok(Page::new(found, wanted.limit, messages::Message::id, Message::from))
}

pub(super) async fn read(
    caller: Caller,
    state: Data<State>,
    id: Path<MessageId>,
    _: Query<Nothing>,
) -> Result<web::Json<Message>, Problem> {
    caller.require(Scope::MessagesRead)?;
    let mut conn = state.db.connection().await?;
    let found = messages::find(&mut conn, caller.workspace, *id).await?;
    found.map(|stored| web::Json(stored.into())).ok_or_else(Problem::not_found)
}
