//! Which connection a webhook's phone number belongs to: kept for some seconds.
//!
//! Only found connections are kept. A number nobody has connected is looked up again by every batch,
//! so a connection made a moment ago receives its first message.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use contracts::inbound::WebhookEvent;
use kernel::ids::{ConnectionId, WorkspaceId};
use storage::{Database, StorageError, connections};
use tokio::time::Instant;

/// An archived connection receives for this long at most, and a changed one is as it was.
const FRESH: Duration = Duration::from_secs(5);

/// A connection, as far as inbound events need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) connection_id: ConnectionId,
    pub(super) workspace_id: WorkspaceId,
    /// Whether STOP ends campaigns to whoever writes it here.
    pub(super) heeds_stop_words: bool,
}

pub(super) struct Lines {
    db: Database,
    known: Mutex<HashMap<String, (Instant, Line)>>,
}

impl Lines {
    pub(super) fn new(db: Database) -> Self {
        Self { db, known: Mutex::default() }
    }

    /// The lines of all numbers that `events` name.
    pub(super) async fn find<'e>(
        &self,
        events: impl Iterator<Item = &'e WebhookEvent>,
    ) -> Result<HashMap<String, Line>, StorageError> {
        let numbers: HashSet<&str> = events
            .map(|event| event.phone_number_id.as_str())
            .filter(|number| !number.is_empty())
            .collect();
        let (mut found, missing) = self.fresh(numbers);
        if missing.is_empty() {
            return Ok(found);
        }
        let mut conn = self.db.connection().await?;
        for row in connections::by_phone_number_ids(&mut conn, &missing).await? {
            let line = Line {
                connection_id: row.id(),
                workspace_id: row.workspace_id(),
                heeds_stop_words: row.heeds_stop_words,
            };
            let number = row.phone_number_id().into_string();
            self.known
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(number.clone(), (Instant::now(), line));
            found.insert(number, line);
        }
        Ok(found)
    }

    fn fresh<'n>(&self, numbers: HashSet<&'n str>) -> (HashMap<String, Line>, Vec<&'n str>) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = HashMap::with_capacity(numbers.len());
        let mut missing = Vec::new();
        for number in numbers {
            match known.get(number) {
                Some((read_at, line)) if read_at.elapsed() < FRESH => {
                    found.insert(number.to_owned(), *line);
                }
                Some(_) | None => missing.push(number),
            }
        }
        (found, missing)
    }
}
