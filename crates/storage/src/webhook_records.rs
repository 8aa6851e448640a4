//! Webhook elements that are no message and no status: kept as they came, never lost (F1).

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, Bytea, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{ConnectionId, WorkspaceId};
use uuid::Uuid;

use crate::StorageError;
use kernel::statement;

/// An element to keep.
#[derive(Clone, Debug)]
pub struct WebhookRecord {
    /// Its ledger key.
    pub event_id: Uuid,
    /// The tenant, when the connection is known.
    pub workspace_id: Option<WorkspaceId>,
    /// The connection, when known.
    pub connection_id: Option<ConnectionId>,
    /// `changes[].field`.
    pub field: String,
    /// `entry[].id`.
    pub waba_id: String,
    /// `metadata.phone_number_id`, or empty.
    pub phone_number_id: String,
    /// The JSON as received.
    pub item: Vec<u8>,
    /// `entry[].time`, if it was given.
    pub happened_at: Option<DateTime<Utc>>,
}

statement! {
    Insert(
        ids: Vec<Uuid>,
        workspaces: Vec<Option<Uuid>>,
        connections: Vec<Option<Uuid>>,
        fields: Vec<String>,
        wabas: Vec<String>,
        numbers: Vec<String>,
        items: Vec<Vec<u8>>,
        happened: Vec<Option<DateTime<Utc>>>,
        now: DateTime<Utc>,
    ) -> () {
        "INSERT INTO webhook_records (event_id, workspace_id, connection_id, field, waba_id, \
         phone_number_id, item, happened_at, received_at) SELECT s.*, " [now: Timestamptz] " FROM unnest("
        [ids: Array<sql_types::Uuid>] ", "
        [workspaces: Array<Nullable<sql_types::Uuid>>] ", "
        [connections: Array<Nullable<sql_types::Uuid>>] ", "
        [fields: Array<Text>] ", "
        [wabas: Array<Text>] ", "
        [numbers: Array<Text>] ", "
        [items: Array<Bytea>] ", "
        [happened: Array<Nullable<Timestamptz>>]
        ") AS s ON CONFLICT DO NOTHING"
    }
}

/// Keeps elements.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn insert(
    tx: &mut AsyncPgConnection,
    rows: Vec<WebhookRecord>,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    if rows.is_empty() {
        return Ok(());
    }
    let statement = Insert {
        ids: rows.iter().map(|row| row.event_id).collect(),
        workspaces: rows.iter().map(|row| row.workspace_id.map(|id| id.as_uuid())).collect(),
        connections: rows.iter().map(|row| row.connection_id.map(|id| id.as_uuid())).collect(),
        fields: rows.iter().map(|row| row.field.clone()).collect(),
        wabas: rows.iter().map(|row| row.waba_id.clone()).collect(),
        numbers: rows.iter().map(|row| row.phone_number_id.clone()).collect(),
        happened: rows.iter().map(|row| row.happened_at).collect(),
        items: rows.into_iter().map(|row| row.item).collect(),
        now,
    };
    statement.execute(tx).await?;
    Ok(())
}
