//! `POST /v1/messages` and `POST /v1/conversations/{id}/messages`: one request, one message.
//!
//! The answer is given once the message will be sent for certain, and before Meta is asked.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use chrono::{DateTime, Utc};
use diesel_async::AsyncConnection;
use kernel::WaId;
use kernel::ids::{ConnectionId, ContactId, ConversationId, MessageId};
use serde::Serialize;
use service::{Answer, Caller, Code, Key, Keyed, Problem, Query, RolledBack, Scope};
use storage::connections::{self, Connection};
use storage::contacts::{self, Contact, Source as ContactSource};
use storage::events::Event;
use storage::send_ledger::Source;
use storage::send_ledger::claim::Stream;
use storage::{AsyncPgConnection, conversations};

use super::request::{Body, OnLimit};
use super::waiting;
use crate::letter::{self, Letter, Said, Written};
use crate::web::State;
use service::values::Time;
use service::values::{Nothing, Phone};

/// A message that will be sent.
#[derive(Serialize)]
struct Queued {
    object: &'static str,
    id: MessageId,
    status: &'static str,
    /// Why it does not leave at once: `rate_limited`.
    queued_reason: Option<&'static str>,
    /// It does not leave before, as far as can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<Time>,
    wamid: Option<String>,
    livemode: bool,
    connection: ConnectionId,
    contact: ContactId,
    conversation: ConversationId,
    links: Links,
}

#[derive(Serialize)]
struct Links {
    timeline: String,
}

/// Whom a message goes to.
enum To {
    Number(WaId),
    Contact(ContactId),
    /// The other side of a thread.
    Thread(ConversationId),
}

/// A request to send that is fit to be met.
struct Order<'a> {
    caller: &'a Caller,
    key: Key,
    /// `None`: there is no such connection, or not any more.
    connection: Option<Connection>,
    to: To,
    /// Whose limit it needs, where that is known.
    person: Option<WaId>,
    content: Said,
    body: Body,
    source: Source,
    waits_until: Option<DateTime<Utc>>,
}

/// What the transaction did.
struct Done {
    answer: Answer,
    events: Vec<Event>,
    stream: Option<Stream>,
}

/// Sends to a number or a contact; both, and their conversation, are made when they are missing.
pub(super) async fn to_anybody(
    caller: Caller,
    state: Data<State>,
    _: Query<Nothing>,
    keyed: Keyed<Body>,
) -> Result<HttpResponse, Problem> {
    require_sender(&caller)?;
    let (key, mut body) = keyed.required()?;
    let content = body.content()?;
    let connection =
        body.connection.ok_or_else(|| missing("/connection", "the number to send from"))?;
    let to = match (body.to.as_ref().map(Phone::wa_id), body.contact) {
        (Some(number), None) => To::Number(number),
        (None, Some(contact)) => To::Contact(contact),
        (None, None) | (Some(_), Some(_)) => {
            return Err(missing("/to", "either a phone number, or a `contact`"));
        }
    };
    let mut conn = state.db.connection().await?;
    let connection = connections::find(&mut conn, caller.workspace, connection).await?;
    let person = match &to {
        To::Number(number) => Some(number.clone()),
        To::Contact(id) => number_of(&mut conn, &caller, *id).await?,
        To::Thread(_) => None,
    };
    drop(conn);
    let order = Order {
        caller: &caller,
        key,
        connection,
        to,
        person,
        content,
        body,
        source: Source::Api,
        waits_until: None,
    };
    meet(&state, order).await
}

/// Answers in a conversation.
pub(super) async fn into_thread(
    caller: Caller,
    state: Data<State>,
    id: Path<ConversationId>,
    _: Query<Nothing>,
    keyed: Keyed<Body>,
) -> Result<HttpResponse, Problem> {
    require_sender(&caller)?;
    let (key, mut body) = keyed.required()?;
    let given = [body.connection.is_some(), body.to.is_some(), body.contact.is_some()];
    if given.contains(&true) {
        let detail =
            "the conversation says who writes to whom: leave out connection, to and contact";
        return Err(Problem::invalid("", "unknown_field", detail));
    }
    let content = body.content()?;
    let mut conn = state.db.connection().await?;
    let thread = conversations::find(&mut conn, caller.workspace, *id).await?;
    let thread = thread.ok_or_else(Problem::not_found)?;
    let connection = connections::find(&mut conn, caller.workspace, thread.connection_id()).await?;
    let person = number_of(&mut conn, &caller, thread.contact_id()).await?;
    drop(conn);
    let order = Order {
        caller: &caller,
        key,
        connection,
        to: To::Thread(*id),
        person,
        content,
        body,
        source: Source::Agent,
        waits_until: None,
    };
    meet(&state, order).await
}

