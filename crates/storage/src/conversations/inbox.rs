//! What a team does with conversations: looks after them, closes them, reads them, takes over from the
//! bot.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{self, BigInt, Bool, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{ConnectionId, ContactId, ConversationId, WorkspaceId};
use kernel::statement;
use uuid::Uuid;

use super::Conversation;
use crate::StorageError;
use crate::schema::conversations;

/// Which conversations; what is `None` allows all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of one number.
    pub connection: Option<ConnectionId>,
    /// With one person.
    pub contact: Option<ContactId>,
    /// Looked after by this one; `Some(None)`: by nobody.
    pub assignee: Option<Option<String>>,
    /// Done, or not.
    pub is_closed: Option<bool>,
    /// The person wrote after this moment, or (`false`) not: whether the window is open.
    pub wrote_since: Option<(DateTime<Utc>, bool)>,
    /// With inbound messages that nobody has read, or without.
    pub is_unread: Option<bool>,
}

/// Lists the conversations that fit, newest first.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn list(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    filter: &Filter,
    before: Option<ConversationId>,
    limit: i64,
) -> Result<Vec<Conversation>, StorageError> {
    let mut query = conversations::table
        .filter(conversations::workspace_id.eq(workspace.as_uuid()))
        .order(conversations::id.desc())
        .limit(limit)
        .select(Conversation::as_select())
        .into_boxed();
    if let Some(connection) = filter.connection {
        query = query.filter(conversations::connection_id.eq(connection.as_uuid()));
    }
    if let Some(contact) = filter.contact {
        query = query.filter(conversations::contact_id.eq(contact.as_uuid()));
    }
    match &filter.assignee {
        None => {}
        Some(None) => query = query.filter(conversations::assignee.is_null()),
        Some(Some(name)) => query = query.filter(conversations::assignee.eq(name.clone())),
    }
    match filter.is_closed {
        None => {}
        Some(true) => query = query.filter(conversations::closed_at.is_not_null()),
        Some(false) => query = query.filter(conversations::closed_at.is_null()),
    }
    if let Some((moment, is_since)) = filter.wrote_since {
        let since = conversations::customer_wrote_at.gt(moment);
        let never = conversations::customer_wrote_at.is_null();
        query = match is_since {
            true => query.filter(since),
            false => query.filter(never.or(conversations::customer_wrote_at.le(moment))),
        };
    }
    if let Some(is_unread) = filter.is_unread {
        let unread = "EXISTS (SELECT 1 FROM messages m WHERE m.conversation_id = conversations.id \
                      AND m.sequence > conversations.read_sequence AND m.direction = 'inbound')";
        let wanted = if is_unread { unread.to_owned() } else { format!("NOT {unread}") };
        query = query.filter(sql::<Bool>(&wanted));
    }
    if let Some(before) = before {
        query = query.filter(conversations::id.lt(before.as_uuid()));
    }
    Ok(query.load(conn).await?)
}

/// What to change; `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Who looks after it; `Some(None)`: nobody.
    pub assignee: Option<Option<String>>,
    /// Done, or open again.
    pub is_closed: Option<bool>,
    /// Whether a bot may answer.
    pub is_bot_on: Option<bool>,
    /// Everything up to this place was read; it never goes back.
    pub read_through: Option<i64>,
}

/// How a conversation was before a change.
#[derive(Clone, Debug, PartialEq, Eq, diesel::Queryable)]
pub struct Before {
    /// Who looked after it.
    pub assignee: Option<String>,
    /// Since when it was done.
    pub closed_at: Option<DateTime<Utc>>,
}

// A bot that is switched off has nothing left to answer: whatever waits for it has had its turn.
statement! {
    ChangeOne(
        workspace: Uuid,
        id: Uuid,
        sets_assignee: bool,
        assignee: Option<String>,
        is_closed: Option<bool>,
        is_bot_on: Option<bool>,
        read_through: Option<i64>,
        now: DateTime<Utc>,
    ) -> (Nullable<Text>, Nullable<Timestamptz>) {
        "UPDATE conversations c SET assignee = CASE WHEN " [sets_assignee: Bool] " THEN "
        [assignee: Nullable<Text>] " ELSE c.assignee END, closed_at = CASE " [is_closed: Nullable<Bool>]
        " WHEN true THEN COALESCE(c.closed_at, " [now: Timestamptz]
        ") WHEN false THEN NULL ELSE c.closed_at END, is_bot_on = COALESCE("
        [is_bot_on: Nullable<Bool>] ", c.is_bot_on), bot_sequence = CASE WHEN NOT "
        [is_bot_on: Nullable<Bool>] " THEN c.last_sequence ELSE c.bot_sequence END, \
         read_sequence = GREATEST(c.read_sequence, LEAST(c.last_sequence, COALESCE("
        [read_through: Nullable<BigInt>] ", 0))), updated_at = " [now: Timestamptz]
        " FROM (SELECT id, assignee, closed_at FROM conversations WHERE workspace_id = "
        [workspace: sql_types::Uuid] " AND id = " [id: sql_types::Uuid] " FOR UPDATE) old \
         WHERE c.id = old.id RETURNING old.assignee, old.closed_at"
    }
}

/// Changes a conversation of a workspace; answers how it was. `None`: there is no such conversation.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn change(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: ConversationId,
    change: Change,
    now: DateTime<Utc>,
) -> Result<Option<Before>, StorageError> {
    let statement = ChangeOne {
        workspace: workspace.as_uuid(),
        id: id.as_uuid(),
        sets_assignee: change.assignee.is_some(),
        assignee: change.assignee.flatten(),
        is_closed: change.is_closed,
        is_bot_on: change.is_bot_on,
        read_through: change.read_through,
        now,
    };
    Ok(statement.get_result(tx).await.optional()?)
}
