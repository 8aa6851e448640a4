//! What a request to send said beside the message: who asked, and the caller's own data.

use diesel::sql_types::{self, Jsonb, Nullable};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{ApiKeyId, MessageId, WorkspaceId};
use kernel::statement;
use serde_json::Value;
use uuid::Uuid;

use crate::StorageError;

statement! {
    Insert(message: Uuid, workspace: Uuid, requested_by: Uuid, metadata: Option<Value>) -> () {
        "INSERT INTO message_requests (message_id, workspace_id, requested_by, metadata) VALUES ("
        [message: sql_types::Uuid] ", " [workspace: sql_types::Uuid] ", "
        [requested_by: sql_types::Uuid] ", " [metadata: Nullable<Jsonb>] ")"
    }
}

/// Writes down who asked for a message.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn insert(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    message: MessageId,
    requested_by: ApiKeyId,
    metadata: Option<Value>,
) -> Result<(), StorageError> {
    let insert = Insert {
        message: message.as_uuid(),
        workspace: workspace.as_uuid(),
        requested_by: requested_by.as_uuid(),
        metadata,
    };
    insert.execute(tx).await?;
    Ok(())
}
