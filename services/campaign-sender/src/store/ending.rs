//! Whether everybody in a campaign had a turn.

use diesel::sql_types::{self, BigInt, Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::CampaignId;
use kernel::statement;
use storage::StorageError;
use uuid::Uuid;

statement! {
    Pin(id: Uuid) -> Text {
        "SELECT status FROM campaigns WHERE id = " [id: sql_types::Uuid] " FOR NO KEY UPDATE"
    }
}

/// Locks the campaign against everything that feeds, claims or moves it; returns its status.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn pin(
    tx: &mut AsyncPgConnection,
    id: CampaignId,
) -> Result<Option<String>, StorageError> {
    let mut rows: Vec<String> = Pin { id: id.as_uuid() }.load(tx).await?;
    Ok(rows.pop())
}

statement! {
    ReadLeft(id: Uuid) -> (Bool, BigInt, BigInt) {
        "SELECT EXISTS (SELECT 1 FROM campaign_chunks WHERE campaign_id = " [id: sql_types::Uuid]
        " AND state = 'waiting') OR EXISTS (SELECT 1 FROM outbound_messages WHERE campaign_id = "
        [id: sql_types::Uuid] " AND state IN ('ready', 'held', 'sending')), \
         (SELECT coalesce(sum(n), 0)::bigint FROM campaign_counts WHERE campaign_id = " [id: sql_types::Uuid]
        " AND state IN ('failed', 'uncertain')), \
         (SELECT coalesce(sum(n), 0)::bigint FROM campaign_counts WHERE campaign_id = " [id: sql_types::Uuid]
        " AND state = 'accepted')"
    }
}

/// What is left of a campaign.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    /// Whether somebody's turn has not ended.
    pub(crate) is_open: bool,
    /// How many failed or are uncertain.
    pub(crate) issues: i64,
    /// How many messages Meta took.
    pub(crate) accepted: i64,
}

/// Reads what is left.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn left(tx: &mut AsyncPgConnection, id: CampaignId) -> Result<Left, StorageError> {
    let (is_open, issues, accepted) = ReadLeft { id: id.as_uuid() }.get_result(tx).await?;
    Ok(Left { is_open, issues, accepted })
}
