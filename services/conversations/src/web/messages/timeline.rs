//! `GET /v1/messages/{id}/timeline`: everything that happened to one message, in order: events, tries
//! to send it, and the copies that took no effect.

use std::collections::HashMap;

use actix_web::web::{self, Data, Path};
use chrono::DateTime;
use contracts::Message as _;
use contracts::events::event::Detail;
use kernel::ids::{EventId, MessageId};
use serde::Serialize;
use service::{Caller, Problem, Query, Scope};
use storage::messages::{Direction, Message};
use storage::timeline::{self, Attempt};
use storage::{AsyncPgConnection, connections, contacts, events, messages};
use uuid::Uuid;
use whatsapp::webhook::{Known, of_known};

use crate::web::State;
use service::values::Nothing;
use service::values::Time;

/// Events of one message at most; Meta tells a handful.
const MOST_EVENTS: i64 = 200;

#[derive(Serialize)]
pub(super) struct Timeline {
    object: &'static str,
    message: MessageId,
    data: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    at: Time,
    #[serde(flatten)]
    what: What,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum What {
    /// Something happened; see `/v1/events/{event}`.
    Event {
        event: EventId,
        r#type: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        error_code: Option<i32>,
        trace_id: Option<String>,
    },
    /// It was handed to Meta, or was to be.
    Attempt {
        number: i32,
        /// Machine and process.
        worker: String,
        outcome: String,
        http_status: Option<i32>,
        error_code: Option<i32>,
        /// What told the outcome.
        resolved_by: Option<String>,
    },
    /// Copies of what made the message, or of news about it, changed nothing.
    DuplicatesSuppressed {
        /// `request`, `webhook`, or the news: `sent`, `delivered`, `read`, `failed`.
        of: &'static str,
        count: i32,
    },
    /// Meta took the message once more: this must not happen.
    SentTwice,
}

pub(super) async fn read(
    caller: Caller,
    state: Data<State>,
    id: Path<MessageId>,
    _: Query<Nothing>,
) -> Result<web::Json<Timeline>, Problem> {
    caller.require(Scope::MessagesRead)?;
    let workspace = caller.workspace;
    let conn: &mut AsyncPgConnection = &mut *state.db.connection().await?;
    let found = messages::find(conn, workspace, *id).await?;
    let message = found.ok_or_else(Problem::not_found)?;
    let mut data = Vec::new();
    for event in events::list(conn, workspace, &[], Some(*id), None, MOST_EVENTS).await? {
        data.push(happened(event)?);
    }
    data.extend(timeline::attempts(conn, workspace, *id).await?.into_iter().map(tried));
    for at in timeline::doubles(conn, workspace, *id).await? {
        data.push(Entry { at: Time(at), what: What::SentTwice });
    }
    for (at, count) in timeline::replays(conn, workspace, *id).await? {
        let what = What::DuplicatesSuppressed { of: "request", count };
        data.push(Entry { at: Time(at), what });
    }
    let names = news(conn, &caller, &message).await?;
    for (event, at, copies) in timeline::copies(conn, names.keys().copied().collect()).await? {
        let of = names.get(&event).copied().unwrap_or("webhook");
        let what = What::DuplicatesSuppressed { of, count: copies - 1 };
        data.push(Entry { at: Time(at), what });
    }
    data.sort_by_key(|entry| entry.at.0);
    Ok(web::Json(Timeline { object: "timeline", message: *id, data }))
}

fn happened(stored: events::Event) -> Result<Entry, Problem> {
    let event = contracts::events::Event::read(stored.body).map_err(Problem::internal)?;
    let error_code = match &event.detail {
        Some(Detail::MessageStatusChanged(changed)) => {
            Some(changed.error_code).filter(|code| *code != 0)
        }
        _ => None,
    };
    let at = DateTime::from_timestamp_micros(event.occurred_at_us).unwrap_or_default();
    // `00-{trace id}-{span id}-{flags}`
    let trace_id = stored.traceparent.as_deref().and_then(|trace| trace.split('-').nth(1));
    let trace_id = trace_id.map(str::to_owned);
    let what = What::Event { event: stored.id, r#type: event.r#type, error_code, trace_id };
    Ok(Entry { at: Time(at), what })
}

fn tried(attempt: Attempt) -> Entry {
    let Attempt { at, epoch, worker, state, http_status, error_code, resolved_by } = attempt;
    let what = What::Attempt {
        number: epoch,
        worker,
        outcome: state,
        http_status,
        error_code,
        resolved_by,
    };
    Entry { at: Time(at), what }
}

/// The identities of the webhook events that told of this message, and what each told.
async fn news(
    conn: &mut AsyncPgConnection,
    caller: &Caller,
    message: &Message,
) -> Result<HashMap<Uuid, &'static str>, Problem> {
    let mut names = HashMap::new();
    let connection = connections::by_ids(conn, &[message.connection_id()]).await?.pop();
    let (Some(connection), Some(wamid)) = (connection, message.wamid()) else { return Ok(names) };
    let line = connection.phone_number_id();
    let mut add = |known, of| {
        let identity = of_known(line.as_str(), wamid.as_str(), known);
        names.insert(Uuid::from_bytes(identity), of);
    };
    if message.direction == Direction::Inbound.as_str() {
        add(Known::Message, "webhook");
    } else if message.direction == Direction::Echo.as_str() {
        add(Known::Echo, "webhook");
    }
    let contact = contacts::find(conn, caller.workspace, message.contact_id()).await?;
    let Some(number) = contact.and_then(|contact| contact.wa_id()) else { return Ok(names) };
    let code = message.delivery.as_ref().and_then(|delivery| delivery.error_code);
    let code = code.map(|code| code.to_string());
    for (status, code) in
        [("sent", None), ("delivered", None), ("read", None), ("failed", code.as_deref())]
    {
        add(Known::Status { status, recipient: number.as_str(), code }, status);
    }
    Ok(names)
}
