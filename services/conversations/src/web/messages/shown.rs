//! A message as callers see it.

use kernel::Wamid;
use kernel::ids::{CampaignId, ConnectionId, ContactId, ConversationId, MessageId};
use serde::Serialize;
use serde_json::Value;
use storage::messages;

use super::status::Status;
use service::values::Time;

#[derive(Serialize)]
pub(super) struct Message {
    object: &'static str,
    id: MessageId,
    connection: ConnectionId,
    conversation: ConversationId,
    contact: ContactId,
    /// Its place in the thread, counted from 1.
    sequence: i64,
    /// `inbound`, `outbound`, or `echo` for what was written on a phone of the business.
    direction: String,
    /// Of an outbound message: `agent`, `api`, `bot` or `campaign`.
    source: Option<String>,
    campaign: Option<CampaignId>,
    kind: String,
    text: Option<String>,
    wamid: Option<String>,
    status: Status,
    /// Meta's code, when it failed.
    error_code: Option<i32>,
    /// What the sender gave along.
    metadata: Option<Value>,
    /// Meta's clock; the order is `sequence`.
    said_at: Option<Time>,
    created_at: Time,
    sent_at: Option<Time>,
    delivered_at: Option<Time>,
    read_at: Option<Time>,
    failed_at: Option<Time>,
}

impl From<messages::Message> for Message {
    fn from(stored: messages::Message) -> Self {
        let delivery = stored.delivery.as_ref();
        Self {
            object: "message",
            id: stored.id(),
            connection: stored.connection_id(),
            conversation: stored.conversation_id(),
            contact: stored.contact_id(),
            sequence: stored.sequence,
            source: delivery.map(|delivery| delivery.source.clone()),
            campaign: stored.campaign_id(),
            wamid: stored.wamid().map(Wamid::into_string),
            status: Status::of(&stored),
            error_code: delivery.and_then(|delivery| delivery.error_code),
            said_at: stored.said_at.map(Time),
            created_at: Time(stored.created_at),
            sent_at: delivery.and_then(|delivery| delivery.sent_at).map(Time),
            delivered_at: delivery.and_then(|delivery| delivery.delivered_at).map(Time),
            read_at: delivery.and_then(|delivery| delivery.read_at).map(Time),
            failed_at: delivery.and_then(|delivery| delivery.failed_at).map(Time),
            direction: stored.direction,
            kind: stored.kind,
            text: stored.body,
            metadata: stored.metadata,
        }
    }
}
