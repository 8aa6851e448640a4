//! Turns hints into looks: at what is due, the most urgent first, and at news.

use std::sync::Arc;

use contracts::sync::SyncTick;
use kernel::Clock;
use messaging::{BatchHandler, Delivery, Fault, Verdict};
use storage::Database;

use super::drivers::{self, Drivers};
use super::news::News;
use crate::store::runs;

/// Consumes the family `sync.templates`.
pub(super) struct Hinted {
    drivers: Drivers,
    news: News,
    db: Database,
    clock: Arc<dyn Clock>,
}

impl Hinted {
    pub(super) const fn new(
        drivers: Drivers,
        news: News,
        db: Database,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { drivers, news, db, clock }
    }
}

impl BatchHandler for Hinted {
    type Message = SyncTick;

    async fn handle(&self, batch: Vec<Delivery<SyncTick>>) -> Result<Vec<Verdict>, Fault> {
        if batch.iter().any(|delivery| delivery.message.run_id.is_empty()) {
            self.news.act().await?;
        }
        let mut conn = self.db.connection().await?;
        let due = runs::due(&mut conn, self.clock.now(), drivers::MOST).await?;
        drop(conn);
        self.drivers.look(due);
        Ok(batch.iter().map(|_| Verdict::Done).collect())
    }
}
