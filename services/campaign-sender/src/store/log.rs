//! Who did what to a campaign, and what it did by itself.

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, BigInt, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use kernel::ids::{CampaignId, WorkspaceId};
use kernel::statement;
use serde_json::Value;
use storage::{AsyncPgConnection, StorageError};
use uuid::Uuid;

/// An entry of a campaign's log.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Sorts by time; nobody outside needs to name an entry.
    pub(crate) id: Uuid,
    pub(crate) at: DateTime<Utc>,
    /// A key (`key_…`), or the part of the product that did it by itself.
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) detail: Value,
}

statement! {
    Append(
        id: Uuid,
        campaign: Uuid,
        workspace: Uuid,
        now: DateTime<Utc>,
        actor: String,
        action: &'static str,
        detail: Value,
    ) -> () {
        "INSERT INTO campaign_log (id, campaign_id, workspace_id, at, actor, action, detail) VALUES ("
        [id: sql_types::Uuid] ", " [campaign: sql_types::Uuid] ", " [workspace: sql_types::Uuid] ", "
        [now: Timestamptz] ", " [actor: Text] ", " [action: Text] ", " [detail: Jsonb] ")"
    }
}

/// Writes an entry, in the transaction that does what it tells.
pub(crate) async fn append(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    campaign: CampaignId,
    (actor, action, detail): (String, &'static str, Value),
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let append = Append {
        id: Uuid::now_v7(),
        campaign: campaign.as_uuid(),
        workspace: workspace.as_uuid(),
        now,
        actor,
        action,
        detail,
    };
    append.execute(tx).await?;
    Ok(())
}

statement! {
    List(workspace: Uuid, campaign: Uuid, before: Option<Uuid>, limit: i64)
    -> (sql_types::Uuid, Timestamptz, Text, Text, Jsonb) {
        "SELECT id, at, actor, action, detail FROM campaign_log WHERE workspace_id = "
        [workspace: sql_types::Uuid] " AND campaign_id = " [campaign: sql_types::Uuid]
        " AND id < COALESCE(" [before: Nullable<sql_types::Uuid>]
        ", 'ffffffff-ffff-ffff-ffff-ffffffffffff') ORDER BY id DESC LIMIT " [limit: BigInt]
    }
}

/// A campaign's log, newest first.
pub(crate) async fn list(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    campaign: CampaignId,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Entry>, StorageError> {
    let list = List { workspace: workspace.as_uuid(), campaign: campaign.as_uuid(), before, limit };
    let rows: Vec<(Uuid, DateTime<Utc>, String, String, Value)> = list.load(conn).await?;
    let entry = |(id, at, actor, action, detail)| Entry { id, at, actor, action, detail };
    Ok(rows.into_iter().map(entry).collect())
}
