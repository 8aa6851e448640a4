//! Messages that Meta took and then dropped without a word, because their time to live was over.
//!
//! Invariant: "expired" is what our clock says; a status that says better overrules it, however late.

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Integer, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::CampaignId;
use uuid::Uuid;

use super::counts::{Changes, End};
use crate::StorageError;
use kernel::statement;

statement! {
    Expire(campaign: Uuid, after: i32, through: i32, before: DateTime<Utc>) -> sql_types::Uuid {
        "WITH mine AS (SELECT m.id FROM campaign_recipients r JOIN outbound_messages m ON m.id = r.id \
            WHERE r.campaign_id = " [campaign: sql_types::Uuid] " AND r.n > " [after: Integer] " AND r.n <= "
        [through: Integer] " AND m.state = 'accepted' AND m.delivered_at IS NULL AND m.accepted_at < "
        [before: Timestamptz] " ORDER BY m.id FOR UPDATE OF m) \
         UPDATE outbound_messages m SET state = 'expired' FROM mine WHERE m.id = mine.id RETURNING m.id"
    }
}

/// Gives up those of the campaign's messages, of its recipients behind number `after` up to `through`,
/// that Meta took before `before` and that have reached no phone. Returns how many; apply `changes` last.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn expire(
    tx: &mut AsyncPgConnection,
    campaign: CampaignId,
    (after, through): (i32, i32),
    before: DateTime<Utc>,
    changes: &mut Changes,
) -> Result<usize, StorageError> {
    let expire = Expire { campaign: campaign.as_uuid(), after, through, before };
    let expired: Vec<Uuid> = expire.load(tx).await?;
    for _message in &expired {
        changes.moved(campaign, Some(&End::Accepted), Some(&End::Expired));
    }
    Ok(expired.len())
}
