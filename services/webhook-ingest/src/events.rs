//! From the bytes of a POST to broker messages that wait for their lane.

use std::sync::Arc;

use bytes::Bytes;
use contracts::inbound::{WebhookEvent, WebhookEventKind};
use contracts::{LaneKey, Message, lane_of};
use messaging::{Exchange, Family, Outgoing};
use uuid::Uuid;
use whatsapp::signature::Signature;
use whatsapp::webhook::{Event, EventKind, split};

use crate::app::App;
use crate::directory::{Known, Line};
use crate::refusal::Refusal;

/// A POST that has arrived, and all that is needed to judge it; cheap to clone.
#[derive(Clone)]
pub(crate) struct Post {
    pub(crate) app: Arc<App>,
    pub(crate) known: Arc<Known>,
    pub(crate) signature: Signature,
    pub(crate) body: Bytes,
    /// Microseconds since 1970.
    pub(crate) received_at_us: i64,
}

/// One event, encoded.
pub(crate) struct Parcel {
    pub(crate) kind: EventKind,
    /// Whether the event names a number that nobody has connected.
    pub(crate) is_stray: bool,
    /// The connection whose limit it counts towards.
    pub(crate) line: Option<Arc<Line>>,
    id: Uuid,
    body: Bytes,
    lanes: [u8; 2],
}

impl Post {
    /// Checks the signature, and only then looks at what was signed.
    ///
    /// Costs about 10 ms per megabyte.
    pub(crate) fn open(&self) -> Result<Vec<Parcel>, Refusal> {
        if !self.app.has_signed(&self.signature, &self.body) {
            return Err(Refusal::WrongSignature);
        }
        Ok(split(&self.body)?.iter().map(|event| self.pack(event)).collect())
    }

    fn pack(&self, event: &Event<'_>) -> Parcel {
        let number = event.phone_number_id.as_ref();
        // Messages and statuses of one person share a lane, so a reply never overtakes what it is to.
        let key = if number.is_empty() {
            LaneKey { line: event.waba_id.as_bytes(), person: b"" }
        } else {
            LaneKey { line: number.as_bytes(), person: event.person.as_bytes() }
        };
        let line = self.known.line(number);
        let message = WebhookEvent {
            event_id: Bytes::copy_from_slice(&event.identity),
            kind: kind(event.kind).into(),
            phone_number_id: number.to_owned(),
            waba_id: event.waba_id.as_ref().to_owned(),
            field: event.field.as_ref().to_owned(),
            app_workspace_id: self.app.workspace.clone(),
            item: Bytes::copy_from_slice(event.item),
            contact: event.contact.map(Bytes::copy_from_slice).unwrap_or_default(),
            received_at_us: self.received_at_us,
            entry_time_s: event.entry_time_s.unwrap_or_default(),
        };
        Parcel {
            kind: event.kind,
            is_stray: line.is_none() && !number.is_empty(),
            line: line.cloned(),
            id: Uuid::from_bytes(event.identity),
            body: contracts::encode(&message),
            lanes: [Family::Webhooks, Family::WebhooksSlow]
                .map(|family| lane_of(key, family.lanes())),
        }
    }
}

impl Parcel {
    /// The message for the fast lane, or for the slow one.
    pub(crate) fn addressed(self, is_fast: bool) -> Outgoing {
        let [fast, slow] = self.lanes;
        let key = if is_fast {
            Family::Webhooks.routing_key(fast)
        } else {
            Family::WebhooksSlow.routing_key(slow)
        };
        Outgoing::new(Exchange::Lanes, key, self.id, WebhookEvent::TYPE, self.body).bundled()
    }
}

const fn kind(kind: EventKind) -> WebhookEventKind {
    match kind {
        EventKind::Message => WebhookEventKind::Message,
        EventKind::Status => WebhookEventKind::Status,
        EventKind::Echo => WebhookEventKind::Echo,
        EventKind::Other => WebhookEventKind::Other,
    }
}
