//! A message on its way out of the broker.

use super::{Arc, Bytes, Queue, Uuid, header};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, ShortString};

/// The namespace of identities given to messages that came without one.
const BODY_HASH: Uuid = Uuid::from_u128(0x6f1d_0c55_8f0e_4d4e_9d0b_3a5f_1c7e_2b90);

/// One message to handle.
#[derive(Debug)]
pub struct Delivery<M> {
    /// What the producer said.
    pub message: M,
    envelope: Arc<Envelope>,
}

/// Everything about a delivery but its decoded body.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) queue: Queue,
    pub(crate) redelivered: bool,
    pub(crate) properties: BasicProperties,
    pub(crate) body: Bytes,
}

impl<M> Delivery<M> {
    pub(crate) fn new(message: M, envelope: Arc<Envelope>) -> Self {
        Self { message, envelope }
    }

    /// A delivery without a broker, for tests of handlers.
    pub fn made_up(message: M, queue: Queue, message_id: Uuid) -> Self {
        let id = ShortString::try_new(message_id.to_string()).unwrap_or_default();
        let properties = BasicProperties::default().with_message_id(id);
        let envelope = Envelope { queue, redelivered: false, properties, body: Bytes::new() };
        Self::new(message, Arc::new(envelope))
    }

    /// The producer's id of the message, or a hash of its body when the producer gave none: equal
    /// ids are repetitions.
    pub fn message_id(&self) -> Uuid {
        self.envelope.message_id()
    }

    /// The AMQP `type`, e.g. `switchyard.events.v1.Event`; empty when the producer gave none.
    pub fn kind(&self) -> &str {
        self.envelope.properties.kind().as_ref().map_or("", ShortString::as_str)
    }

    /// How often handling this message has failed before; 0 on the first try.
    pub fn attempt(&self) -> u32 {
        self.envelope.attempt()
    }

    /// `true` when the message may have been delivered before.
    pub fn is_redelivered(&self) -> bool {
        self.envelope.redelivered
    }

    /// Where it was consumed from.
    pub fn queue(&self) -> Queue {
        self.envelope.queue
    }

    /// The W3C trace context of the span that published the message.
    pub fn traceparent(&self) -> Option<&str> {
        self.header(header::TRACEPARENT)
    }

    /// A text header; see [`contracts::names::header`].
    pub fn header(&self, name: &str) -> Option<&str> {
        self.envelope.header(name)
    }

    /// All text headers but the broker's own.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.envelope.properties.headers().iter().flatten();
        all.filter_map(|(name, value)| Some((name.as_str(), text(value)?)))
            .filter(|(name, _)| !name.starts_with("x-"))
    }
}

impl Envelope {
    pub(crate) fn message_id(&self) -> Uuid {
        let given = self.properties.message_id().as_ref();
        given
            .and_then(|id| Uuid::try_parse(id.as_str()).ok())
            .unwrap_or_else(|| Uuid::new_v5(&BODY_HASH, &self.body))
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.number(header::ATTEMPT).and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
    }

    /// How often the broker took the message back without an acknowledgement: crashes and lost
    /// connections.
    pub(crate) fn returns(&self) -> i64 {
        self.number("x-delivery-count").unwrap_or(0)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        text(self.value(name)?)
    }

    /// Brokers and clients disagree about the width of small numbers.
    fn number(&self, name: &str) -> Option<i64> {
        match self.value(name)? {
            AMQPValue::ShortShortInt(n) => Some(i64::from(*n)),
            AMQPValue::ShortShortUInt(n) => Some(i64::from(*n)),
            AMQPValue::ShortInt(n) => Some(i64::from(*n)),
            AMQPValue::ShortUInt(n) => Some(i64::from(*n)),
            AMQPValue::LongInt(n) => Some(i64::from(*n)),
            AMQPValue::LongUInt(n) => Some(i64::from(*n)),
            AMQPValue::LongLongInt(n) => Some(*n),
            other => text(other)?.parse().ok(),
        }
    }

    fn value(&self, name: &str) -> Option<&AMQPValue> {
        self.properties.headers().as_ref()?.inner().get(name)
    }
}

fn text(value: &AMQPValue) -> Option<&str> {
    match value {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Family;

    fn envelope(body: &'static [u8]) -> Envelope {
        Envelope {
            queue: Family::Webhooks.queue(0),
            redelivered: false,
            properties: BasicProperties::default(),
            body: Bytes::from_static(body),
        }
    }

    #[test]
    fn a_message_without_an_id_is_known_by_its_body() {
        assert_eq!(envelope(b"a").message_id(), envelope(b"a").message_id());
        assert_ne!(envelope(b"a").message_id(), envelope(b"b").message_id());
    }

    #[test]
    fn the_attempt_is_read_whatever_width_it_was_sent_in() {
        for value in
            [AMQPValue::LongInt(3), AMQPValue::LongLongInt(3), AMQPValue::LongString("3".into())]
        {
            let mut headers = lapin::types::FieldTable::default();
            headers.insert(header::ATTEMPT.into(), value);
            let mut delivery = envelope(b"");
            delivery.properties = BasicProperties::default().with_headers(headers);
            assert_eq!(delivery.attempt(), 3);
        }
    }
}
