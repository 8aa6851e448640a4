//! Messages from people, as a test or a demo asks for them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A message from a person to a business number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InboundMessage {
    /// The number that is written to.
    pub phone_number_id: String,
    /// The person's digits; absent for people who hide their number.
    pub from: Option<String>,
    /// The person's business-scoped id, e.g. `DE.9081…`.
    pub user_id: Option<String>,
    /// The person's profile name.
    pub name: Option<String>,
    /// The text, unless `content` says something else.
    pub text: String,
    /// `type` and the object it names, for messages that are not text.
    pub content: Option<Map<String, Value>>,
    /// A given id instead of a new one.
    pub wamid: Option<String>,
    /// A given time instead of now, in seconds since 1970.
    pub timestamp: Option<i64>,
}

impl InboundMessage {
    /// A text message.
    pub fn text(
        phone_number_id: impl Into<String>,
        from: impl Into<String>,
        name: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        Self {
            phone_number_id: phone_number_id.into(),
            from: Some(from.into()),
            name: Some(name.into()),
            text: text.into(),
            ..Self::default()
        }
    }
}

/// How often the same POST is delivered: Meta's duplicates, on demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// How often in all; 0 delivers nothing.
    pub copies: u32,
    /// Time between two copies; zero delivers all at once.
    pub gap: Duration,
}

impl Repeat {
    /// Delivered once.
    pub const ONCE: Self = Self { copies: 1, gap: Duration::ZERO };

    /// Delivered `copies` times at once.
    pub const fn at_once(copies: u32) -> Self {
        Self { copies, gap: Duration::ZERO }
    }

    /// Delivered `copies` times, `gap` apart.
    pub const fn spaced(copies: u32, gap: Duration) -> Self {
        Self { copies, gap }
    }
}
