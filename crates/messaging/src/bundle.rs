//! Several messages as one, and one as several.
//!
//! The broker's cost is by the message: under load a bundle costs it little more than one message
//! alone. Only messages of one lane share a bundle, in their order. The runtime bundles and unbundles;
//! callers and handlers see messages only.

use bytes::Bytes;
use contracts::Message;
use contracts::names::header;
use contracts::transport::{Bundle, Record};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use uuid::Uuid;

use crate::outgoing::{Outgoing, clipped};

/// Records in a bundle at most: a consumer gets them all at once, and a crash brings all of them back.
pub(crate) const MOST_RECORDS: usize = 64;
/// Bytes of bodies in a bundle at most, unless one record alone has more: RabbitMQ's quorum queues
/// keep what a consumer has fetched in memory.
pub(crate) const MOST_BYTES: usize = 64 * 1024;

/// Puts messages of one lane into one; a message alone stays as it is.
pub(crate) fn pack(mut messages: Vec<Outgoing>) -> Option<Outgoing> {
    let last = messages.pop()?;
    if messages.is_empty() {
        return Some(last);
    }
    let Outgoing { exchange, routing_key, .. } = &last;
    let (exchange, routing_key) = (*exchange, routing_key.clone());
    let timestamp = *last.properties.timestamp();
    let records = messages.into_iter().chain([last]).map(record).collect();
    let bundle = Bundle { records };
    let mut packed = Outgoing::of(exchange, routing_key, Uuid::now_v7(), &bundle);
    if let Some(timestamp) = timestamp {
        packed.properties = packed.properties.with_timestamp(timestamp);
    }
    Some(packed)
}

fn record(message: Outgoing) -> Record {
    let Outgoing { properties, body, .. } = message;
    let id = properties.message_id().as_ref().and_then(|id| Uuid::try_parse(id.as_str()).ok());
    let traceparent = properties.headers().as_ref().and_then(|headers| {
        match headers.inner().get(header::TRACEPARENT) {
            Some(AMQPValue::LongString(text)) => String::from_utf8(text.as_bytes().to_vec()).ok(),
            _ => None,
        }
    });
    Record {
        message_id: id.map(contracts::uuid_bytes).unwrap_or_default(),
        r#type: properties.kind().as_ref().map(ShortString::to_string).unwrap_or_default(),
        traceparent: traceparent.unwrap_or_default(),
        body,
    }
}

/// The messages in a delivery: those of a bundle, or itself.
///
/// A bundle that can not be read stays whole: no handler can read it either, and it is kept.
pub(crate) fn unpack(properties: BasicProperties, body: Bytes) -> Vec<(BasicProperties, Bytes)> {
    let is_bundle = properties.kind().as_ref().is_some_and(|kind| kind.as_str() == Bundle::TYPE);
    if is_bundle
        && let Ok(bundle) = Bundle::read(body.clone())
        && !bundle.records.is_empty()
    {
        let own = |record| own_properties(record, &properties);
        return bundle.records.into_iter().map(own).collect();
    }
    vec![(properties, body)]
}

/// A record's properties as its message would have had them; how often the broker took the bundle
/// back counts for each of them.
fn own_properties(record: Record, bundle: &BasicProperties) -> (BasicProperties, Bytes) {
    let mut headers = FieldTable::default();
    let shared = bundle.headers().iter().flatten();
    for (name, value) in shared.filter(|(name, _)| name.as_str().starts_with("x-")) {
        headers.insert(name.clone(), value.clone());
    }
    if !record.traceparent.is_empty() {
        let traceparent = AMQPValue::LongString(record.traceparent.into());
        headers.insert(clipped(header::TRACEPARENT), traceparent);
    }
    let mut properties = bundle.clone().with_type(clipped(&record.r#type)).with_headers(headers);
    if let Some(id) = contracts::uuid_field(&record.message_id) {
        properties = properties.with_message_id(clipped(&id.hyphenated().to_string()));
    }
    (properties, record.body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Exchange;

    fn message(n: u128, traceparent: Option<&str>) -> Outgoing {
        let body = Bytes::from(n.to_string());
        let message =
            Outgoing::new(Exchange::Lanes, "webhooks.03", Uuid::from_u128(n), "t.v1", body);
        match traceparent {
            Some(traceparent) => message.with_header(header::TRACEPARENT, traceparent),
            None => message,
        }
    }

    #[test]
    fn what_goes_in_comes_out_in_its_order_with_its_identity() {
        let packed = pack(vec![message(1, Some("00-a-b-01")), message(2, None)]).unwrap();
        assert_eq!(packed.routing_key, "webhooks.03");
        let got = unpack(packed.properties, packed.body);
        let ids: Vec<&str> =
            got.iter().map(|(own, _)| own.message_id().as_ref().unwrap().as_str()).collect();
        assert_eq!(ids, [1, 2].map(|n| Uuid::from_u128(n).to_string()));
        let bodies: Vec<&Bytes> = got.iter().map(|(_, body)| body).collect();
        assert_eq!(bodies, ["1", "2"]);
        assert!(got.iter().all(|(own, _)| own.kind().as_ref().unwrap().as_str() == "t.v1"));
        let traced = |own: &BasicProperties| {
            own.headers().as_ref().is_some_and(|headers| headers.contains_key(header::TRACEPARENT))
        };
        assert_eq!(got.iter().map(|(own, _)| traced(own)).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn a_message_alone_is_no_bundle() {
        let packed = pack(vec![message(1, None)]).unwrap();
        assert_eq!(packed.properties.kind().as_ref().unwrap().as_str(), "t.v1");
        assert!(pack(Vec::new()).is_none());
    }

    #[test]
    fn how_often_a_bundle_came_back_counts_for_each_record() {
        let packed = pack(vec![message(1, None), message(2, None)]).unwrap();
        let mut headers = FieldTable::default();
        headers.insert("x-delivery-count".into(), AMQPValue::LongLongInt(3));
        for (own, _) in unpack(packed.properties.with_headers(headers), packed.body) {
            assert!(own.headers().as_ref().unwrap().contains_key("x-delivery-count"));
        }
    }

    #[test]
    fn an_unreadable_bundle_is_kept_whole() {
        let properties = BasicProperties::default().with_type(Bundle::TYPE.into());
        for body in [Bytes::new(), Bytes::from_static(b"\xff\xff")] {
            assert_eq!(unpack(properties.clone(), body.clone()), [(properties.clone(), body)]);
        }
    }
}
