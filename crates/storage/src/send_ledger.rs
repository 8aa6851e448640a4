//! The send ledger: one row per message that must leave, one row per try (ADR-0004).
//!
//! Campaigns, bots, agents and reminders only [`enqueue`]; one kind of loop, in crate `sending`,
//! claims, posts and settles. Invariants:
//! - a message is enqueued once per (workspace, dedupe key);
//! - at most one attempt of a message is open, and it is committed before its POST;
//! - "Meta accepted" overrules every other state, however late it is learnt;
//! - rows are locked in the order attempts, then messages.

pub mod claim;
pub mod doubt;
pub mod resolve;
pub mod settle;

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, Bytea, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{CampaignId, ConnectionId, ConversationId, MessageId, WorkspaceId};
use kernel::{UserId, WaId};
use uuid::Uuid;

use crate::StorageError;
use kernel::statement;

/// What kind of work a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A person's reply in a conversation.
    Agent,
    /// A program's message.
    Api,
    /// A bot's reply.
    Bot,
    /// A campaign's message.
    Campaign,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 4] = [Self::Agent, Self::Api, Self::Bot, Self::Campaign];

    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Api => "api",
            Self::Bot => "bot",
            Self::Campaign => "campaign",
        }
    }

    /// Reads what is stored; `None` for a source that only a newer version knows.
    pub fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == text)
    }
}

/// What becomes of a message when nobody can tell whether Meta took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDoubt {
    /// It waits for a person.
    Hold,
    /// It counts as sent once the status watermark has passed it.
    AssumeSent,
    /// It is sent again once the status watermark has passed it.
    Resend,
}

impl OnDoubt {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::AssumeSent => "assume_sent",
            Self::Resend => "resend",
        }
    }

    pub(crate) fn read(text: &str) -> Self {
        match text {
            "resend" => Self::Resend,
            "assume_sent" => Self::AssumeSent,
            _ => Self::Hold,
        }
    }
}

/// Whom a message goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// A phone number.
    Number(WaId),
    /// A business-scoped user id, for people who show no number.
    User(UserId),
}

impl Recipient {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Number(_) => "number",
            Self::User(_) => "user",
        }
    }

    /// The address itself.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Number(number) => number.as_str(),
            Self::User(user) => user.as_str(),
        }
    }

    pub(crate) fn read(kind: &str, address: String) -> Self {
        if kind == "user" {
            Self::User(UserId::new(address))
        } else {
            Self::Number(WaId::new(address))
        }
    }
}

/// A message's id, campaign, state and error code before a statement changed it.
#[derive(diesel::Queryable)]
pub(crate) struct Returned(
    pub(crate) Uuid,
    pub(crate) Option<Uuid>,
    pub(crate) String,
    pub(crate) Option<i32>,
);

impl Returned {
    pub(crate) const fn message_id(&self) -> MessageId {
        MessageId::from_uuid(self.0)
    }

    pub(crate) fn state(&self) -> &str {
        &self.2
    }
}

/// A message to send.
#[derive(Clone, Debug)]
pub struct NewOutbound {
    /// The same id as its row in `messages`.
    pub id: MessageId,
    /// The tenant.
    pub workspace_id: WorkspaceId,
    /// The number it leaves from.
    pub connection_id: ConnectionId,
    /// The thread it belongs to.
    pub conversation_id: ConversationId,
    /// Decides "exactly one": a second row with the same key is not made.
    pub dedupe_key: String,
    /// Whom it goes to.
    pub recipient: Recipient,
    /// What kind of work it comes from.
    pub source: Source,
    /// The campaign it belongs to.
    pub campaign_id: Option<CampaignId>,
    /// What to do when its outcome stays unknown.
    pub on_doubt: OnDoubt,
    /// After this moment a doubtful message is left to a person even under [`OnDoubt::Resend`].
    pub resend_until: Option<DateTime<Utc>>,
    /// What to send, as crate `sending` encodes it.
    pub content: Vec<u8>,
    /// W3C trace context of what caused it.
    pub traceparent: Option<String>,
}

statement! {
    Enqueue(
        ids: Vec<Uuid>,
        workspaces: Vec<Uuid>,
        connections: Vec<Uuid>,
        conversations: Vec<Uuid>,
        dedupe_keys: Vec<String>,
        kinds: Vec<&'static str>,
        recipients: Vec<String>,
        sources: Vec<&'static str>,
        campaigns: Vec<Option<Uuid>>,
        on_doubts: Vec<&'static str>,
        resend_until: Vec<Option<DateTime<Utc>>>,
        contents: Vec<Vec<u8>>,
        traces: Vec<Option<String>>,
        now: DateTime<Utc>,
    ) -> sql_types::Uuid {
        "INSERT INTO outbound_messages (id, workspace_id, connection_id, conversation_id, \
         dedupe_key, recipient_kind, recipient, source, campaign_id, on_doubt, resend_until, content, traceparent, state, \
         created_at) SELECT s.*, 'ready', " [now: Timestamptz] " FROM unnest("
        [ids: Array<sql_types::Uuid>] ", "
        [workspaces: Array<sql_types::Uuid>] ", "
        [connections: Array<sql_types::Uuid>] ", "
        [conversations: Array<sql_types::Uuid>] ", "
        [dedupe_keys: Array<Text>] ", "
        [kinds: Array<Text>] ", "
        [recipients: Array<Text>] ", "
        [sources: Array<Text>] ", "
        [campaigns: Array<Nullable<sql_types::Uuid>>] ", "
        [on_doubts: Array<Text>] ", "
        [resend_until: Array<Nullable<Timestamptz>>] ", "
        [contents: Array<Bytea>] ", "
        [traces: Array<Nullable<Text>>]
        ") AS s ON CONFLICT (workspace_id, dedupe_key) DO NOTHING RETURNING id"
    }
}

/// Enqueues messages in the order given; returns those whose dedupe key was new.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn enqueue(
    tx: &mut AsyncPgConnection,
    rows: Vec<NewOutbound>,
    now: DateTime<Utc>,
) -> Result<HashSet<MessageId>, StorageError> {
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    let statement = Enqueue {
        ids: rows.iter().map(|row| row.id.as_uuid()).collect(),
        workspaces: rows.iter().map(|row| row.workspace_id.as_uuid()).collect(),
        connections: rows.iter().map(|row| row.connection_id.as_uuid()).collect(),
        conversations: rows.iter().map(|row| row.conversation_id.as_uuid()).collect(),
        dedupe_keys: rows.iter().map(|row| row.dedupe_key.clone()).collect(),
        kinds: rows.iter().map(|row| row.recipient.kind()).collect(),
        recipients: rows.iter().map(|row| row.recipient.as_str().to_owned()).collect(),
        sources: rows.iter().map(|row| row.source.as_str()).collect(),
        campaigns: rows.iter().map(|row| row.campaign_id.map(|id| id.as_uuid())).collect(),
        on_doubts: rows.iter().map(|row| row.on_doubt.as_str()).collect(),
        resend_until: rows.iter().map(|row| row.resend_until).collect(),
        traces: rows.iter().map(|row| row.traceparent.clone()).collect(),
        contents: rows.into_iter().map(|row| row.content).collect(),
        now,
    };
    let made: Vec<Uuid> = statement.load(tx).await?;
    Ok(made.into_iter().map(MessageId::from_uuid).collect())
}
