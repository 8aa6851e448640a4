//! Colleagues' notes about people. They move with their contact when it is merged, and go with it.

use chrono::{DateTime, Utc};
use diesel::OptionalExtension as _;
use diesel::sql_types::{self, BigInt, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{ContactId, NoteId, WorkspaceId};
use kernel::statement;
use storage::StorageError;
use uuid::Uuid;

/// A note as stored.
#[derive(Clone, Debug, diesel::Queryable)]
pub(crate) struct Note {
    id: Uuid,
    /// Who wrote it: an API key.
    pub(crate) author: String,
    pub(crate) text: String,
    pub(crate) created_at: DateTime<Utc>,
}

impl Note {
    pub(crate) fn id(&self) -> NoteId {
        NoteId::from_uuid(self.id)
    }
}

/// The columns of a [`Note`], in its order.
type Row = (sql_types::Uuid, Text, Text, Timestamptz);

statement! {
    Add(id: Uuid, workspace: Uuid, contact: Uuid, author: String, text: String, now: DateTime<Utc>) -> Row {
        "INSERT INTO contact_notes (id, workspace_id, contact_id, author, text, created_at) SELECT "
        [id: sql_types::Uuid] ", c.workspace_id, c.id, " [author: Text] ", " [text: Text] ", "
        [now: Timestamptz] " FROM contacts c WHERE c.workspace_id = " [workspace: sql_types::Uuid]
        " AND c.id = " [contact: sql_types::Uuid] " RETURNING id, author, text, created_at"
    }
}

/// Adds a note; `None` when there is no such contact in the workspace.
pub(crate) async fn add(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    contact: ContactId,
    author: String,
    text: String,
    now: DateTime<Utc>,
) -> Result<Option<Note>, StorageError> {
    let (id, workspace) = (NoteId::new().as_uuid(), workspace.as_uuid());
    let add = Add { id, workspace, contact: contact.as_uuid(), author, text, now };
    Ok(add.get_result(conn).await.optional()?)
}

statement! {
    List(workspace: Uuid, contact: Uuid, before: Option<Uuid>, limit: i64) -> Row {
        "SELECT id, author, text, created_at FROM contact_notes WHERE workspace_id = "
        [workspace: sql_types::Uuid] " AND contact_id = " [contact: sql_types::Uuid] " AND ("
        [before: Nullable<sql_types::Uuid>] " IS NULL OR id < " [before: Nullable<sql_types::Uuid>]
        ") ORDER BY id DESC LIMIT " [limit: BigInt]
    }
}

/// The notes about a contact, newest first.
pub(crate) async fn list(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    contact: ContactId,
    before: Option<NoteId>,
    limit: i64,
) -> Result<Vec<Note>, StorageError> {
    let before = before.map(|id| id.as_uuid());
    let (workspace, contact) = (workspace.as_uuid(), contact.as_uuid());
    Ok(List { workspace, contact, before, limit }.load(conn).await?)
}

statement! {
    Remove(workspace: Uuid, contact: Uuid, id: Uuid) -> Row {
        "DELETE FROM contact_notes WHERE workspace_id = " [workspace: sql_types::Uuid]
        " AND contact_id = " [contact: sql_types::Uuid] " AND id = " [id: sql_types::Uuid]
        " RETURNING id, author, text, created_at"
    }
}

/// Takes a note away; `None` when it is not there.
pub(crate) async fn remove(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    contact: ContactId,
    id: NoteId,
) -> Result<Option<Note>, StorageError> {
    let (workspace, contact) = (workspace.as_uuid(), contact.as_uuid());
    let remove = Remove { workspace, contact, id: id.as_uuid() };
    Ok(remove.get_result(conn).await.optional()?)
}