/// A test key must not reach Meta, and there is nobody else to send to.
fn require_sender(caller: &Caller) -> Result<(), Problem> {
    caller.require(Scope::MessagesSend)?;
    if caller.is_live {
        return Ok(());
    }
    Err(Problem::new(Code::TestKeyLiveResource, "A test key sends nothing. Use a live key."))
}

async fn number_of(
    conn: &mut AsyncPgConnection,
    caller: &Caller,
    contact: ContactId,
) -> Result<Option<WaId>, Problem> {
    let contact = contacts::find(conn, caller.workspace, contact).await?;
    Ok(contact.and_then(|contact| contact.wa_id()))
}

fn missing(pointer: &str, what: &str) -> Problem {
    Problem::invalid(pointer, "missing_field", format!("give {what}"))
}

async fn meet(state: &State, mut order: Order<'_>) -> Result<HttpResponse, Problem> {
    let now = state.clock.now();
    if let Some(connection) = &order.connection {
        let (default, person) = (state.limits.whatsapp_api_per_minute, order.person.as_ref());
        order.waits_until = waiting::until(&state.limiter, connection, default, person, now).await;
    }
    let mut conn = state.db.connection().await?;
    let done = (*conn).transaction(async |tx| place(tx, order, now).await).await?;
    drop(conn);
    if let Some(stream) = done.stream {
        state.sender.nudge_streams([stream]);
    }
    state.relay.publish(done.events).await;
    Ok(done.answer.respond())
}

async fn place(
    tx: &mut AsyncPgConnection,
    order: Order<'_>,
    now: DateTime<Utc>,
) -> Result<Done, RolledBack> {
    let workspace = order.caller.workspace;
    if let Some(answer) = order.key.recall(tx, workspace, now).await? {
        return Ok(Done { answer, events: Vec::new(), stream: None });
    }
    if let (OnLimit::Reject, Some(until)) = (order.body.on_limit, order.waits_until) {
        return Err(waiting::refusal(until, now).into());
    }
    let unknown = "there is no such connection in this workspace, or it has ended";
    let unknown = || Problem::invalid("/connection", "unknown_connection", unknown);
    let connection = order.connection.as_ref().ok_or_else(unknown)?.id();
    let contact = recipient(tx, &order, now).await?;
    let Order { caller, key, content, mut body, source, waits_until, .. } = order;
    let letter = Letter {
        workspace,
        connection,
        contact,
        content,
        source,
        on_doubt: body.on_doubt(),
        requested_by: caller.key,
        metadata: body.metadata(),
    };
    let written = letter::write(tx, letter, now).await?;
    let answer = Answer::new(StatusCode::ACCEPTED, &Queued::new(&written, waits_until))?;
    key.remember(tx, workspace, &answer, written.id.as_uuid(), now).await?;
    let stream = Stream { connection_id: connection, source, campaign_id: None };
    Ok(Done { answer, events: written.events, stream: Some(stream) })
}

/// The person, who stays who they are until the transaction ends.
async fn recipient(
    tx: &mut AsyncPgConnection,
    order: &Order<'_>,
    now: DateTime<Utc>,
) -> Result<(Contact, bool), RolledBack> {
    let workspace = order.caller.workspace;
    let id = match &order.to {
        To::Number(number) => {
            let found = contacts::by_number(tx, workspace, number, ContactSource::Api, now).await?;
            return Ok(found.ok_or_else(changing)?);
        }
        To::Contact(id) => *id,
        To::Thread(id) => {
            let thread = conversations::find(tx, workspace, *id).await?;
            thread.ok_or_else(changing)?.contact_id()
        }
    };
    let held = contacts::hold(tx, workspace, id).await?;
    let unknown = match order.to {
        To::Contact(_) => Problem::invalid(
            "/contact",
            "unknown_contact",
            "there is no such contact in this workspace",
        ),
        To::Number(_) | To::Thread(_) => changing(),
    };
    Ok((held.ok_or(unknown)?, false))
}

/// Two contacts prove to be one person at this very moment.
fn changing() -> Problem {
    let detail = "The contact is being changed. Send the request again.";
    Problem::new(Code::IdempotencyInProgress, detail).retry_after_seconds(1)
}

impl Queued {
    fn new(written: &Written, waits_until: Option<DateTime<Utc>>) -> Self {
        let Written { id, thread, .. } = written;
        Self {
            object: "message",
            id: *id,
            status: "queued",
            queued_reason: waits_until.map(|_| "rate_limited"),
            not_before: waits_until.map(Time),
            wamid: None,
            livemode: true,
            connection: thread.connection_id,
            contact: thread.contact_id,
            conversation: thread.id,
            links: Links { timeline: format!("/v1/messages/{id}/timeline") },
        }
    }
}
