//! Gives up messages whose time to live is over: Meta drops them without a word.
//!
//! A campaign's messages are looked at once, when its last one has had its time. Doing it again, or in two
//! processes at once, changes nothing.

use std::sync::Arc;
use std::time::Duration;

use diesel_async::AsyncConnection;
use kernel::{Clock, chain};
use storage::campaigns::counts::{self, Changes};
use storage::campaigns::expiry::expire;
use storage::{Database, StorageError};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::store::expiry::{self, Due};

/// How often it looks: one cheap statement.
const EVERY: Duration = Duration::from_secs(10);

/// Recipients looked at in one transaction: some tenths of a second.
const STEP: i32 = 5_000;

pub(super) async fn run(
    db: Database,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        if let Err(error) = look(&db, clock.as_ref(), &stop).await {
            warn!(error = %chain(&error), "expired messages will be looked for again");
        }
    }
    Ok(())
}

async fn look(
    db: &Database,
    clock: &dyn Clock,
    stop: &CancellationToken,
) -> Result<(), StorageError> {
    let mut conn = db.connection().await?;
    let due = expiry::due(&mut conn, clock.now()).await?;
    drop(conn);
    for campaign in due {
        let Some(expired) = give_up(db, clock, campaign, stop).await? else { return Ok(()) };
        if expired > 0 {
            info!(campaign.id = %campaign.id, count = expired, "messages expired");
        }
    }
    Ok(())
}

/// Returns how many of the campaign's messages expired; `None` when the process stops before the end.
async fn give_up(
    db: &Database,
    clock: &dyn Clock,
    Due { id, recipients, before }: Due,
    stop: &CancellationToken,
) -> Result<Option<usize>, StorageError> {
    let mut expired = 0;
    let mut after: i32 = 0;
    while i64::from(after) < recipients {
        if stop.is_cancelled() {
            return Ok(None);
        }
        let range = (after, after.saturating_add(STEP));
        let now = clock.now();
        let mut conn = db.connection().await?;
        expired += (*conn)
            .transaction(async |tx| {
                let mut changes = Changes::default();
                let expired = expire(tx, id, range, before, &mut changes).await?;
                counts::apply(tx, changes, now).await?;
                Ok::<_, StorageError>(expired)
            })
            .await?;
        after = range.1;
    }
    let mut conn = db.connection().await?;
    expiry::done(&mut conn, id, clock.now()).await?;
    Ok(Some(expired))
}
