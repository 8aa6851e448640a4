//! Finds what hints did not bring: runs that nobody works on, news that nobody acts upon, and
//! connections whose time has come.

use std::sync::Arc;
use std::time::Duration;

use kernel::{Clock, chain};
use storage::{Database, StorageError};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::drivers::{self, Drivers};
use super::news::News;
use super::schedule::Schedule;
use crate::store::runs;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(2);

pub(super) struct Sweep {
    pub(super) drivers: Drivers,
    pub(super) news: News,
    pub(super) schedule: Schedule,
    pub(super) db: Database,
    pub(super) clock: Arc<dyn Clock>,
}

impl Sweep {
    pub(super) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            if let Err(error) = self.look().await {
                warn!(error = %chain(&error), "search for template work will be repeated");
            }
        }
        Ok(())
    }

    async fn look(&self) -> Result<(), StorageError> {
        self.news.act().await?;
        self.schedule.start_due().await?;
        let mut conn = self.db.connection().await?;
        let due = runs::due(&mut conn, self.clock.now(), drivers::MOST).await?;
        drop(conn);
        self.drivers.look(due);
        Ok(())
    }
}
