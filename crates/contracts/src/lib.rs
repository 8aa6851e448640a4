//! What services say to each other over the broker, generated from `proto/`, and the names on it.

mod lane;
pub mod names;

pub use self::lane::{LaneKey, lane_of};

use thiserror::Error;
use uuid::Uuid;

/// One element of one Meta webhook, on its way from ingest to the services behind it.
#[expect(missing_docs, reason = "generated; documented in proto/")]
pub mod inbound {
    include!(concat!(env!("OUT_DIR"), "/switchyard.inbound.v1.rs"));
}

/// What happened in a workspace, for every service that wants to know.
#[expect(missing_docs, reason = "generated; documented in proto/")]
pub mod events {
    include!(concat!(env!("OUT_DIR"), "/switchyard.events.v1.rs"));
}

/// How several messages travel as one.
#[expect(missing_docs, reason = "generated; documented in proto/")]
pub mod transport {
    include!(concat!(env!("OUT_DIR"), "/switchyard.transport.v1.rs"));
}

/// What makes campaigns go on.
pub mod campaigns {
    include!(concat!(env!("OUT_DIR"), "/switchyard.campaigns.v1.rs"));
}

/// What makes imports, exports and template syncs go on.
pub mod sync {
    include!(concat!(env!("OUT_DIR"), "/switchyard.sync.v1.rs"));
}

/// A broker message body.
pub trait Message: prost::Message + Default + Send + Sync + 'static {
    /// The AMQP `type`, with its version, e.g. `switchyard.inbound.v1.WebhookEvent`.
    const TYPE: &'static str;

    /// Reads a message body; from [`bytes::Bytes`] without copying its byte fields.
    ///
    /// # Errors
    ///
    /// [`Undecodable`] when the body is not this message: retrying cannot help.
    fn read(body: impl bytes::Buf) -> Result<Self, Undecodable> {
        Self::decode(body).map_err(|source| Undecodable { expected: Self::TYPE, source })
    }
}

impl Message for inbound::WebhookEvent {
    const TYPE: &'static str = "switchyard.inbound.v1.WebhookEvent";
}

impl Message for events::Event {
    const TYPE: &'static str = "switchyard.events.v1.Event";
}

impl Message for transport::Bundle {
    const TYPE: &'static str = "switchyard.transport.v1.Bundle";
}

impl Message for campaigns::CampaignTick {
    const TYPE: &'static str = "switchyard.campaigns.v1.CampaignTick";
}

impl Message for sync::SyncTick {
    const TYPE: &'static str = "switchyard.sync.v1.SyncTick";
}

/// The body is not the message it should be.
#[derive(Debug, Error)]
#[error("message body cannot be decoded as {expected}")]
pub struct Undecodable {
    /// The message that was expected.
    pub expected: &'static str,
    /// What the decoder stumbled over.
    #[source]
    pub source: prost::DecodeError,
}

/// Reads an id field: 16 bytes, or empty for "none".
pub fn uuid_field(bytes: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(bytes).ok()
}

/// Writes an id field.
pub fn uuid_bytes(id: Uuid) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(id.as_bytes())
}

/// Encodes a message for the broker.
pub fn encode(message: &impl prost::Message) -> bytes::Bytes {
    message.encode_to_vec().into()
}
