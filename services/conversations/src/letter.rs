//! A message of a person's or a program's: into its thread and into the send ledger, in one
//! transaction.
//!
//! Invariants: the thread's row is locked before the message gets its place in both, so what is said in
//! a thread leaves in that order (L12); what Meta would refuse for its time, its recipient or what it
//! answers is refused here, before anything is queued.

use chrono::{DateTime, TimeDelta, Utc};
use contracts::names::event::{CONTACT_CREATED, CONVERSATION_OPENED, MESSAGE_QUEUED};
use kernel::Wamid;
use kernel::ids::{ApiKeyId, ConnectionId, ConversationId, MessageId, WorkspaceId};
use sending::Content;
use serde_json::Value;
use service::{Code, Problem, RolledBack};
use storage::contacts::Contact;
use storage::conversations::{self, Grown, Growth};
use storage::events::{self, Event, Happened};
use storage::messages::{self, Answerable, Direction, NewMessage};
use storage::send_ledger::{self, NewOutbound, OnDoubt, Recipient, Source};
use storage::{AsyncPgConnection, message_requests};
use whatsapp::outgoing::Outgoing;

/// After a person's message, how long a business may answer with anything but a template (Meta,
/// "customer service window", read November 2026).
pub(crate) const WINDOW: TimeDelta = TimeDelta::hours(24);

/// How old a message may be that is reacted to (Meta, "reaction messages", read November 2025).
const REACTED_TO_FOR: TimeDelta = TimeDelta::days(30);

/// What is to be sent to whom.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) workspace: WorkspaceId,
    pub(crate) connection: ConnectionId,
    /// Held until the transaction ends; `true` when it was made for this.
    pub(crate) contact: (Contact, bool),
    pub(crate) content: Said,
    pub(crate) source: Source,
    pub(crate) on_doubt: OnDoubt,
    pub(crate) requested_by: ApiKeyId,
    pub(crate) metadata: Option<Value>,
}

/// What a message says, and to which message.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// A reaction does not know Meta's id of its message yet.
    pub(crate) outgoing: Outgoing,
    /// The message that it answers, or reacts to.
    pub(crate) about: Option<MessageId>,
}

/// A message that will be sent once this transaction commits.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) id: MessageId,
    pub(crate) thread: Grown,
    pub(crate) events: Vec<Event>,
}

/// Writes a letter into thread and ledger.
///
/// # Errors
///
/// The problem that its sender is told, or whatever PostgreSQL reports.
pub(crate) async fn write(
    tx: &mut AsyncPgConnection,
    letter: Letter,
    now: DateTime<Utc>,
) -> Result<Written, RolledBack> {
    let to = address(&letter.contact.0)?;
    let growth = Growth {
        workspace_id: letter.workspace,
        connection_id: letter.connection,
        contact_id: letter.contact.0.id(),
        messages: 1,
        customer_wrote_at: None,
    };
    let grown = conversations::grow(tx, vec![growth], now).await?;
    let thread = grown.into_iter().next();
    let thread = thread.ok_or_else(|| Problem::internal(Vanished))?;
    let is_template = matches!(letter.content.outgoing, Outgoing::Template(_));
    require_open(&letter.contact.0, &thread, is_template, now)?;
    let (outgoing, reply_to) =
        addressed(tx, letter.workspace, thread.id, letter.content.clone(), now).await?;
    let id = MessageId::new();
    messages::insert(tx, vec![said(&letter, &outgoing, id, &thread)], now).await?;
    let outbound = leaving(&letter, &outgoing, reply_to, (id, to), &thread)?;
    send_ledger::enqueue(tx, vec![outbound], now).await?;
    let Letter { workspace, requested_by, metadata, .. } = &letter;
    message_requests::insert(tx, *workspace, id, *requested_by, metadata.clone()).await?;
    let events = happened(&letter, id, &thread, now);
    events::append(tx, &events, now).await?;
    Ok(Written { id, thread, events })
}

/// A statement that always returns a row returned none.
#[derive(Debug, thiserror::Error)]
#[error("a conversation was neither found nor made")]
struct Vanished;

/// Where a contact is reached: the number if known, else the user id.
pub(crate) fn address(contact: &Contact) -> Result<Recipient, Problem> {
    let number = contact.wa_id().map(Recipient::Number);
    number.or_else(|| contact.user_id().map(Recipient::User)).ok_or_else(Problem::not_found)
}

