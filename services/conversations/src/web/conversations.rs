//! `/v1/conversations`: one thread per connection and contact, and who looks after it.

mod change;

use actix_web::web::{self, Data, Path, ServiceConfig};
use kernel::ids::{ConnectionId, ContactId, ConversationId};
use serde::{Deserialize, Serialize};
use service::values::{Nothing, Time};
use service::{Caller, Cursor, Limit, Page, Problem, Query, Scope};
use storage::conversations::{self, inbox};

use self::change::{Assignee, Standing, Switch};
use super::State;
use crate::letter::WINDOW;

pub(super) fn routes(config: &mut ServiceConfig) {
    let one = web::resource("/v1/conversations/{id}");
    let mark = web::resource("/v1/conversations/{id}/read");
    config
        .service(web::resource("/v1/conversations").route(web::get().to(list)))
        .service(one.route(web::get().to(read)).route(web::patch().to(change::change)))
        .service(mark.route(web::post().to(change::mark_read)));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<ConversationId>>,
    connection: Option<ConnectionId>,
    contact: Option<ContactId>,
    /// A name, or `none`.
    assignee: Option<Assignee>,
    status: Option<Standing>,
    /// Whether anything may be sent now.
    window: Option<Window>,
    /// Whether there are messages that nobody has read.
    unread: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Window {
    Open,
    Closed,
}

#[derive(Serialize)]
struct Conversation {
    object: &'static str,
    id: ConversationId,
    connection: ConnectionId,
    contact: ContactId,
    status: Standing,
    /// Since when it is done.
    closed_at: Option<Time>,
    assignee: Option<String>,
    /// Whether a bot may answer.
    bot: Switch,
    /// Messages of the person that nobody has read; 100 stands for that many or more.
    unread: i64,
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
            status: if stored.closed_at.is_some() { Standing::Closed } else { Standing::Open },
            closed_at: stored.closed_at.map(Time),
            bot: if stored.is_bot_on { Switch::On } else { Switch::Off },
            unread: stored.unread,
            last_sequence: stored.last_sequence,
            customer_wrote_at: wrote_at.map(Time),
            window_open_until: wrote_at.and_then(|at| at.checked_add_signed(WINDOW)).map(Time),
            created_at: Time(stored.created_at),
            updated_at: Time(stored.updated_at),
            assignee: stored.assignee,
        }
    }
}

async fn list(
    caller: Caller,
    state: Data<State>,
    Query(filter): Query<Filter>,
) -> Result<Page<Conversation>, Problem> {
    caller.require(Scope::ConversationsRead)?;
    let opened = state.clock.now().checked_sub_signed(WINDOW);
    let wanted = inbox::Filter {
        connection: filter.connection,
        contact: filter.contact,
        assignee: filter.assignee.map(Assignee::into_name),
        is_closed: filter.status.map(|standing| standing == Standing::Closed),
        wrote_since: opened.zip(filter.window.map(|window| window == Window::Open)),
        is_unread: filter.unread,
    };
    let (before, rows) = (filter.cursor.map(|Cursor(last)| last), filter.limit.rows());
    let mut conn = state.db.connection().await?;
    let found = inbox::list(&mut conn, caller.workspace, &wanted, before, rows).await?;
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
