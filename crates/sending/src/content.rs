//! What the ledger keeps of a message: enough to build the request again.

use kernel::Wamid;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The content of an outbound message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    /// Plain text.
    Text {
        /// At most 4,096 characters (Meta, send messages, 4 Nov 2025).
        body: String,
        /// The message it answers, shown above it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<Wamid>,
    },
    /// An approved template with its parameters filled in.
    Template {
        /// Its name.
        name: String,
        /// Language and locale, e.g. `en_US`.
        language: String,
        /// Header, body and button parameters, as Meta's API takes them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        components: Vec<serde_json::Value>,
    },
    /// Any kind, as Meta's API takes it (`whatsapp::outgoing`).
    Any {
        /// Meta's `type`.
        kind: String,
        /// The member that is named like the type.
        body: serde_json::Value,
        /// The message it answers, shown above it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<Wamid>,
    },
}

/// The stored content cannot be read: written by a newer version, or damaged.
#[derive(Debug, Error)]
#[error("stored content cannot be read")]
pub struct ContentError(#[from] serde_json::Error);

impl Content {
    /// As the ledger keeps it.
    ///
    /// # Errors
    ///
    /// [`ContentError`] when it cannot be written as JSON.
    pub fn encode(&self) -> Result<Vec<u8>, ContentError> {
        Ok(serde_json::to_vec(self)?)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ContentError> {
        Ok(serde_json::from_slice(bytes)?)
    }

    pub(crate) fn as_graph(&self) -> whatsapp::graph::Content<'_> {
        match self {
            Self::Text { body, reply_to } => whatsapp::graph::Content::Text {
                body,
                preview_url: false,
                reply_to: reply_to.as_ref(),
            },
            Self::Template { name, language, components } => {
                whatsapp::graph::Content::Template { name, language, components }
            }
            Self::Any { kind, body, reply_to } => {
                whatsapp::graph::Content::Any { kind, body, reply_to: reply_to.as_ref() }
            }
        }
    }
}
