//! Reading messages: one, a thread, those that fit a filter.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{self, Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{CampaignId, ConnectionId, ContactId, ConversationId, MessageId, WorkspaceId};
use kernel::{Wamid, statement};
use serde_json::Value;
use uuid::Uuid;

use crate::StorageError;
use crate::schema::{conversations, message_requests, messages, outbound_messages};

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
    /// The caller's own data, of a message that was sent by request.
    pub metadata: Option<Value>,
}

/// How far an outbound message came; times are Meta's.
#[derive(Clone, Debug, Queryable)]
pub struct Delivery {
    /// The ledger's state: `ready`, `sending`, `accepted`, `failed`, `unknown`, `cancelled`.
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
    /// What kind of work it comes from.
    pub source: String,
    campaign_id: Option<Uuid>,
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

    /// The campaign it belongs to.
    pub fn campaign_id(&self) -> Option<CampaignId> {
        self.delivery.as_ref()?.campaign_id.map(CampaignId::from_uuid)
    }

    /// Meta's id, once known.
    pub fn wamid(&self) -> Option<Wamid> {
        let sent = self.delivery.as_ref().and_then(|delivery| delivery.wamid.clone());
        self.wamid.clone().or(sent).map(Wamid::new)
    }
}

/// How far a message came, as a filter; every message is in exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A person wrote it.
    Received,
    /// It waits for its turn.
    Queued,
    /// It is being handed to Meta.
    Sending,
    /// Meta took it.
    Accepted,
    /// Meta sent it, or it was seen because it was sent.
    Sent,
    /// It reached the phone.
    Delivered,
    /// The person read it.
    Read,
    /// It will not arrive.
    Failed,
    /// Whether Meta took it is not known.
    Uncertain,
    /// It was called back before Meta was asked.
    Cancelled,
}

impl State {
    const fn condition(self) -> &'static str {
        match self {
            Self::Received => "messages.direction = 'inbound'",
            Self::Queued => "outbound_messages.state IN ('ready', 'held')",
            Self::Sending => "outbound_messages.state = 'sending'",
            Self::Accepted => {
                "outbound_messages.state = 'accepted' AND outbound_messages.sent_at IS NULL \
                 AND outbound_messages.delivered_at IS NULL AND outbound_messages.read_at IS NULL"
            }
            Self::Sent => {
                "(outbound_messages.state = 'accepted' AND outbound_messages.sent_at IS NOT NULL \
                 AND outbound_messages.delivered_at IS NULL AND outbound_messages.read_at IS NULL \
                 OR messages.direction = 'echo' AND outbound_messages.state IS NULL)"
            }
            Self::Delivered => {
                "outbound_messages.state = 'accepted' \
                 AND outbound_messages.delivered_at IS NOT NULL AND outbound_messages.read_at IS NULL"
            }
            Self::Read => {
                "outbound_messages.state = 'accepted' AND outbound_messages.read_at IS NOT NULL"
            }
            Self::Failed => "outbound_messages.state = 'failed'",
            Self::Uncertain => "outbound_messages.state = 'unknown'",
            Self::Cancelled => "outbound_messages.state = 'cancelled'",
        }
    }
}

/// Which messages; what is `None` or empty allows all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// This one.
    pub id: Option<MessageId>,
    /// Meta's id.
    pub wamid: Option<Wamid>,
    /// Of one number.
    pub connection: Option<ConnectionId>,
    /// Of one thread.
    pub conversation: Option<ConversationId>,
    /// To and from one person.
    pub contact: Option<ContactId>,
    /// Of one campaign.
    pub campaign: Option<CampaignId>,
    /// In any of these.
    pub states: Vec<State>,
    /// Made after this.
    pub created_after: Option<DateTime<Utc>>,
    /// Made before this.
    pub created_before: Option<DateTime<Utc>>,
}

#[diesel::dsl::auto_type(no_type_alias)]
fn joined() -> _ {
    messages::table
        .left_join(outbound_messages::table.on(outbound_messages::id.eq(messages::id)))
        .left_join(message_requests::table.on(message_requests::message_id.eq(messages::id)))
}

