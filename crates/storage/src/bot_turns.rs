//! Bot turns: what inbound messages still wait for a bot, and what it decided.
//!
//! A conversation's `bot_sequence` is the only thing that says "had its turn"; hints from the broker
//! only say where to look. Invariants:
//! - places of messages are given out in commit order, so nothing appears below a place seen before;
//! - the place moves in the transaction that stores the turns, under the conversation's row lock.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, BigInt, Bool, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{BotId, ConnectionId, ContactId, ConversationId, MessageId, RuleId, WorkspaceId};
use kernel::{UserId, WaId};
use uuid::Uuid;

use crate::StorageError;
use crate::events::first_id;
use crate::send_ledger::Recipient;
use kernel::statement;

/// An inbound message that had no bot turn yet.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The message.
    pub message_id: MessageId,
    /// The tenant.
    pub workspace_id: WorkspaceId,
    /// The business side.
    pub connection_id: ConnectionId,
    /// The thread.
    pub conversation_id: ConversationId,
    /// The person.
    pub contact_id: ContactId,
    /// Where an answer goes: the number if known, else the user id.
    pub recipient: Option<Recipient>,
    /// The person's profile name.
    pub name: Option<String>,
    /// Its place in the thread.
    pub sequence: i64,
    /// Meta's `type`.
    pub kind: String,
    /// What the person said.
    pub body: Option<String>,
    /// When they said it: Meta's time, or ours where Meta told none.
    pub said_at: DateTime<Utc>,
    /// The connection's bot, if it has one.
    pub bot: Option<BotSeen>,
}

/// A bot as it was when the message was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BotSeen {
    /// Its identifier.
    pub id: BotId,
    /// Raised by every change of the bot or its rules.
    pub version: i64,
    /// Whether it answers at all.
    pub is_enabled: bool,
}

/// Conversation, workspace, connection, contact; number, user id, name; message, sequence, kind,
/// body, time; bot, version, enabled.
type Row = (
    (Uuid, Uuid, Uuid, Uuid),
    (Option<String>, Option<String>, Option<String>),
    (Uuid, i64, String, Option<String>, DateTime<Utc>),
    (Option<Uuid>, Option<i64>, Option<bool>),
);

// `OFFSET 0` keeps the planner from merging the look-up into a walk along the whole primary key.
// A message's conversation is looked up again, because two conversations may have become one since
// the hint was written.
statement! {
    LoadWaiting(conversations: Vec<Uuid>, messages: Vec<Uuid>, most: i64)
    -> (
        (sql_types::Uuid, sql_types::Uuid, sql_types::Uuid, sql_types::Uuid),
        (Nullable<Text>, Nullable<Text>, Nullable<Text>),
        (sql_types::Uuid, BigInt, Text, Nullable<Text>, Timestamptz),
        (Nullable<sql_types::Uuid>, Nullable<BigInt>, Nullable<Bool>),
    ) {
        "SELECT c.id, c.workspace_id, c.connection_id, c.contact_id, p.wa_id, p.user_id, p.name, \
         m.id, m.sequence, m.kind, m.body, COALESCE(m.said_at, m.created_at), \
         b.id, b.version, b.is_enabled FROM (SELECT unnest("
        [conversations: Array<sql_types::Uuid>]
        ") UNION SELECT conversation_id FROM messages WHERE id = ANY("
        [messages: Array<sql_types::Uuid>]
        ")) AS s (id) \
         CROSS JOIN LATERAL (SELECT * FROM conversations v WHERE v.id = s.id OFFSET 0) AS c \
         JOIN messages m ON m.conversation_id = c.id AND m.sequence > c.bot_sequence \
         AND m.direction = 'inbound' \
         LEFT JOIN contacts p ON p.id = c.contact_id \
         LEFT JOIN bot_connections l ON l.connection_id = c.connection_id \
         LEFT JOIN bots b ON b.id = l.bot_id \
         ORDER BY c.id, m.sequence LIMIT " [most: BigInt]
    }
}

