//! WhatsApp Business Accounts, as far as their templates go.

use diesel::sql_types::{self, Array, BigInt, Text};
use diesel_async::RunQueryDsl;
use kernel::ids::{ConnectionId, WorkspaceId};
use kernel::{WabaId, statement};
use storage::{AsyncPgConnection, StorageError};
use uuid::Uuid;

statement! {
    Know(workspace: Uuid, waba: String) -> () {
        "INSERT INTO template_accounts (workspace_id, waba_id) VALUES (" [workspace: sql_types::Uuid]
        ", " [waba: Text] ") ON CONFLICT DO NOTHING"
    }
}

statement! {
    Lock(workspace: Uuid, waba: String) -> sql_types::Uuid {
        "SELECT workspace_id FROM template_accounts WHERE workspace_id = "
        [workspace: sql_types::Uuid] " AND waba_id = " [waba: Text] " FOR UPDATE"
    }
}

/// Locks an account until the transaction ends: before its templates are changed.
pub(crate) async fn lock(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    waba: &WabaId,
) -> Result<(), StorageError> {
    let (workspace, waba) = (workspace.as_uuid(), waba.as_str().to_owned());
    Know { workspace, waba: waba.clone() }.execute(tx).await?;
    let _locked: Vec<Uuid> = Lock { workspace, waba }.load(tx).await?;
    Ok(())
}

statement! {
    Sharing(waba: String) -> BigInt {
        "SELECT count(*) FROM connections WHERE archived_at IS NULL AND waba_id = " [waba: Text]
    }
}

/// How many living connections of the installation share an account, at least one.
pub(crate) async fn sharing(
    conn: &mut AsyncPgConnection,
    waba: &WabaId,
) -> Result<u32, StorageError> {
    let counts: Vec<i64> = Sharing { waba: waba.as_str().to_owned() }.load(conn).await?;
    let count = counts.into_iter().sum::<i64>();
    Ok(u32::try_from(count).unwrap_or(u32::MAX).max(1))
}

/// An account of one workspace, and a connection that may speak for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Account {
    pub(crate) workspace: WorkspaceId,
    pub(crate) waba: String,
    pub(crate) connection: ConnectionId,
}

statement! {
    Owners(wabas: Vec<String>) -> (sql_types::Uuid, Text, sql_types::Uuid) {
        "SELECT DISTINCT ON (workspace_id, waba_id) workspace_id, waba_id, id FROM connections \
         WHERE archived_at IS NULL AND waba_id = ANY(" [wabas: Array<Text>]
        ") ORDER BY workspace_id, waba_id, id"
    }
}

/// The accounts behind Meta's ids, sorted: each workspace that has connected one has its own.
pub(crate) async fn owners(
    conn: &mut AsyncPgConnection,
    wabas: Vec<String>,
) -> Result<Vec<Account>, StorageError> {
    let rows: Vec<(Uuid, String, Uuid)> = Owners { wabas }.load(conn).await?;
    let account = |(workspace, waba, connection)| Account {
        workspace: WorkspaceId::from_uuid(workspace),
        waba,
        connection: ConnectionId::from_uuid(connection),
    };
    Ok(rows.into_iter().map(account).collect())
}
