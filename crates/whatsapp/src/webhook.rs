//! What a webhook says: [`split`] takes a POST apart into events, [`model`] reads one of them.
//!
//! Invariants: every byte that carries information ends in some event; `field` alone decides what an
//! event means; whatever is not understood is kept as it came, never an error.

mod canonical;
mod contacts;
mod identity;
pub mod model;
mod split;

use std::borrow::Cow;
use std::fmt;

use kernel::Retryable;
use thiserror::Error;

pub use self::identity::{Known, of_known};
pub use self::split::split;

/// One element of a webhook, borrowed from its body. Its `Debug` shows nothing personal.
#[derive(Clone)]
pub struct Event<'a> {
    /// What the element is.
    pub kind: EventKind,
    /// `changes[].field` as received; empty when the body has an unknown shape.
    pub field: Cow<'a, str>,
    /// Meta's id of the business phone number; empty for fields that carry none.
    pub phone_number_id: Cow<'a, str>,
    /// The business number as digits; for some fields the only hint at the connection. May be empty.
    pub display_phone_number: Cow<'a, str>,
    /// The WhatsApp Business Account; empty when absent.
    pub waba_id: Cow<'a, str>,
    /// The person, for choosing a lane: the number, or the business-scoped user id when Meta omits
    /// the number; for a group's status the group. Empty for what concerns no one person.
    pub person: Cow<'a, str>,
    /// JSON of the element, byte for byte as received.
    pub item: &'a [u8],
    /// JSON of the element of `contacts[]` about the same person, if any.
    pub contact: Option<&'a [u8]>,
    /// `entry[].time` in seconds since 1970: the only time that management fields have.
    pub entry_time_s: Option<i64>,
    /// Equal for every copy of the same event, however Meta batches, formats or repeats it.
    pub identity: [u8; 16],
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("kind", &self.kind)
            .field("field", &self.field)
            .field("item_bytes", &self.item.len())
            .finish_non_exhaustive()
    }
}

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// An element of `messages[]` under `field=messages`: the only kind that may wake a bot.
    Message,
    /// An element of `statuses[]` under `field=messages`.
    Status,
    /// An element of `message_echoes[]`: a person answered from the WhatsApp Business app.
    Echo,
    /// Anything else: management fields, platform errors, history, standby, the unknown.
    Other,
}

/// The body is not JSON at all: the only thing that can be wrong with a body.
#[derive(Debug, Error)]
pub enum NotJson {
    /// The bytes are not UTF-8.
    #[error("the body is not UTF-8")]
    Encoding(#[from] std::str::Utf8Error),
    /// The text is not JSON.
    #[error("the body is not JSON")]
    Syntax(#[from] serde_json::Error),
}

impl Retryable for NotJson {
    fn is_transient(&self) -> bool {
        false
    }
}
