//! Typed identifiers: a `ConversationId` cannot be passed where a `ConnectionId` is wanted.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use uuid::Uuid;

/// Identifies one `K`; displayed as `prefix_<32 hex digits>`, stored as a plain `uuid`.
///
/// The value is a `UUIDv7`, so ids sort by the time they were made.
pub struct Id<K> {
    value: Uuid,
    kind: PhantomData<fn() -> K>,
}

/// The thing an [`Id`] points at.
pub trait Kind {
    /// Shown before the value in logs, keys and URLs, e.g. `cnv`.
    const PREFIX: &'static str;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident, $id:ident, $prefix:literal;)*) => {
        $(
            #[doc = concat!("Marks identifiers shown as `", $prefix, "_…`.")]
            #[derive(Debug)]
            pub enum $kind {}

            impl Kind for $kind {
                const PREFIX: &'static str = $prefix;
            }

            $(#[$doc])*
            pub type $id = Id<$kind>;
        )*

        /// Every prefix in use; the registry page and a test read it.
        pub const PREFIXES: &[&str] = &[$($prefix),*];
    };
}

kinds! {
    /// Identifies a tenant.
    Workspace, WorkspaceId, "ws";
    /// Identifies one phone-number connection of a workspace.
    Connection, ConnectionId, "cnx";
    /// Identifies a Meta app, whose secret signs webhooks.
    MetaApp, MetaAppId, "app";
    /// Identifies a person in a workspace.
    Contact, ContactId, "ctc";
    /// Identifies what a person decided about hearing from us.
    Consent, ConsentId, "cst";
    /// Identifies a colleague's note about a person.
    Note, NoteId, "nte";
    /// Identifies one conversation between a connection and a contact.
    Conversation, ConversationId, "cnv";
    /// Identifies one message of a conversation, in or out.
    Message, MessageId, "msg";
    /// Identifies one try to hand a message to Meta.
    Attempt, AttemptId, "att";
    /// Identifies a bot.
    Bot, BotId, "bot";
    /// Identifies one rule of a bot.
    Rule, RuleId, "rul";
    /// Identifies a campaign.
    Campaign, CampaignId, "cmp";
    /// Identifies a message template as one workspace knows it.
    Template, TemplateId, "tpl";
    /// Identifies one run that fetches templates from Meta.
    TemplateSync, TemplateSyncId, "tsy";
    /// Identifies an import of contacts.
    Import, ImportId, "imp";
    /// Identifies an export of contacts.
    Export, ExportId, "exp";
    /// Identifies something that happened.
    Event, EventId, "evt";
    /// Identifies an API key.
    ApiKey, ApiKeyId, "key";
    /// Identifies an entry of the audit log.
    Audit, AuditId, "aud";
    /// Identifies a broker message that could not be handled.
    DeadLetter, DeadLetterId, "dlt";
}

/// The text is not an identifier of the kind that was expected.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("not an id of the form {expected}_<32 hex digits>")]
pub struct InvalidId {
    /// The prefix that was expected.
    pub expected: &'static str,
}

impl<K> Id<K> {
    /// Makes a new identifier that sorts after all earlier ones.
    #[expect(clippy::new_without_default, reason = "two ids are never equal, so none is a default")]
    pub fn new() -> Self {
        Self::from_uuid(Uuid::now_v7())
    }

    /// Wraps a value read from storage or the wire.
    pub const fn from_uuid(value: Uuid) -> Self {
        Self { value, kind: PhantomData }
    }

    /// Returns the value as storage keeps it.
    pub const fn as_uuid(self) -> Uuid {
        self.value
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Id<K> {}

impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<K> Eq for Id<K> {}

impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.value.cmp(&other.value)
    }
}

impl<K> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", K::PREFIX, self.value.simple())
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K: Kind> FromStr for Id<K> {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.strip_prefix(K::PREFIX)
            .and_then(|rest| rest.strip_prefix('_'))
            .filter(|hex| hex.len() == 32)
            .and_then(|hex| Uuid::try_parse(hex).ok())
            .map(Self::from_uuid)
            .ok_or(InvalidId { expected: K::PREFIX })
    }
}

impl<K: Kind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_two_kinds_never_read_alike() {
        let connection = ConnectionId::from_uuid(Uuid::nil());
        assert_eq!(connection.to_string(), "cnx_00000000000000000000000000000000");
        assert_eq!(connection.to_string().parse::<ConnectionId>(), Ok(connection));
        assert_eq!(connection.to_string().parse::<ContactId>(), Err(InvalidId { expected: "ctc" }));
    }

    #[test]
    fn a_hyphenated_or_short_uuid_is_refused() {
        for text in ["cnx_", "cnx_1", "cnx_00000000-0000-0000-0000-000000000000", "cnx", ""] {
            assert!(text.parse::<ConnectionId>().is_err(), "{text}");
        }
    }
}
