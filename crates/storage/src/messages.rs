//! What was said, in order.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{self, Array, BigInt, Bytea, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::Wamid;
use kernel::ids::{ConnectionId, ContactId, ConversationId, MessageId, WorkspaceId};
use uuid::Uuid;

use crate::StorageError;
use crate::schema::{messages, outbound_messages};
use kernel::statement;

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The person.
    Inbound,
    /// We did, through the send ledger.
    Outbound,
    /// Somebody did, from the WhatsApp Business app on a phone.
    Echo,
}

impl Direction {
    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Echo => "echo",
        }
    }
}

/// A message to store.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Its identifier.
    pub id: MessageId,
    /// The tenant.
    pub workspace_id: WorkspaceId,
    /// The business side.
    pub connection_id: ConnectionId,
    /// The thread.
    pub conversation_id: ConversationId,
    /// The person.
    pub contact_id: ContactId,
    /// Its place, reserved by [`crate::conversations::grow`].
    pub sequence: i64,
    /// Who said it.
    pub direction: Direction,
    /// Meta's `type`.
    pub kind: String,
    /// Meta's id, once known.
    pub wamid: Option<Wamid>,
    /// The text in it; free of U+0000.
    pub body: Option<String>,
    /// The element as received.
    pub raw: Option<Bytes>,
    /// Meta's time of it.
    pub said_at: Option<DateTime<Utc>>,
}

statement! {
    Insert(
        ids: Vec<Uuid>,
        workspaces: Vec<Uuid>,
        connections: Vec<Uuid>,
        conversations: Vec<Uuid>,
        contacts: Vec<Uuid>,
        sequences: Vec<i64>,
        directions: Vec<&'static str>,
        kinds: Vec<String>,
        wamids: Vec<Option<String>>,
        bodies: Vec<Option<String>>,
        raws: Vec<Option<Vec<u8>>>,
        said_at: Vec<Option<DateTime<Utc>>>,
        now: DateTime<Utc>,
    ) -> () {
        "INSERT INTO messages (id, workspace_id, connection_id, conversation_id, contact_id, \
         sequence, direction, kind, wamid, body, raw, said_at, created_at) SELECT s.*, "
        [now: Timestamptz] " FROM unnest("
        [ids: Array<sql_types::Uuid>] ", "
        [workspaces: Array<sql_types::Uuid>] ", "
        [connections: Array<sql_types::Uuid>] ", "
        [conversations: Array<sql_types::Uuid>] ", "
        [contacts: Array<sql_types::Uuid>] ", "
        [sequences: Array<BigInt>] ", "
        [directions: Array<Text>] ", "
        [kinds: Array<Text>] ", "
        [wamids: Array<Nullable<Text>>] ", "
        [bodies: Array<Nullable<Text>>] ", "
        [raws: Array<Nullable<Bytea>>] ", "
        [said_at: Array<Nullable<Timestamptz>>]
        ") AS s"
    }
}

/// Stores messages.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn insert(
    tx: &mut AsyncPgConnection,
    rows: Vec<NewMessage>,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let statement = Insert {
        ids: rows.iter().map(|row| row.id.as_uuid()).collect(),
        workspaces: rows.iter().map(|row| row.workspace_id.as_uuid()).collect(),
        connections: rows.iter().map(|row| row.connection_id.as_uuid()).collect(),
        conversations: rows.iter().map(|row| row.conversation_id.as_uuid()).collect(),
        contacts: rows.iter().map(|row| row.contact_id.as_uuid()).collect(),
        sequences: rows.iter().map(|row| row.sequence).collect(),
        directions: rows.iter().map(|row| row.direction.as_str()).collect(),
        said_at: rows.iter().map(|row| row.said_at).collect(),
        wamids: rows
            .iter()
            .map(|row| row.wamid.as_ref().map(|wamid| wamid.as_str().to_owned()))
            .collect(),
        kinds: rows.iter().map(|row| row.kind.clone()).collect(),
        bodies: rows.iter().map(|row| row.body.clone()).collect(),
        raws: rows.iter().map(|row| row.raw.as_ref().map(|raw| raw.to_vec())).collect(),
        now,
    };
    statement.execute(tx).await?;
    Ok(())
}

/// A message as shown in a thread.
#[derive(Clone, Debug, Queryable)]
pub struct Message {
    id: Uuid,
    connection_id: Uuid,
    conversation_id: Uuid,
    contact_id: Uuid,
    /// Its place in the thread.
    pub sequence: i64,
    /// `inbound`, `outbound` or `echo`.
    pub direction: String,
    /// Meta's `type`.
    pub kind: String,
    wamid: Option<String>,
    /// The text in it.
    pub body: Option<String>,
    /// Meta's time of it.
    pub said_at: Option<DateTime<Utc>>,
    /// When we stored it.
    pub created_at: DateTime<Utc>,
    /// How far an outbound message came.
    pub delivery: Option<Delivery>,
}

/// How far an outbound message came; times are Meta's.
#[derive(Clone, Debug, Queryable)]
pub struct Delivery {
    /// The ledger's state: `ready`, `sending`, `accepted`, `failed`, `unknown`, `cancelled`,
    /// `expired`.
    pub state: String,
    wamid: Option<String>,
    /// Meta sent it.
    pub sent_at: Option<DateTime<Utc>>,
    /// It reached the phone.
    pub delivered_at: Option<DateTime<Utc>>,
    /// The person read it.
    pub read_at: Option<DateTime<Utc>>,
    /// It will not arrive.
    pub failed_at: Option<DateTime<Utc>>,
    /// Meta's error code of the failure.
    pub error_code: Option<i32>,
}

impl Message {
    /// Its identifier.
    pub fn id(&self) -> MessageId {
        MessageId::from_uuid(self.id)
    }

    /// The business side.
    pub fn connection_id(&self) -> ConnectionId {
        ConnectionId::from_uuid(self.connection_id)
    }

    /// The thread.
    pub fn conversation_id(&self) -> ConversationId {
        ConversationId::from_uuid(self.conversation_id)
    }

    /// The person.
    pub fn contact_id(&self) -> ContactId {
        ContactId::from_uuid(self.contact_id)
    }

    /// Meta's id, once known.
    pub fn wamid(&self) -> Option<Wamid> {
        let sent = self.delivery.as_ref().and_then(|delivery| delivery.wamid.clone());
        self.wamid.clone().or(sent).map(Wamid::new)
    }
}

/// Lists the messages of one conversation, newest first.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn list(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    conversation: ConversationId,
    before_sequence: Option<i64>,
    limit: i64,
) -> Result<Vec<Message>, StorageError> {
    let ledger = (
        outbound_messages::state,
        outbound_messages::wamid,
        outbound_messages::sent_at,
        outbound_messages::delivered_at,
        outbound_messages::read_at,
        outbound_messages::failed_at,
        outbound_messages::error_code,
    );
    Ok(messages::table
        .left_join(outbound_messages::table.on(outbound_messages::id.eq(messages::id)))
        .filter(messages::workspace_id.eq(workspace.as_uuid()))
        .filter(messages::conversation_id.eq(conversation.as_uuid()))
        .filter(messages::sequence.lt(before_sequence.unwrap_or(i64::MAX)))
        .order(messages::sequence.desc())
        .limit(limit)
        .select((
            messages::id,
            messages::connection_id,
            messages::conversation_id,
            messages::contact_id,
            messages::sequence,
            messages::direction,
            messages::kind,
            messages::wamid,
            messages::body,
            messages::said_at,
            messages::created_at,
            ledger.nullable(),
        ))
        .load(conn)
        .await?)
}
