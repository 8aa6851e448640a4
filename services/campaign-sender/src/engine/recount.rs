//! Counts the recipients of campaigns at work again, and says when their numbers differ.

use std::collections::HashMap;
use std::time::Duration;

use kernel::chain;
use kernel::ids::CampaignId;
use storage::campaigns::{self, Numbers};
use storage::{Database, StorageError};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::meters;
use crate::store::work;

/// One campaign is recounted so often: a million recipients take the database some seconds.
const EVERY: Duration = Duration::from_secs(60);

pub(super) async fn run(db: Database, stop: CancellationToken) -> anyhow::Result<()> {
    let mut found: HashMap<CampaignId, i64> = HashMap::new();
    let mut last = None;
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        match next(&db, last).await {
            Ok(Some((campaign, difference))) => {
                last = Some(campaign);
                if difference > 0 {
                    error!(campaign.id = %campaign, difference, "numbers of a campaign differ from its rows");
                }
                found.insert(campaign, difference);
                meters::imbalance(found.values().sum());
            }
            Ok(None) => (),
            Err(error) => warn!(error = %chain(&error), "recount of campaigns will be repeated"),
        }
    }
    Ok(())
}

/// Recounts the campaign after `last`; returns by how many recipients it differs.
async fn next(
    db: &Database,
    last: Option<CampaignId>,
) -> Result<Option<(CampaignId, i64)>, StorageError> {
    let mut conn = db.connection().await?;
    let running = work::running(&mut conn).await?;
    let after = running.iter().find(|id| last.is_none_or(|last| **id > last));
    let Some(&campaign) = after.or(running.first()) else { return Ok(None) };
    let counted = (*conn)
        .build_transaction()
        .repeatable_read()
        .read_only()
        .run(async |tx| {
            let kept = campaigns::numbers(tx, &[campaign]).await?.remove(&campaign);
            let recounted = campaigns::recount(tx, campaign).await?;
            Ok::<_, StorageError>((kept.unwrap_or_default(), recounted))
        })
        .await?;
    Ok(Some((campaign, difference(&counted.0, &counted.1))))
}

fn difference(kept: &Numbers, recounted: &Numbers) -> i64 {
    let parts = |n: &Numbers| [n.total, n.accepted, n.failed(), n.skipped(), n.uncertain];
    parts(kept).iter().zip(parts(recounted)).map(|(kept, counted)| (kept - counted).abs()).sum()
}
