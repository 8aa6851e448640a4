//! Tenants.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::WorkspaceId;
use uuid::Uuid;

use crate::StorageError;
use crate::schema::workspaces;

/// Finds the workspace called `name`, or makes it.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn ensure(
    tx: &mut AsyncPgConnection,
    name: &str,
    now: DateTime<Utc>,
) -> Result<WorkspaceId, StorageError> {
    diesel::insert_into(workspaces::table)
        .values((
            workspaces::id.eq(WorkspaceId::new().as_uuid()),
            workspaces::name.eq(name),
            workspaces::created_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .execute(tx)
        .await?;
    let id: Uuid = workspaces::table
        .filter(workspaces::name.eq(name))
        .select(workspaces::id)
        .first(tx)
        .await?;
    Ok(WorkspaceId::from_uuid(id))
}