/// The columns of a [`Message`].
macro_rules! shown {
    () => {
        (
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
            (
                outbound_messages::state,
                outbound_messages::wamid,
                outbound_messages::sent_at,
                outbound_messages::delivered_at,
                outbound_messages::read_at,
                outbound_messages::failed_at,
                outbound_messages::error_code,
                outbound_messages::source,
                outbound_messages::campaign_id,
            )
                .nullable(),
            message_requests::metadata.nullable(),
        )
    };
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
    Ok(joined()
        .filter(messages::workspace_id.eq(workspace.as_uuid()))
        .filter(messages::conversation_id.eq(conversation.as_uuid()))
        .filter(messages::sequence.lt(before_sequence.unwrap_or(i64::MAX)))
        .order(messages::sequence.desc())
        .limit(limit)
        .select(shown!())
        .load(conn)
        .await?)
}

/// One message of a workspace.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn find(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: MessageId,
) -> Result<Option<Message>, StorageError> {
    Ok(joined()
        .filter(messages::workspace_id.eq(workspace.as_uuid()))
        .filter(messages::id.eq(id.as_uuid()))
        .select(shown!())
        .first(conn)
        .await
        .optional()?)
}

// Of each table its own index.
statement! {
    ByWamid(workspace: Uuid, wamid: String) -> sql_types::Uuid {
        "SELECT id FROM messages WHERE workspace_id = " [workspace: sql_types::Uuid]
        " AND wamid = " [wamid: Text] " UNION SELECT id FROM outbound_messages WHERE workspace_id = "
        [workspace: sql_types::Uuid] " AND wamid = " [wamid: Text]
    }
}

/// Lists the messages that fit, newest first.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn search(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    filter: &Filter,
    before: Option<MessageId>,
    limit: i64,
) -> Result<Vec<Message>, StorageError> {
    let mut query = joined()
        .filter(messages::workspace_id.eq(workspace.as_uuid()))
        .order(messages::id.desc())
        .limit(limit)
        .select(shown!())
        .into_boxed();
    if let Some(id) = filter.id {
        query = query.filter(messages::id.eq(id.as_uuid()));
    }
    if let Some(wamid) = &filter.wamid {
        let find = ByWamid { workspace: workspace.as_uuid(), wamid: wamid.as_str().to_owned() };
        let ids: Vec<Uuid> = find.load(conn).await?;
        query = query.filter(messages::id.eq_any(ids));
    }
    if let Some(connection) = filter.connection {
        query = query.filter(messages::connection_id.eq(connection.as_uuid()));
    }
    if let Some(conversation) = filter.conversation {
        query = query.filter(messages::conversation_id.eq(conversation.as_uuid()));
    }
    if let Some(contact) = filter.contact {
        let threads = conversations::table
            .filter(conversations::contact_id.eq(contact.as_uuid()))
            .select(conversations::id);
        query = query.filter(messages::conversation_id.eq_any(threads));
    }
    if let Some(campaign) = filter.campaign {
        query = query.filter(outbound_messages::campaign_id.eq(campaign.as_uuid()));
    }
    if !filter.states.is_empty() {
        let states: Vec<&str> = filter.states.iter().map(|state| state.condition()).collect();
        query = query.filter(sql::<Bool>(&format!("({})", states.join(" OR "))));
    }
    if let Some(after) = filter.created_after {
        query = query.filter(messages::created_at.gt(after));
    }
    if let Some(before) = filter.created_before {
        query = query.filter(messages::created_at.lt(before));
    }
    if let Some(before) = before {
        query = query.filter(messages::id.lt(before.as_uuid()));
    }
    Ok(query.load(conn).await?)
}

/// A message that another one may be about.
#[derive(Clone, Debug)]
pub struct Answerable {
    /// Meta's `type`.
    pub kind: String,
    /// When we stored it.
    pub created_at: DateTime<Utc>,
    /// Meta's id, once known.
    pub wamid: Option<Wamid>,
}

type Row = (String, DateTime<Utc>, Option<String>, Option<String>);

/// A message of a conversation, to answer or react to.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn answerable(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    conversation: ConversationId,
    id: MessageId,
) -> Result<Option<Answerable>, StorageError> {
    let row: Option<Row> = messages::table
        .left_join(outbound_messages::table.on(outbound_messages::id.eq(messages::id)))
        .filter(messages::workspace_id.eq(workspace.as_uuid()))
        .filter(messages::conversation_id.eq(conversation.as_uuid()))
        .filter(messages::id.eq(id.as_uuid()))
        .select((
            messages::kind,
            messages::created_at,
            messages::wamid,
            outbound_messages::wamid.nullable(),
        ))
        .first(conn)
        .await
        .optional()?;
    Ok(row.map(|(kind, created_at, received, sent)| Answerable {
        kind,
        created_at,
        wamid: received.or(sent).map(Wamid::new),
    }))
}