fn require_open(
    contact: &Contact,
    thread: &Grown,
    is_template: bool,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    if is_template {
        // Whether a template is marketing is not known here; whoever opted out gets none.
        return match contact.opted_out_at {
            None => Ok(()),
            Some(_) => Err(Problem::new(
                Code::ContactOptedOut,
                "The contact has opted out of messages that they did not ask for. Answer them within 24 hours of \
                 their message, or write down their consent: POST /v1/contacts/{id}/opt-in.",
            )),
        };
    }
    let closes_at = thread.customer_wrote_at.and_then(|at| at.checked_add_signed(WINDOW));
    if closes_at.is_some_and(|at| at > now) {
        return Ok(());
    }
    let detail = match closes_at {
        Some(_) => "The person wrote more than 24 hours ago. Only a template reaches them now.",
        None => "The person has never written to this number. Only a template reaches them.",
    };
    let closed_at = closes_at.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
    Err(Problem::new(Code::OutsideServiceWindow, detail).with("window_closed_at", closed_at))
}

/// Puts in Meta's id of the message that this one is about.
async fn addressed(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    thread: ConversationId,
    said: Said,
    now: DateTime<Utc>,
) -> Result<(Outgoing, Option<Wamid>), RolledBack> {
    let Said { outgoing, about } = said;
    let Some(about) = about else { return Ok((outgoing, None)) };
    let known = messages::answerable(tx, workspace, thread, about).await?;
    match outgoing {
        Outgoing::Reaction(mut reaction) => {
            let (known, wamid) = require_known(known, "/reaction/message")?;
            let is_fresh = now - known.created_at < REACTED_TO_FOR;
            if !is_fresh || known.kind == "reaction" {
                let detail =
                    "Meta takes reactions to messages of the last 30 days that are no reactions.";
                return Err(Problem::invalid("/reaction/message", "too_old", detail).into());
            }
            reaction.message_id = wamid.into_string();
            Ok((Outgoing::Reaction(reaction), None))
        }
        outgoing => {
            let (_, wamid) = require_known(known, "/reply_to")?;
            Ok((outgoing, Some(wamid)))
        }
    }
}

fn require_known(
    known: Option<Answerable>,
    pointer: &'static str,
) -> Result<(Answerable, Wamid), Problem> {
    let unknown = "There is no such message in this conversation.";
    let known = known.ok_or_else(|| Problem::invalid(pointer, "unknown_message", unknown))?;
    let unsent = "Meta has not taken this message yet. Wait until it is accepted.";
    match known.wamid.clone() {
        Some(wamid) => Ok((known, wamid)),
        None => Err(Problem::invalid(pointer, "not_sent_yet", unsent)),
    }
}

fn said(letter: &Letter, outgoing: &Outgoing, id: MessageId, thread: &Grown) -> NewMessage {
    NewMessage {
        id,
        workspace_id: letter.workspace,
        connection_id: letter.connection,
        conversation_id: thread.id,
        contact_id: thread.contact_id,
        sequence: thread.last_sequence,
        direction: Direction::Outbound,
        kind: outgoing.kind().to_owned(),
        wamid: None,
        body: outgoing.shown(),
        raw: None,
        said_at: None,
    }
}

fn leaving(
    letter: &Letter,
    outgoing: &Outgoing,
    reply_to: Option<Wamid>,
    (id, recipient): (MessageId, Recipient),
    thread: &Grown,
) -> Result<NewOutbound, Problem> {
    let body = outgoing.as_meta_takes_it().map_err(Problem::internal)?;
    let content = Content::Any { kind: outgoing.kind().to_owned(), body, reply_to };
    // Once the window is over, only a template may be sent again without a person's word.
    let window_ends = thread.customer_wrote_at.and_then(|at| at.checked_add_signed(WINDOW));
    let is_template = matches!(outgoing, Outgoing::Template(_));
    Ok(NewOutbound {
        id,
        workspace_id: letter.workspace,
        connection_id: letter.connection,
        conversation_id: thread.id,
        // The request's key decides "once"; this row is the only one of its message.
        dedupe_key: format!("m:{}", id.as_uuid().simple()),
        recipient,
        source: letter.source,
        campaign_id: None,
        on_doubt: letter.on_doubt,
        resend_until: window_ends.filter(|_| !is_template),
        content: content.encode().map_err(Problem::internal)?,
        traceparent: telemetry::trace::current_traceparent(),
    })
}

fn happened(letter: &Letter, id: MessageId, thread: &Grown, now: DateTime<Utc>) -> Vec<Event> {
    let tell = |event_type, message_id: Option<MessageId>| {
        let happened = Happened {
            workspace_id: letter.workspace,
            event_type,
            connection_id: letter.connection,
            contact_id: Some(thread.contact_id),
            conversation_id: Some(thread.id),
            message_id,
            sequence: if message_id.is_some() { thread.last_sequence } else { 0 },
            at: now,
            detail: None,
            traceparent: telemetry::trace::current_traceparent(),
        };
        // Nobody of ours has to look: the sender is told by whoever commits.
        Event { is_awaited: false, ..happened.into() }
    };
    let made = letter.contact.1.then(|| tell(CONTACT_CREATED, None));
    let opened = thread.is_new.then(|| tell(CONVERSATION_OPENED, None));
    made.into_iter().chain(opened).chain([tell(MESSAGE_QUEUED, Some(id))]).collect()
}
