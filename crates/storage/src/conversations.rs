//! Threads: one per connection and contact; the place where messages get their order.

pub mod inbox;

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::{self, Array, BigInt, Bool, Nullable, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{ConnectionId, ContactId, ConversationId, MessageId, WorkspaceId};
use uuid::Uuid;

use crate::StorageError;
use crate::schema::conversations;
use kernel::statement;

/// A conversation as stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = conversations)]
pub struct Conversation {
    id: Uuid,
    connection_id: Uuid,
    contact_id: Uuid,
    /// Place of the newest message.
    pub last_sequence: i64,
    /// When the person wrote last; opens the 24-hour window.
    pub customer_wrote_at: Option<DateTime<Utc>>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When something last happened in it.
    pub updated_at: DateTime<Utc>,
    /// Who looks after it.
    pub assignee: Option<String>,
    /// Since when it is done.
    pub closed_at: Option<DateTime<Utc>>,
    /// Whether a bot may answer.
    pub is_bot_on: bool,
    /// Inbound messages that nobody has read, 100 at most.
    #[diesel(select_expression = sql::<BigInt>(UNREAD))]
    #[diesel(select_expression_type = SqlLiteral<BigInt>)]
    pub unread: i64,
}

const UNREAD: &str = "(SELECT count(*) FROM (SELECT 1 FROM messages m \
    WHERE m.conversation_id = conversations.id AND m.sequence > conversations.read_sequence \
    AND m.direction = 'inbound' LIMIT 100) AS unread)";

impl Conversation {
    /// Its identifier.
    pub fn id(&self) -> ConversationId {
        ConversationId::from_uuid(self.id)
    }

    /// The business side.
    pub fn connection_id(&self) -> ConnectionId {
        ConnectionId::from_uuid(self.connection_id)
    }

    /// The person.
    pub fn contact_id(&self) -> ContactId {
        ContactId::from_uuid(self.contact_id)
    }
}

/// What a batch adds to one conversation.
#[derive(Clone, Debug)]
pub struct Growth {
    /// The tenant.
    pub workspace_id: WorkspaceId,
    /// The business side.
    pub connection_id: ConnectionId,
    /// The person.
    pub contact_id: ContactId,
    /// How many messages are appended; at least 1.
    pub messages: i64,
    /// Meta's time of the newest message the person wrote, if one of them is theirs.
    pub customer_wrote_at: Option<DateTime<Utc>>,
    /// The message of a campaign, if one of them is one.
    pub campaign_message: Option<MessageId>,
}

/// A conversation after [`grow`].
#[derive(Clone, Debug)]
pub struct Grown {
    /// Its identifier.
    pub id: ConversationId,
    /// The business side.
    pub connection_id: ConnectionId,
    /// The person.
    pub contact_id: ContactId,
    /// Place of the newest message, this batch's included.
    pub last_sequence: i64,
    /// When the person wrote last, this batch's messages included.
    pub customer_wrote_at: Option<DateTime<Utc>>,
    /// Whether this batch opened it.
    pub is_new: bool,
    /// Whether messages in it wait for a bot; without one that is switched on they never do.
    pub waits_for_bot: bool,
    /// The newest message of a campaign in it, until it is answered.
    pub campaign_message: Option<MessageId>,
}

type GrownRow = ((Uuid, Uuid, Uuid), (i64, Option<DateTime<Utc>>, bool, bool, Option<Uuid>));

statement! {
    Grow(
        ids: Vec<Uuid>,
        workspaces: Vec<Uuid>,
        connections: Vec<Uuid>,
        contacts: Vec<Uuid>,
        counts: Vec<i64>,
        wrote_at: Vec<Option<DateTime<Utc>>>,
        campaign_messages: Vec<Option<Uuid>>,
        now: DateTime<Utc>,
    ) -> (
        (sql_types::Uuid, sql_types::Uuid, sql_types::Uuid),
        (BigInt, Nullable<Timestamptz>, Bool, Bool, Nullable<sql_types::Uuid>)
    ) {
        "INSERT INTO conversations (id, workspace_id, connection_id, contact_id, last_sequence, \
         customer_wrote_at, campaign_message_id, bot_sequence, created_at, updated_at) \
         SELECT s.*, CASE WHEN b.id IS NULL THEN s.messages ELSE 0 END, "
        [now: Timestamptz] ", " [now: Timestamptz] " FROM unnest("
        [ids: Array<sql_types::Uuid>] ", "
        [workspaces: Array<sql_types::Uuid>] ", "
        [connections: Array<sql_types::Uuid>] ", "
        [contacts: Array<sql_types::Uuid>] ", "
        [counts: Array<BigInt>] ", "
        [wrote_at: Array<Nullable<Timestamptz>>] ", "
        [campaign_messages: Array<Nullable<sql_types::Uuid>>]
        ") AS s (id, workspace, connection, contact, messages, wrote_at, campaign_message) \
         LEFT JOIN bot_connections l ON l.connection_id = s.connection \
         LEFT JOIN bots b ON b.id = l.bot_id AND b.is_enabled \
         ON CONFLICT (connection_id, contact_id) DO UPDATE SET \
         last_sequence = conversations.last_sequence + EXCLUDED.last_sequence, \
         customer_wrote_at = GREATEST(conversations.customer_wrote_at, EXCLUDED.customer_wrote_at), \
         campaign_message_id = COALESCE(EXCLUDED.campaign_message_id, conversations.campaign_message_id), \
         closed_at = CASE WHEN EXCLUDED.customer_wrote_at IS NULL THEN conversations.closed_at END, \
         bot_sequence = CASE WHEN EXCLUDED.bot_sequence = 0 AND conversations.is_bot_on \
         THEN conversations.bot_sequence \
         ELSE conversations.last_sequence + EXCLUDED.last_sequence END, \
         updated_at = EXCLUDED.updated_at \
         RETURNING id, connection_id, contact_id, last_sequence, customer_wrote_at, xmax = 0, \
         bot_sequence < last_sequence, campaign_message_id"
    }
}

/// Opens or extends conversations and reserves places for their new messages.
///
/// Where no bot is switched on, or a person took over, the new messages have had their turn: one that is
/// switched on later answers what comes after. What a person writes opens a closed conversation.
///
/// The row stays locked until the transaction ends, so places are given out in commit order.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn grow(
    tx: &mut AsyncPgConnection,
    mut growths: Vec<Growth>,
    now: DateTime<Utc>,
) -> Result<Vec<Grown>, StorageError> {
    growths.sort_by_key(|growth| (growth.connection_id, growth.contact_id));
    let statement = Grow {
        ids: growths.iter().map(|_| ConversationId::new().as_uuid()).collect(),
        workspaces: growths.iter().map(|g| g.workspace_id.as_uuid()).collect(),
        connections: growths.iter().map(|g| g.connection_id.as_uuid()).collect(),
        contacts: growths.iter().map(|g| g.contact_id.as_uuid()).collect(),
        counts: growths.iter().map(|g| g.messages).collect(),
        wrote_at: growths.iter().map(|g| g.customer_wrote_at).collect(),
        campaign_messages: growths
            .iter()
            .map(|g| g.campaign_message.map(|id| id.as_uuid()))
            .collect(),
        now,
    };
    let rows: Vec<GrownRow> = statement.load(tx).await?;
    Ok(rows.into_iter().map(Grown::from_row).collect())
}

