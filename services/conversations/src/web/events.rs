//! `/v1/events`: what happened, newest first.

mod detail;

use actix_web::web::{self, Data, Path, ServiceConfig};
use chrono::DateTime;
use contracts::Message as _;
use kernel::ids::{ConnectionId, ContactId, ConversationId, EventId, Id, MessageId};
use serde::{Deserialize, Serialize};
use service::values::{Nothing, Time};
use service::{Caller, Cursor, Limit, Page, Problem, Query, Scope};
use storage::events;

use self::detail::Detail;
use super::State;
use super::values::EventType;

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/v1/events").route(web::get().to(list)))
        .service(web::resource("/v1/events/{id}").route(web::get().to(read)));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<EventId>>,
    #[serde(default)]
    r#type: Vec<EventType>,
    message: Option<MessageId>,
}

/// Webhooks and the event stream show events in the same form.
#[derive(Serialize)]
struct Event {
    object: &'static str,
    id: EventId,
    r#type: String,
    /// When it happened; Meta's clock for what Meta told.
    created_at: Option<Time>,
    connection: Option<ConnectionId>,
    contact: Option<ContactId>,
    conversation: Option<ConversationId>,
    message: Option<MessageId>,
    /// The message's place in its conversation.
    sequence: Option<i64>,
    data: Detail,
}

impl Event {
    fn read(stored: &events::Event) -> Result<Self, Problem> {
        let event =
            contracts::events::Event::read(stored.body.clone()).map_err(Problem::internal)?;
        Ok(Self {
            object: "event",
            id: stored.id,
            r#type: event.r#type,
            created_at: DateTime::from_timestamp_micros(event.occurred_at_us).map(Time),
            connection: id(&event.connection_id),
            contact: id(&event.contact_id),
            conversation: id(&event.conversation_id),
            message: id(&event.message_id),
            sequence: (event.sequence > 0).then_some(event.sequence),
            data: event.detail.into(),
        })
    }
}

fn id<K>(bytes: &[u8]) -> Option<Id<K>> {
    contracts::uuid_field(bytes).map(Id::from_uuid)
}

async fn list(
    caller: Caller,
    state: Data<State>,
    Query(filter): Query<Filter>,
) -> Result<Page<Event>, Problem> {
    caller.require(Scope::EventsRead)?;
    let types: Vec<String> = filter.r#type.into_iter().map(|known| known.0).collect();
    let before = filter.cursor.map(|Cursor(last)| last);
    let mut conn = state.db.connection().await?;
    let (workspace, rows) = (caller.workspace, filter.limit.rows());
    let found = events::list(&mut conn, workspace, &types, filter.message, before, rows).await?;
    let read = found.iter().map(Event::read).collect::<Result<Vec<Event>, Problem>>()?;
    Ok(Page::new(read, filter.limit, |event| event.id, |event| event))
}

async fn read(
    caller: Caller,
    state: Data<State>,
    id: Path<EventId>,
    _: Query<Nothing>,
) -> Result<web::Json<Event>, Problem> {
    caller.require(Scope::EventsRead)?;
    let mut conn = state.db.connection().await?;
    let found = events::find(&mut conn, caller.workspace, *id).await?;
    Event::read(&found.ok_or_else(Problem::not_found)?).map(web::Json)
}
