//! `/v1/conversations`: one thread per connection and contact.

use actix_web::web::{self, Data, Path, ServiceConfig};
use chrono::TimeDelta;
use kernel::ids::{ConnectionId, ContactId, ConversationId};
use serde::{Deserialize, Serialize};
use service::values::{Nothing, Time};
use service::{Caller, Cursor, Limit, Page, Problem, Query, Scope};
use storage::conversations;

use super::State;

/// After a person's message, how long a business may answer with anything but a template (Meta,
/// "customer service window", read November 2026).
const WINDOW: TimeDelta = TimeDelta::hours(24);

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/v1/conversations").route(web::get().to(list)))
        .service(web::resource("/v1/conversations/{id}").route(web::get().to(read)));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<ConversationId>>,
    connection: Option<ConnectionId>,
    contact: Option<ContactId>,
}

#[derive(Serialize)]
struct Conversation {
    object: &'static str,
    id: ConversationId,
    connection: ConnectionId,
    contact: ContactId,
    /// Place of the newest message.
    last_sequence: i64,
    customer_wrote_at: Option<Time>,
    /// Until then anything may be sent, afterwards templates only.
    window_open_until: Option<Time>,
    created_at: Time,
    updated_at: Time,
}

impl From<conversations::Conversation> for Conversation {
    fn from(stored: conversations::Conversation) -> Self {
        let wrote_at = stored.customer_wrote_at;
        Self {
            object: "conversation",
            id: stored.id(),
            connection: stored.connection_id(),
            contact: stored.contact_id(),
            last_sequence: stored.last_sequence,
            customer_wrote_at: wrote_at.map(Time),
            window_open_until: wrote_at.and_then(|at| at.checked_add_signed(WINDOW)).map(Time),
            created_at: Time(stored.created_at),
            updated_at: Time(stored.updated_at),
        }
    }
}

async fn list(
    caller: Caller,
    state: Data<State>,
    Query(filter): Query<Filter>,
) -> Result<Page<Conversation>, Problem> {
    caller.require(Scope::ConversationsRead)?;
    let mut conn = state.db.connection().await?;
    let found = conversations::list(
        &mut conn,
        caller.workspace,
        filter.connection,
        filter.contact,
        filter.cursor.map(|Cursor(last)| last),
        filter.limit.rows(),
    )
    .await?;
    Ok(Page::new(found, filter.limit, conversations::Conversation::id, Conversation::from))
}

async fn read(
    caller: Caller,
    state: Data<State>,
    id: Path<ConversationId>,
    _: Query<Nothing>,
) -> Result<web::Json<Conversation>, Problem> {
    caller.require(Scope::ConversationsRead)?;
    let mut conn = state.db.connection().await?;
    let found = conversations::find(&mut conn, caller.workspace, *id).await?;
    found.map(|stored| web::Json(stored.into())).ok_or_else(Problem::not_found)
}
