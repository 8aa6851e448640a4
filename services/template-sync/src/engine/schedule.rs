//! Makes a run of what is due by the clock, or was asked for by news.

use std::sync::Arc;

use chrono::TimeDelta;
use diesel_async::AsyncConnection;
use kernel::Clock;
use kernel::ids::TemplateSyncId;
use storage::{AsyncPgConnection, Database, StorageError};
use tracing::debug;

use crate::store::runs::{self, NewRun, Trigger};
use crate::store::schedules::{self, DueConnection};

/// How long news that ask for a sync wait for more of their kind.
const GATHERING: TimeDelta = TimeDelta::seconds(5);

pub(super) struct Schedule {
    db: Database,
    clock: Arc<dyn Clock>,
    every: i64,
}

impl Schedule {
    pub(super) const fn new(db: Database, clock: Arc<dyn Clock>, every: i64) -> Self {
        Self { db, clock, every }
    }

    /// Starts a run for each account whose time has come.
    pub(super) async fn start_due(&self) -> Result<(), StorageError> {
        let now = self.clock.now();
        let mut conn = self.db.connection().await?;
        schedules::plan(&mut conn, self.every, now).await?;
        let due = schedules::due(&mut conn, now - GATHERING, now).await?;
        for connection in due {
            let id = connection.connection;
            let is_started =
                (*conn).transaction(async |tx| self.start(tx, connection).await).await?;
            debug!(connection.id = %id, is_started, "sync is due");
        }
        Ok(())
    }

    async fn start(
        &self,
        tx: &mut AsyncPgConnection,
        due: DueConnection,
    ) -> Result<bool, StorageError> {
        let now = self.clock.now();
        let DueConnection { workspace, connection, waba, is_asked } = due;
        if !schedules::take(tx, connection, now - GATHERING, self.every, now).await? {
            return Ok(false);
        }
        let trigger = if is_asked { Trigger::Webhook } else { Trigger::Schedule };
        let requested_by = "template-sync".to_owned();
        let id = TemplateSyncId::new();
        let new = NewRun { id, workspace, connection, waba, trigger, requested_by };
        // One that runs already will do: whoever asked during its pages is asked for again at its end.
        runs::start(tx, new, now).await
    }
}