impl From<Row> for Waiting {
    fn from((thread, person, message, bot): Row) -> Self {
        let (conversation, workspace, connection, contact) = thread;
        let (wa_id, user_id, name) = person;
        let (id, sequence, kind, body, said_at) = message;
        let number = wa_id.map(|number| Recipient::Number(WaId::new(number)));
        let bot = match bot {
            (Some(id), Some(version), Some(is_enabled)) => {
                Some(BotSeen { id: BotId::from_uuid(id), version, is_enabled })
            }
            _ => None,
        };
        Self {
            message_id: MessageId::from_uuid(id),
            workspace_id: WorkspaceId::from_uuid(workspace),
            connection_id: ConnectionId::from_uuid(connection),
            conversation_id: ConversationId::from_uuid(conversation),
            contact_id: ContactId::from_uuid(contact),
            recipient: number.or(user_id.map(|user| Recipient::User(UserId::new(user)))),
            name,
            sequence,
            kind,
            body,
            said_at,
            bot,
        }
    }
}

/// Up to `most` inbound messages without a turn, by conversation and place: those of
/// `conversations`, and of the conversations that `messages` belong to now.
///
/// The hints decide the tenants: this is for the consumer of all of them.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn waiting(
    conn: &mut AsyncPgConnection,
    conversations: &[ConversationId],
    messages: &[MessageId],
    most: i64,
) -> Result<Vec<Waiting>, StorageError> {
    let statement = LoadWaiting {
        conversations: conversations.iter().map(|id| id.as_uuid()).collect(),
        messages: messages.iter().map(|id| id.as_uuid()).collect(),
        most,
    };
    let rows: Vec<Row> = statement.load(conn).await?;
    Ok(rows.into_iter().map(Waiting::from).collect())
}

/// Where a conversation stands; nobody else moves it until the transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Every inbound message up to here has had its turn.
    pub bot_sequence: i64,
    /// Place of the newest message.
    pub last_sequence: i64,
}

// The order in which batches of inbound messages lock conversations, so that none waits for another
// in a circle.
statement! {
    Lock(ids: Vec<Uuid>) -> (sql_types::Uuid, BigInt, BigInt) {
        "SELECT id, bot_sequence, last_sequence FROM conversations WHERE id = ANY("
        [ids: Array<sql_types::Uuid>] ") ORDER BY connection_id, contact_id FOR UPDATE"
    }
}

/// Locks conversations until the transaction ends.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn lock(
    tx: &mut AsyncPgConnection,
    conversations: &[ConversationId],
) -> Result<HashMap<ConversationId, Place>, StorageError> {
    let ids = conversations.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<(Uuid, i64, i64)> = Lock { ids }.load(tx).await?;
    Ok(rows
        .into_iter()
        .map(|(id, bot_sequence, last_sequence)| {
            (ConversationId::from_uuid(id), Place { bot_sequence, last_sequence })
        })
        .collect())
}

/// How far a locked conversation moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// Which one.
    pub conversation_id: ConversationId,
    /// The place of the last message that now has its turn.
    pub bot_sequence: i64,
    /// How many replies were appended.
    pub replies: i64,
}

statement! {
    Move(ids: Vec<Uuid>, places: Vec<i64>, replies: Vec<i64>, now: DateTime<Utc>) -> () {
        "UPDATE conversations c SET bot_sequence = s.place, \
         last_sequence = c.last_sequence + s.replies, \
         updated_at = CASE WHEN s.replies > 0 THEN " [now: Timestamptz]
        " ELSE c.updated_at END FROM unnest("
        [ids: Array<sql_types::Uuid>] ", "
        [places: Array<BigInt>] ", "
        [replies: Array<BigInt>]
        ") AS s (id, place, replies) WHERE c.id = s.id"
    }
}

