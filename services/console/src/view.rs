//! Who may see which names.

use std::collections::HashMap;

use diesel::sql_types::{self, Array, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::WorkspaceId;
use kernel::statement;
use storage::StorageError;
use uuid::Uuid;

/// Whose eyes something is seen with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Everything: whoever can reach the servers themselves.
    Installation,
    /// What is named after something of this workspace. What cannot be attributed, such as a lock on a
    /// message's id, is nobody's.
    Workspace(WorkspaceId),
}

/// Whose a thing is, and what people call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owned {
    workspace: WorkspaceId,
    /// A connection's or a workspace's name.
    pub(crate) name: Option<String>,
}

impl View {
    /// Whether a thing with this owner is seen.
    pub(crate) fn sees(self, owned: Option<&Owned>) -> bool {
        match self {
            Self::Installation => true,
            Self::Workspace(own) => owned.is_some_and(|owned| owned.workspace == own),
        }
    }

    /// The tenant, for the audit log.
    pub(crate) const fn workspace(self) -> Option<WorkspaceId> {
        match self {
            Self::Installation => None,
            Self::Workspace(own) => Some(own),
        }
    }
}

statement! {
    Owners(ids: Vec<Uuid>) -> (Text, sql_types::Uuid, sql_types::Uuid, Nullable<Text>) {
        "WITH asked AS MATERIALIZED (SELECT DISTINCT unnest(" [ids: Array<sql_types::Uuid>] ") AS id) \
         SELECT 'cnx', c.id, c.workspace_id, c.name FROM connections c JOIN asked USING (id) \
         UNION ALL SELECT 'cnv', c.id, c.workspace_id, NULL FROM conversations c JOIN asked USING (id) \
         UNION ALL SELECT 'ctc', c.id, c.workspace_id, NULL FROM contacts c JOIN asked USING (id) \
         UNION ALL SELECT 'ws', w.id, w.id, w.name FROM workspaces w JOIN asked USING (id)"
    }
}

/// Whose each of `ids` (`cnx_…`) is. What is no id of ours, or of nothing that exists, is left out.
pub(crate) async fn owners<'i>(
    conn: &mut AsyncPgConnection,
    ids: impl Iterator<Item = &'i str>,
) -> Result<HashMap<String, Owned>, StorageError> {
    let digits = |id: &str| id.split_once('_').and_then(|(_, hex)| Uuid::try_parse(hex).ok());
    let ids: Vec<Uuid> = ids.filter_map(digits).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(String, Uuid, Uuid, Option<String>)> = Owners { ids }.load(conn).await?;
    let named = rows.into_iter().map(|(kind, id, workspace, name)| {
        let workspace = WorkspaceId::from_uuid(workspace);
        (format!("{kind}_{}", id.simple()), Owned { workspace, name })
    });
    Ok(named.collect())
}
