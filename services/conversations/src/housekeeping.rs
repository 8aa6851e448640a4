//! What time brings: parked statuses whose message appeared, and memories that may fade.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use diesel_async::AsyncConnection;
use kernel::{Clock, chain};
use relay::Relay;
use storage::{Database, StorageError, events, idempotency, inbound_ledger, statuses};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::inbound::tell_steps;

/// How often parked statuses are looked at.
const PARKED_EVERY: Duration = Duration::from_secs(1);

/// How often old rows are deleted.
const OLD_EVERY: Duration = Duration::from_hours(1);

/// Rows handled in one transaction at most.
const MOST: i64 = 5_000;

/// A status of a message that has not appeared within a day belongs to another app.
const PARKED_FOR: TimeDelta = TimeDelta::days(1);

pub(crate) struct Housekeeping {
    pub(crate) db: Database,
    pub(crate) relay: Relay,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Housekeeping {
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut swept_at: Option<Instant> = None;
        while stop.run_until_cancelled(tokio::time::sleep(PARKED_EVERY)).await.is_some() {
            if let Err(error) = self.merge_parked().await {
                warn!(error = %chain(&error), "parked statuses wait");
            }
            if swept_at.is_none_or(|at| at.elapsed() >= OLD_EVERY) {
                swept_at = Some(Instant::now());
                if let Err(error) = self.forget_old().await {
                    warn!(error = %chain(&error), "old rows stay a little longer");
                }
            }
        }
    }

    async fn merge_parked(&self) -> Result<(), StorageError> {
        let now = self.clock.now();
        let mut conn = self.db.connection().await?;
        let told = (*conn)
            .transaction(async |tx| {
                let parked = statuses::take_parked(tx, MOST).await?;
                let told = tell_steps(statuses::apply(tx, parked, &[], now).await?);
                events::append(tx, &told, now).await?;
                Ok::<_, StorageError>(told)
            })
            .await?;
        drop(conn);
        self.relay.publish(told).await;
        Ok(())
    }

    async fn forget_old(&self) -> Result<(), StorageError> {
        let now = self.clock.now();
        let mut conn = self.db.connection().await?;
        statuses::drop_parked(&mut conn, now - PARKED_FOR).await?;
        let kept = TimeDelta::days(inbound_ledger::KEPT_DAYS.into());
        while inbound_ledger::forget(&mut conn, now - kept, MOST).await? > 0 {}
        let kept = TimeDelta::days(events::KEPT_DAYS.into());
        while events::forget(&mut conn, now - kept, MOST).await? > 0 {}
        while idempotency::forget(&mut conn, now, MOST).await? > 0 {}
        Ok(())
    }
}
