//! What a preview may know of a person.

use diesel::sql_types::{self, Jsonb, Nullable, Text};
use diesel_async::RunQueryDsl;
use kernel::ids::{ContactId, WorkspaceId};
use kernel::statement;
use serde_json::Value;
use storage::{AsyncPgConnection, StorageError};
use uuid::Uuid;

/// A person, as far as placeholders go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) name: Option<String>,
    pub(crate) number: Option<String>,
    pub(crate) attributes: Value,
}

statement! {
    Find(workspace: Uuid, id: Uuid) -> (Nullable<Text>, Nullable<Text>, Jsonb) {
        "SELECT name, wa_id, attributes FROM contacts WHERE workspace_id = "
        [workspace: sql_types::Uuid] " AND id = " [id: sql_types::Uuid]
    }
}

/// One person of a workspace.
pub(crate) async fn find(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: ContactId,
) -> Result<Option<Person>, StorageError> {
    let find = Find { workspace: workspace.as_uuid(), id: id.as_uuid() };
    let rows: Vec<(Option<String>, Option<String>, Value)> = find.load(conn).await?;
    let person = |(name, number, attributes)| Person { name, number, attributes };
    Ok(rows.into_iter().next().map(person))
}
