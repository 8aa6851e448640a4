//! Finds events whose publishing was interrupted.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel_async::AsyncConnection;
use kernel::ids::EventId;
use kernel::{Clock, chain};
use messaging::PublishError;
use storage::{StorageError, outbox};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Worker, outgoing};

/// How often the outbox is looked through.
const EVERY: Duration = Duration::from_millis(500);

/// Rounds between two counts for the metrics: counting reads the whole table.
const COUNTED_EVERY: u32 = 10;

/// Younger rows are still on the fast way.
const LEFT_BEHIND: TimeDelta = TimeDelta::seconds(2);

/// Rows locked by one transaction at most.
const MOST: i64 = 500;

#[derive(Debug, Error)]
enum SweepError {
    #[error("outbox cannot be read")]
    Storage(#[from] StorageError),
    #[error("outbox cannot be published")]
    Publish(#[from] PublishError),
}

impl From<diesel::result::Error> for SweepError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Storage(error.into())
    }
}

pub(super) async fn run(worker: Arc<Worker>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let pending = metrics::gauge!("switchyard_outbox_pending");
    let age = metrics::gauge!("switchyard_outbox_oldest_age_seconds");
    let mut rounds = 0_u32;
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        if rounds.is_multiple_of(COUNTED_EVERY) {
            match worker.backlog().await {
                Ok((count, oldest)) => {
                    let seconds = oldest.map_or(0, |oldest| (clock.now() - oldest).num_seconds());
                    pending.set(f64::from(i32::try_from(count).unwrap_or(i32::MAX)));
                    age.set(f64::from(i32::try_from(seconds).unwrap_or(i32::MAX)));
                }
                Err(error) => debug!(error = %chain(&error), "outbox cannot be counted"),
            }
        }
        rounds = rounds.wrapping_add(1);
        while worker.sweep_and_report(clock.now() - LEFT_BEHIND).await {}
    }
}

impl Worker {
    async fn backlog(&self) -> Result<(i64, Option<DateTime<Utc>>), StorageError> {
        let mut conn = self.db.connection().await?;
        outbox::backlog(&mut conn).await
    }

    /// Publishes one set; `true` when there may be more.
    async fn sweep_and_report(&self, before: DateTime<Utc>) -> bool {
        match self.sweep(before).await {
            Ok(0) => false,
            Ok(published) => {
                debug!(published, "events published by the sweep");
                true
            }
            Err(error) => {
                warn!(error = %chain(&error), "outbox sweep will be repeated");
                false
            }
        }
    }

    async fn sweep(&self, before: DateTime<Utc>) -> Result<usize, SweepError> {
        let mut conn = self.db.connection().await?;
        // The rows stay locked while they are published, so that two sweeps do not publish twice.
        // The publisher's own deadline (2 s) bounds the wait.
        (*conn)
            .transaction(async |tx| {
                let events = outbox::claim(tx, before, MOST).await?;
                if events.is_empty() {
                    return Ok(0);
                }
                self.publisher.publish_all(events.iter().map(outgoing).collect()).await?;
                let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
                outbox::delete(tx, &ids).await?;
                Ok(events.len())
            })
            .await
    }
}
