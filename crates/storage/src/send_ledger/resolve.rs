//! A person's word about a message of which nobody knows whether Meta took it.
//!
//! Messages of campaigns are counted: those are resolved by [`crate::campaigns::standing::resolve`].

use chrono::{DateTime, Utc};
use diesel::OptionalExtension as _;
use diesel::sql_types::{self, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{CampaignId, ConnectionId, ConversationId, MessageId, WorkspaceId};
use kernel::statement;
use uuid::Uuid;

use super::Source;
use crate::StorageError;
use crate::campaigns::standing::Resolution;

/// A message of the ledger, as far as a decision about it needs it.
#[derive(Clone, Debug)]
pub struct Open {
    /// The number it leaves from.
    pub connection_id: ConnectionId,
    /// Its thread.
    pub conversation_id: ConversationId,
    /// The campaign it belongs to.
    pub campaign_id: Option<CampaignId>,
    /// What kind of work it comes from; `None` when only a newer version knows it.
    pub source: Option<Source>,
    /// Where it stands.
    pub state: String,
}

type Row = (Uuid, Uuid, Option<Uuid>, String, String);

statement! {
    Find(workspace: Uuid, id: Uuid)
    -> (sql_types::Uuid, sql_types::Uuid, Nullable<sql_types::Uuid>, Text, Text) {
        "SELECT connection_id, conversation_id, campaign_id, source, state FROM outbound_messages \
         WHERE workspace_id = " [workspace: sql_types::Uuid] " AND id = " [id: sql_types::Uuid]
    }
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
) -> Result<Option<Open>, StorageError> {
    let find = Find { workspace: workspace.as_uuid(), id: id.as_uuid() };
    let row: Option<Row> = find.get_result(conn).await.optional()?;
    Ok(row.map(|(connection, conversation, campaign, source, state)| Open {
        connection_id: ConnectionId::from_uuid(connection),
        conversation_id: ConversationId::from_uuid(conversation),
        campaign_id: campaign.map(CampaignId::from_uuid),
        source: Source::read(&source),
        state,
    }))
}

statement! {
    Resolve(workspace: Uuid, id: Uuid, state: &'static str, now: DateTime<Utc>) -> () {
        "UPDATE outbound_messages SET state = " [state: Text] ", not_before = NULL, \
         accepted_at = CASE WHEN " [state: Text] " = 'accepted' THEN " [now: Timestamptz]
        " ELSE accepted_at END, failed_at = CASE WHEN " [state: Text] " = 'failed' THEN "
        [now: Timestamptz] " ELSE failed_at END WHERE workspace_id = "
        [workspace: sql_types::Uuid] " AND id = " [id: sql_types::Uuid]
        " AND campaign_id IS NULL AND state = 'unknown'"
    }
}

/// Decides about a message that is uncertain and of no campaign; `false` when it is neither. News from
/// Meta overrules the decision.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn resolve(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: MessageId,
    as_what: Resolution,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let state = match as_what {
        Resolution::Sent => "accepted",
        Resolution::NotSent => "failed",
        Resolution::Resend => "ready",
    };
    let resolve = Resolve { workspace: workspace.as_uuid(), id: id.as_uuid(), state, now };
    Ok(resolve.execute(tx).await? > 0)
}