/// Moves conversations that [`lock`] has locked.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn advance(
    tx: &mut AsyncPgConnection,
    moves: &[Advance],
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let statement = Move {
        ids: moves.iter().map(|step| step.conversation_id.as_uuid()).collect(),
        places: moves.iter().map(|step| step.bot_sequence).collect(),
        replies: moves.iter().map(|step| step.replies).collect(),
        now,
    };
    statement.execute(tx).await?;
    Ok(())
}

/// What a bot decided about one message.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The message.
    pub message_id: MessageId,
    /// The tenant.
    pub workspace_id: WorkspaceId,
    /// The thread.
    pub conversation_id: ConversationId,
    /// Who decided.
    pub bot_id: BotId,
    /// The rule that matched.
    pub rule_id: Option<RuleId>,
    /// A stable word, such as `replied`.
    pub outcome: &'static str,
    /// The answer.
    pub reply_message_id: Option<MessageId>,
}

statement! {
    Record(
        messages: Vec<Uuid>,
        workspaces: Vec<Uuid>,
        conversations: Vec<Uuid>,
        bots: Vec<Uuid>,
        rules: Vec<Option<Uuid>>,
        outcomes: Vec<&'static str>,
        replies: Vec<Option<Uuid>>,
        now: DateTime<Utc>,
    ) -> () {
        "INSERT INTO bot_turns (message_id, workspace_id, conversation_id, bot_id, rule_id, outcome, \
         reply_message_id, created_at) SELECT s.*, " [now: Timestamptz] " FROM unnest("
        [messages: Array<sql_types::Uuid>] ", "
        [workspaces: Array<sql_types::Uuid>] ", "
        [conversations: Array<sql_types::Uuid>] ", "
        [bots: Array<sql_types::Uuid>] ", "
        [rules: Array<Nullable<sql_types::Uuid>>] ", "
        [outcomes: Array<Text>] ", "
        [replies: Array<Nullable<sql_types::Uuid>>]
        ") AS s ON CONFLICT (message_id) DO NOTHING"
    }
}

/// Stores turns; a message that has one keeps it.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn record(
    tx: &mut AsyncPgConnection,
    turns: &[Turn],
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    if turns.is_empty() {
        return Ok(());
    }
    let statement = Record {
        messages: turns.iter().map(|turn| turn.message_id.as_uuid()).collect(),
        workspaces: turns.iter().map(|turn| turn.workspace_id.as_uuid()).collect(),
        conversations: turns.iter().map(|turn| turn.conversation_id.as_uuid()).collect(),
        bots: turns.iter().map(|turn| turn.bot_id.as_uuid()).collect(),
        rules: turns.iter().map(|turn| turn.rule_id.map(|id| id.as_uuid())).collect(),
        outcomes: turns.iter().map(|turn| turn.outcome).collect(),
        replies: turns.iter().map(|turn| turn.reply_message_id.map(|id| id.as_uuid())).collect(),
        now,
    };
    statement.execute(tx).await?;
    Ok(())
}

// Event ids sort by time, so the primary key finds a span of time: no index only for this.
statement! {
    LoadOverlooked(from: Uuid, to: Uuid) -> sql_types::Uuid {
        "SELECT c.id FROM conversations c WHERE c.id IN (SELECT e.conversation_id FROM events e \
         WHERE e.id >= " [from: sql_types::Uuid] " AND e.id < " [to: sql_types::Uuid]
        " AND e.type = 'message.received') AND EXISTS (SELECT 1 FROM messages m \
         WHERE m.conversation_id = c.id AND m.sequence > c.bot_sequence \
         AND m.direction = 'inbound')"
    }
}

/// Conversations of which a message was received between `from` and `to` and that still have a
/// message without a turn, whatever their tenant.
///
/// Costs one look at the primary key of `events` when nothing was received.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn overlooked(
    conn: &mut AsyncPgConnection,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<ConversationId>, StorageError> {
    let statement = LoadOverlooked { from: first_id(from).as_uuid(), to: first_id(to).as_uuid() };
    let ids: Vec<Uuid> = statement.load(conn).await?;
    Ok(ids.into_iter().map(ConversationId::from_uuid).collect())
}
