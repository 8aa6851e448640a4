//! What was said, in order.

mod read;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, BigInt, Bytea, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::Wamid;
use kernel::ids::{ConnectionId, ContactId, ConversationId, MessageId, WorkspaceId};
use uuid::Uuid;

pub use self::read::{
    Answerable, Delivery, Filter, Message, State, answerable, find, list, search,
};
use crate::StorageError;
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
