//! Finds campaigns whose time has come, and those whose tick was lost: one cheap statement.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use kernel::{Clock, chain};
use storage::Database;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::drivers::Drivers;
use crate::store::work;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(3);

pub(super) async fn run(
    drivers: Drivers,
    db: Database,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        let due = match db.connection().await {
            Ok(mut conn) => work::due(&mut conn, clock.now()).await,
            Err(error) => Err(error),
        };
        match due {
            // Whether this process or another one is at it is all the same here.
            Ok(due) => drop(join_all(due.into_iter().map(|id| drivers.look(id))).await),
            Err(error) => {
                warn!(error = %chain(&error), "search for due campaigns will be repeated")
            }
        }
    }
    Ok(())
}
