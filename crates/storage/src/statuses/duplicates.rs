//! Proofs that Meta took a message twice: written down, never hidden.

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::StatusUpdate;
use super::rows::Row;
use crate::StorageError;
use kernel::statement;

statement! {
    RecordDuplicate(
        message: Uuid,
        attempt: Option<Uuid>,
        known: Option<String>,
        seen: String,
        now: DateTime<Utc>,
    ) -> () {
        "INSERT INTO duplicate_incidents (message_id, attempt_id, wamid_known, wamid_seen, seen_at) \
         VALUES (" [message: sql_types::Uuid] ", " [attempt: Nullable<sql_types::Uuid>] ", "
        [known: Nullable<Text>] ", " [seen: Text] ", " [now: Timestamptz] ") ON CONFLICT DO NOTHING"
    }
}

pub(super) async fn record_duplicate(
    tx: &mut AsyncPgConnection,
    row: &Row,
    update: &StatusUpdate,
    now: DateTime<Utc>,
) -> Result<usize, StorageError> {
    let statement = RecordDuplicate {
        message: row.id,
        attempt: update.attempt_id.map(|id| id.as_uuid()),
        known: row.progress.wamid.clone(),
        seen: update.wamid.as_str().to_owned(),
        now,
    };
    Ok(statement.execute(tx).await?)
}
