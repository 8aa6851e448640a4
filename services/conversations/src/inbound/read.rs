//! What an event means for us: a message, a status, or something to keep.

use std::collections::HashMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use contracts::inbound::{WebhookEvent, WebhookEventKind};
use contracts::uuid_field;
use kernel::ids::WorkspaceId;
use kernel::{UserId, WaId, Wamid};
use storage::messages::Direction;
use storage::statuses::{Status, StatusUpdate};
use tracing::warn;
use uuid::Uuid;
use whatsapp::webhook::model;

use super::lines::Line;

/// An event, understood as far as it goes.
pub(super) struct Item {
    pub(super) event_id: Uuid,
    /// `None`: nobody has connected this number, or the app may not speak for it.
    pub(super) line: Option<Line>,
    pub(super) received_at: Option<DateTime<Utc>>,
    pub(super) traceparent: Option<String>,
    pub(super) what: What,
}

pub(super) enum What {
    Message(Box<Said>),
    Status(Box<StatusUpdate>),
    /// Kept as it came.
    Record {
        field: String,
        waba_id: String,
        phone_number_id: String,
        /// The workspace whose own Meta app signed it; none for the installation's.
        app_workspace_id: Option<WorkspaceId>,
        item: Bytes,
        happened_at: Option<DateTime<Utc>>,
        /// What people told WhatsApp about hearing from this connection.
        preferences: Vec<model::Preference>,
    },
}

/// Something said in a conversation.
pub(super) struct Said {
    pub(super) direction: Direction,
    pub(super) wamid: Option<Wamid>,
    pub(super) wa_id: Option<WaId>,
    pub(super) user_id: Option<UserId>,
    pub(super) name: Option<String>,
    pub(super) kind: String,
    pub(super) text: Option<String>,
    pub(super) said_at: Option<DateTime<Utc>>,
    pub(super) raw: Bytes,
}

impl Item {
    pub(super) fn read(
        event: &WebhookEvent,
        traceparent: Option<&str>,
        lines: &HashMap<String, Line>,
    ) -> Self {
        let line =
            lines.get(&event.phone_number_id).copied().filter(|line| may_speak(event, *line));
        let event_id = identity(event, line);
        let what = line
            .and_then(|line| understand(event, event_id, line))
            .unwrap_or_else(|| record(event, line));
        Self {
            event_id,
            line,
            received_at: DateTime::from_timestamp_micros(event.received_at_us),
            traceparent: traceparent.map(str::to_owned),
            what,
        }
    }

    /// For labels.
    pub(super) fn kind(&self) -> &'static str {
        match &self.what {
            What::Message(_) => "message",
            What::Status(_) => "status",
            What::Record { .. } => "other",
        }
    }
}

/// The event's key in the ledger. What is kept aside has a key of its own: a tenant that signs for
/// another's number must not make the real event look like a copy, nor must a copy that came before
/// the number was connected.
fn identity(event: &WebhookEvent, line: Option<Line>) -> Uuid {
    let id = uuid_field(&event.event_id)
        .unwrap_or_else(|| Uuid::new_v5(&Uuid::NAMESPACE_OID, &event.item));
    let is_aside =
        line.is_none() && !(event.phone_number_id.is_empty() && event.app_workspace_id.is_empty());
    if is_aside { Uuid::new_v5(&id, &event.app_workspace_id) } else { id }
}

/// When a marker was made; `None` for an event of Meta's.
pub(super) fn marker(event: &WebhookEvent) -> Option<DateTime<Utc>> {
    let is_marker = event.kind() == WebhookEventKind::Marker;
    DateTime::from_timestamp_micros(event.received_at_us).filter(|_| is_marker)
}

/// A tenant's own app speaks only for the tenant's own numbers: its secret is the tenant's, so its
/// signature proves nothing about others.
fn may_speak(event: &WebhookEvent, line: Line) -> bool {
    let may = match uuid_field(&event.app_workspace_id) {
        Some(workspace) => workspace == line.workspace_id.as_uuid(),
        None => true,
    };
    if !may {
        warn!(connection = %line.connection_id, "event of another workspace's app kept aside");
    }
    may
}

/// `None`: not something that belongs into a conversation.
fn understand(event: &WebhookEvent, event_id: Uuid, line: Line) -> Option<What> {
    match event.kind() {
        WebhookEventKind::Message => message(event),
        WebhookEventKind::Status => status(event, event_id, line),
        WebhookEventKind::Echo => echo(event),
        WebhookEventKind::Unspecified | WebhookEventKind::Other | WebhookEventKind::Marker => None,
    }
}

fn message(event: &WebhookEvent) -> Option<What> {
    let message = model::InboundMessage::parse(&event.item);
    let profile = (!event.contact.is_empty()).then(|| model::Profile::parse(&event.contact));
    let profile = profile.unwrap_or_default();
    if message.group_id.is_some() {
        return None; // not said to the business alone: no thread of one person
    }
    let wa_id = message.from.or(profile.wa_id);
    let user_id = message.from_user_id.or(profile.user_id);
    said(Said {
        direction: Direction::Inbound,
        wamid: message.id,
        wa_id,
        user_id,
        name: profile.name,
        kind: message.kind.as_str().to_owned(),
        text: message.text,
        said_at: message.sent_at,
        raw: event.item.clone(),
    })
}

fn echo(event: &WebhookEvent) -> Option<What> {
    let echo = model::Echo::parse(&event.item);
    said(Said {
        direction: Direction::Echo,
        wamid: echo.message.id,
        wa_id: echo.to,
        user_id: echo.to_user_id,
        name: None,
        kind: echo.message.kind.as_str().to_owned(),
        text: echo.message.text,
        said_at: echo.message.sent_at,
        raw: event.item.clone(),
    })
}

/// Without anybody it was said by or to, there is no thread it belongs to.
fn said(said: Said) -> Option<What> {
    (said.wa_id.is_some() || said.user_id.is_some()).then(|| What::Message(Box::new(said)))
}

fn status(event: &WebhookEvent, event_id: Uuid, line: Line) -> Option<What> {
    let status = model::Status::parse(&event.item);
    let received = DateTime::from_timestamp_micros(event.received_at_us).unwrap_or_default();
    Some(What::Status(Box::new(StatusUpdate {
        event_id,
        connection_id: line.connection_id,
        wamid: status.id?,
        status: Status::read(status.progress.as_str()),
        happened_at: status.at.unwrap_or(received),
        error_code: status.errors.first().and_then(|error| error.code),
        attempt_id: status.callback_data.as_deref().and_then(sending::callback::read),
    })))
}

fn record(event: &WebhookEvent, line: Option<Line>) -> What {
    let has_preferences = line.is_some() && event.field == "user_preferences";
    let entry_time = Some(event.entry_time_s).filter(|seconds| *seconds > 0);
    What::Record {
        field: storable(&event.field),
        waba_id: storable(&event.waba_id),
        phone_number_id: storable(&event.phone_number_id),
        preferences: if has_preferences {
            model::Preference::parse_all(&event.item)
        } else {
            Vec::new()
        },
        app_workspace_id: uuid_field(&event.app_workspace_id).map(WorkspaceId::from_uuid),
        item: event.item.clone(),
        happened_at: entry_time.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
    }
}

/// PostgreSQL's text takes no U+0000, which JSON allows.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
