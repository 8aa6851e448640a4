//! What a sender needs to know of a connection: kept for a few seconds, so that a send asks the
//! database for nothing but its ledger rows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kernel::PhoneNumberId;
use kernel::ids::ConnectionId;
use secrecy::SecretString;
use storage::sealed::{Column, Sealer};
use storage::{Database, StorageError, connections};
use tokio::time::Instant;

/// A rotated token or a changed limit is in force after this long.
const FRESH: Duration = Duration::from_secs(2);

/// One number to send from.
pub(crate) struct Line {
    pub(crate) phone_number_id: PhoneNumberId,
    pub(crate) token: SecretString,
    /// R1, when the connection has its own.
    pub(crate) api_per_minute: Option<u32>,
}

/// The numbers this process has sent from lately.
pub(crate) struct Lines {
    db: Database,
    sealer: Sealer,
    known: Mutex<HashMap<ConnectionId, (Instant, Arc<Line>)>>,
}

impl Lines {
    pub(crate) fn new(db: Database, sealer: Sealer) -> Self {
        Self { db, sealer, known: Mutex::default() }
    }

    /// Finds the line of one connection; `None` when it is archived.
    pub(crate) async fn find_one(
        &self,
        wanted: ConnectionId,
    ) -> Result<Option<Arc<Line>>, StorageError> {
        Ok(self.find(&[wanted]).await?.remove(&wanted))
    }

    /// Finds the lines of `wanted`; an archived connection has none.
    async fn find(
        &self,
        wanted: &[ConnectionId],
    ) -> Result<HashMap<ConnectionId, Arc<Line>>, StorageError> {
        let (mut found, missing) = self.fresh(wanted);
        if missing.is_empty() {
            return Ok(found);
        }
        let mut conn = self.db.connection().await?;
        for row in connections::by_ids(&mut conn, &missing).await? {
            let token = self.sealer.open(
                row.workspace_id(),
                Column::AccessToken,
                &row.access_token_sealed,
            )?;
            let line = Arc::new(Line {
                phone_number_id: row.phone_number_id(),
                token,
                api_per_minute: row.whatsapp_api_per_minute.and_then(|n| u32::try_from(n).ok()),
            });
            found.insert(row.id(), Arc::clone(&line));
            self.lock().insert(row.id(), (Instant::now(), line));
        }
        Ok(found)
    }

    fn fresh(
        &self,
        wanted: &[ConnectionId],
    ) -> (HashMap<ConnectionId, Arc<Line>>, Vec<ConnectionId>) {
        let known = self.lock();
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        for id in wanted {
            match known.get(id) {
                Some((read_at, line)) if read_at.elapsed() < FRESH => {
                    found.insert(*id, Arc::clone(line));
                }
                Some(_) | None => missing.push(*id),
            }
        }
        (found, missing)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ConnectionId, (Instant, Arc<Line>)>> {
        // A panic while the lock was held cannot have left the map half changed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
