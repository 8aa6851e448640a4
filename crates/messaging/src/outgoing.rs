//! A message on its way to the broker.

use bytes::Bytes;
use contracts::names::header;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use uuid::Uuid;

use crate::topology::Exchange;

const CONTENT_TYPE: &str = "application/x-protobuf";
const APP_ID: &str = "switchyard";
const PERSISTENT: u8 = 2;

/// A message to publish: persistent, identified, typed.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub(crate) exchange: Exchange,
    pub(crate) routing_key: String,
    pub(crate) properties: BasicProperties,
    pub(crate) body: Bytes,
    pub(crate) is_bundled: bool,
}

impl Outgoing {
    /// A message with an encoded `body` of the type `kind`.
    ///
    /// `message_id` is what consumers know repetitions by: publish the same thing again under the
    /// same id.
    pub fn new(
        exchange: Exchange,
        routing_key: impl Into<String>,
        message_id: Uuid,
        kind: &str,
        body: Bytes,
    ) -> Self {
        let mut id = Uuid::encode_buffer();
        let id: &str = message_id.hyphenated().encode_lower(&mut id);
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type(CONTENT_TYPE.into())
            .with_app_id(APP_ID.into())
            .with_message_id(id.into())
            .with_type(clipped(kind));
        Self { exchange, routing_key: routing_key.into(), properties, body, is_bundled: false }
    }

    /// A message of our own contracts.
    pub fn of<M: contracts::Message>(
        exchange: Exchange,
        routing_key: impl Into<String>,
        message_id: Uuid,
        message: &M,
    ) -> Self {
        Self::new(exchange, routing_key, message_id, M::TYPE, contracts::encode(message))
    }

    /// Lets the message share a broker message with others of its routing key while those are many;
    /// of its headers only the trace goes along. For queues that a [`Consumer`](crate::Consumer)
    /// reads.
    #[must_use]
    pub fn bundled(self) -> Self {
        Self { is_bundled: true, ..self }
    }

    /// Adds a header; see [`contracts::names::header`].
    #[must_use]
    pub fn with_header(self, name: &str, value: &str) -> Self {
        self.with_value(name, AMQPValue::LongString(value.into()))
    }

    /// Adds when and in which trace the message is published, unless it was published before.
    pub(crate) fn stamp(&mut self, unix_secs: u64, traceparent: Option<&str>) {
        if self.properties.timestamp().is_some() {
            return;
        }
        self.properties = std::mem::take(&mut self.properties).with_timestamp(unix_secs);
        // An outbox row brings the trace of the transaction that wrote it.
        let headers = self.properties.headers().as_ref();
        let is_traced = headers.is_some_and(|headers| headers.contains_key(header::TRACEPARENT));
        if let Some(traceparent) = traceparent.filter(|_| !is_traced) {
            self.insert(header::TRACEPARENT, AMQPValue::LongString(traceparent.into()));
        }
    }

    pub(crate) fn with_value(mut self, name: &str, value: AMQPValue) -> Self {
        self.insert(name, value);
        self
    }

    fn insert(&mut self, name: &str, value: AMQPValue) {
        let mut headers = self.properties.headers().clone().unwrap_or_default();
        headers.insert(clipped(name), value);
        self.properties = std::mem::take(&mut self.properties).with_headers(headers);
    }
}

/// The headers that a message keeps when it is published on: all but the broker's own, because a
/// client that sends `x-death` is understood differently by every broker version.
pub(crate) fn kept_headers(headers: Option<&FieldTable>) -> FieldTable {
    let mut kept = FieldTable::default();
    for (name, value) in headers.into_iter().flatten() {
        if !name.as_str().starts_with("x-") {
            kept.insert(name.clone(), value.clone());
        }
    }
    kept
}

/// AMQP's short strings hold 255 bytes. What we put into them is shorter; an outsider's may not be.
pub(crate) fn clipped(text: &str) -> ShortString {
    let end = text.floor_char_boundary(255);
    ShortString::try_new(text.get(..end).unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_persistent_identified_and_typed() {
        let id = Uuid::from_u128(7);
        let message = Outgoing::new(Exchange::Lanes, "webhooks.00", id, "t.v1", Bytes::new());
        let mut message = message.with_header(header::WORKSPACE, "w");
        message.stamp(9, Some("00-1-2-01"));
        let properties = &message.properties;
        assert_eq!(properties.delivery_mode(), &Some(2));
        assert_eq!(
            properties.message_id().as_ref().map(ShortString::as_str),
            Some("00000000-0000-0000-0000-000000000007")
        );
        assert_eq!(properties.kind().as_ref().map(ShortString::as_str), Some("t.v1"));
        let headers = properties.headers().as_ref().unwrap();
        assert!(headers.contains_key("traceparent") && headers.contains_key("sy-workspace"));
    }

    #[test]
    fn a_message_that_is_published_on_keeps_its_time_and_trace() {
        let mut message = Outgoing::new(Exchange::Dead, "k", Uuid::nil(), "t", Bytes::new());
        message.stamp(1, None);
        message.stamp(2, Some("00-1-2-01"));
        assert_eq!(message.properties.timestamp(), &Some(1));
        assert!(message.properties.headers().is_none());
    }

    #[test]
    fn the_brokers_own_headers_are_not_sent_back_to_it() {
        let mut headers = FieldTable::default();
        headers.insert("x-death".into(), AMQPValue::Boolean(true));
        headers.insert("sy-workspace".into(), AMQPValue::Boolean(true));
        let kept = kept_headers(Some(&headers));
        assert!(kept.contains_key("sy-workspace") && !kept.contains_key("x-death"));
    }
}
