//! `/v1/conversations/{id}/messages`: what was said, newest first.

mod status;

use actix_web::web::{self, Data, Path, ServiceConfig};
use kernel::Wamid;
use kernel::ids::{ConnectionId, ContactId, ConversationId, MessageId};
use serde::{Deserialize, Serialize};
use service::values::Time;
use service::{Caller, Cursor, Limit, Page, Problem, Query, Scope};
use storage::{conversations, messages};

use self::status::Status;
use super::State;

pub(super) fn routes(config: &mut ServiceConfig) {
    let thread = web::resource("/v1/conversations/{id}/messages").route(web::get().to(thread));
    config.service(thread);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<i64>>,
}

#[derive(Serialize)]
struct Message {
    object: &'static str,
    id: MessageId,
    connection: ConnectionId,
    conversation: ConversationId,
    contact: ContactId,
    /// Its place in the thread, counted from 1.
    sequence: i64,
    /// `inbound`, `outbound`, or `echo` for what was written on a phone of the business.
    direction: String,
    kind: String,
    text: Option<String>,
    wamid: Option<String>,
    status: Status,
    /// Meta's code, when it failed.
    error_code: Option<i32>,
    /// Meta's clock; the order is `sequence`.
    said_at: Option<Time>,
    created_at: Time,
    sent_at: Option<Time>,
    delivered_at: Option<Time>,
    read_at: Option<Time>,
    failed_at: Option<Time>,
}

impl From<messages::Message> for Message {
    fn from(stored: messages::Message) -> Self {
        let delivery = stored.delivery.as_ref();
        Self {
            object: "message",
            id: stored.id(),
            connection: stored.connection_id(),
            conversation: stored.conversation_id(),
            contact: stored.contact_id(),
            sequence: stored.sequence,
            wamid: stored.wamid().map(Wamid::into_string),
            status: Status::of(&stored),
            error_code: delivery.and_then(|delivery| delivery.error_code),
            said_at: stored.said_at.map(Time),
            created_at: Time(stored.created_at),
            sent_at: delivery.and_then(|delivery| delivery.sent_at).map(Time),
            delivered_at: delivery.and_then(|delivery| delivery.delivered_at).map(Time),
            read_at: delivery.and_then(|delivery| delivery.read_at).map(Time),
            failed_at: delivery.and_then(|delivery| delivery.failed_at).map(Time),
            direction: stored.direction,
            kind: stored.kind,
            text: stored.body,
        }
    }
}

async fn thread(
    caller: Caller,
    state: Data<State>,
    id: Path<ConversationId>,
    Query(filter): Query<Filter>,
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