impl Grown {
    fn from_row(((id, connection, contact), place): GrownRow) -> Self {
        let (last_sequence, customer_wrote_at, is_new, waits_for_bot, campaign_message) = place;
        Self {
            id: ConversationId::from_uuid(id),
            connection_id: ConnectionId::from_uuid(connection),
            contact_id: ContactId::from_uuid(contact),
            last_sequence,
            customer_wrote_at,
            is_new,
            waits_for_bot,
            campaign_message: campaign_message.map(MessageId::from_uuid),
        }
    }
}

statement! {
    ForgetAnswered(ids: Vec<Uuid>) -> () {
        "UPDATE conversations c SET campaign_message_id = NULL WHERE c.id = ANY("
        [ids: Array<sql_types::Uuid>] ") AND NOT EXISTS (SELECT 1 FROM outbound_messages m \
         WHERE m.id = c.campaign_message_id AND m.state IN ('ready', 'held', 'sending', 'unknown'))"
    }
}

/// Forgets the campaign messages of threads that [`grow`] locked and in which the person has written:
/// all but those that have yet to be sent, and can be answered only then.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn forget_answered(
    tx: &mut AsyncPgConnection,
    conversations: Vec<ConversationId>,
) -> Result<(), StorageError> {
    let ids = conversations.into_iter().map(|id| id.as_uuid()).collect();
    ForgetAnswered { ids }.execute(tx).await?;
    Ok(())
}

/// One conversation of a workspace.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn find(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: ConversationId,
) -> Result<Option<Conversation>, StorageError> {
    Ok(conversations::table
        .filter(conversations::workspace_id.eq(workspace.as_uuid()))
        .filter(conversations::id.eq(id.as_uuid()))
        .select(Conversation::as_select())
        .first(conn)
        .await
        .optional()?)
}
