//! Exports as rows.
//!
//! Invariant: a workspace has one export that is not over, by a unique key; a run ends it only while no
//! later run has begun.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Timestamptz};
use diesel_async::RunQueryDsl;
use kernel::ids::{ExportId, WorkspaceId};
use serde_json::Value;
use storage::schema::contact_exports;
use storage::{AsyncPgConnection, StorageError};
use uuid::Uuid;

use super::table::Format;

/// The key that decides which of two exports runs.
const ONE_RUNNING: &str = "contact_exports_one_running";
const QUEUED: &str = "queued";
const RUNNING: &str = "running";
pub(crate) const COMPLETED: &str = "completed";
pub(crate) const FAILED: &str = "failed";
const EXPIRED: &str = "expired";
/// An export that is not over.
const OPEN: [&str; 2] = [QUEUED, RUNNING];

/// An export as stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = contact_exports)]
pub(crate) struct Export {
    id: Uuid,
    workspace_id: Uuid,
    pub(crate) status: String,
    pub(crate) filter: Value,
    format: String,
    pub(crate) has_bom: bool,
    pub(crate) attempts: i32,
    pub(crate) rows: i64,
    pub(crate) total: Option<i64>,
    pub(crate) file_name: Option<String>,
    pub(crate) file_bytes: Option<i64>,
    pub(crate) link_key: Vec<u8>,
    pub(crate) error_code: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

impl Export {
    pub(crate) fn id(&self) -> ExportId {
        ExportId::from_uuid(self.id)
    }

    pub(crate) fn workspace(&self) -> WorkspaceId {
        WorkspaceId::from_uuid(self.workspace_id)
    }

    pub(crate) fn format(&self) -> Format {
        Format::read(&self.format)
    }

    pub(crate) fn is_over(&self) -> bool {
        !OPEN.contains(&self.status.as_str())
    }
}

/// An export to store.
#[derive(Clone, Debug)]
pub(crate) struct NewExport {
    pub(crate) id: ExportId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) filter: Value,
    pub(crate) format: Format,
    pub(crate) has_bom: bool,
    pub(crate) link_key: Vec<u8>,
    pub(crate) created_by: String,
}

/// Stores an export; `None` when another one of the workspace is not over.
pub(crate) async fn insert(
    conn: &mut AsyncPgConnection,
    new: NewExport,
    now: DateTime<Utc>,
) -> Result<Option<Export>, StorageError> {
    let row = (
        contact_exports::id.eq(new.id.as_uuid()),
        contact_exports::workspace_id.eq(new.workspace.as_uuid()),
        contact_exports::status.eq(QUEUED),
        contact_exports::filter.eq(new.filter),
        contact_exports::format.eq(new.format.as_str()),
        contact_exports::has_bom.eq(new.has_bom),
        contact_exports::link_key.eq(new.link_key),
        contact_exports::created_by.eq(new.created_by),
        contact_exports::created_at.eq(now),
    );
    let inserted = diesel::insert_into(contact_exports::table)
        .values(row)
        .returning(Export::as_returning())
        .get_result(conn)
        .await
        .map_err(StorageError::from);
    match inserted {
        Ok(export) => Ok(Some(export)),
        Err(error) if error.violated_unique() == Some(ONE_RUNNING) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The export of a workspace that is not over.
pub(crate) async fn open(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
) -> Result<Option<ExportId>, StorageError> {
    let id: Option<Uuid> = contact_exports::table
        .filter(contact_exports::workspace_id.eq(workspace.as_uuid()))
        .filter(contact_exports::status.eq_any(OPEN))
        .select(contact_exports::id)
        .first(conn)
        .await
        .optional()?;
    Ok(id.map(ExportId::from_uuid))
}

/// All exports that are not over.
pub(crate) async fn all_open(
    conn: &mut AsyncPgConnection,
) -> Result<Vec<(ExportId, WorkspaceId)>, StorageError> {
    let rows: Vec<(Uuid, Uuid)> = contact_exports::table
        .filter(contact_exports::status.eq_any(OPEN))
        .order(contact_exports::id)
        .select((contact_exports::id, contact_exports::workspace_id))
        .load(conn)
        .await?;
    let row = |(id, workspace)| (ExportId::from_uuid(id), WorkspaceId::from_uuid(workspace));
    Ok(rows.into_iter().map(row).collect())
}

/// One export, whosever it is: for who has a link to its file.
pub(crate) async fn find_any(
    conn: &mut AsyncPgConnection,
    id: ExportId,
) -> Result<Option<Export>, StorageError> {
    Ok(contact_exports::table
        .filter(contact_exports::id.eq(id.as_uuid()))
        .select(Export::as_select())
        .first(conn)
        .await
        .optional()?)
}

/// One export of a workspace.
pub(crate) async fn find(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: ExportId,
) -> Result<Option<Export>, StorageError> {
    let found = find_any(conn, id).await?;
    Ok(found.filter(|export| export.workspace() == workspace))
}

/// Exports of a workspace, newest first.
pub(crate) async fn list(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    before: Option<ExportId>,
    limit: i64,
) -> Result<Vec<Export>, StorageError> {
    let mut query = contact_exports::table
        .filter(contact_exports::workspace_id.eq(workspace.as_uuid()))
        .order(contact_exports::id.desc())
        .limit(limit)
        .select(Export::as_select())
        .into_boxed();
    if let Some(before) = before {
        query = query.filter(contact_exports::id.lt(before.as_uuid()));
    }
    Ok(query.load(conn).await?)
}

/// Begins an export, or begins it again; `None` when it is over.
pub(crate) async fn begin(
    conn: &mut AsyncPgConnection,
    id: ExportId,
    now: DateTime<Utc>,
) -> Result<Option<Export>, StorageError> {
    let started_at =
        sql::<Nullable<Timestamptz>>("COALESCE(started_at, ").bind::<Timestamptz, _>(now).sql(")");
    Ok(diesel::update(contact_exports::table)
        .filter(contact_exports::id.eq(id.as_uuid()))
        .filter(contact_exports::status.eq_any(OPEN))
        .set((
            contact_exports::status.eq(RUNNING),
            contact_exports::attempts.eq(contact_exports::attempts + 1),
            contact_exports::rows.eq(0),
            contact_exports::started_at.eq(started_at),
        ))
        .returning(Export::as_returning())
        .get_result(conn)
        .await
        .optional()?)
}

/// What changes while an export runs, and what it comes to; `None` leaves a column as it is.
#[derive(Clone, Debug, Default, AsChangeset)]
#[diesel(table_name = contact_exports)]
pub(crate) struct Changes {
    pub(crate) status: Option<&'static str>,
    pub(crate) rows: Option<i64>,
    pub(crate) total: Option<i64>,
    pub(crate) file_name: Option<String>,
    pub(crate) file_bytes: Option<i64>,
    pub(crate) error_code: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

/// Changes an export that is the caller's; `false` when it is over, or a later run has begun.
pub(crate) async fn change(
    conn: &mut AsyncPgConnection,
    mine: &Export,
    changes: &Changes,
) -> Result<bool, StorageError> {
    let changed = diesel::update(contact_exports::table)
        .filter(contact_exports::id.eq(mine.id))
        .filter(contact_exports::attempts.eq(mine.attempts))
        .filter(contact_exports::status.eq(RUNNING))
        .set(changes)
        .execute(conn)
        .await?;
    Ok(changed == 1)
}

/// Ends an export that cannot go on for a reason of ours.
pub(crate) async fn give_up(
    conn: &mut AsyncPgConnection,
    id: ExportId,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let changes = Changes {
        status: Some(FAILED),
        error_code: Some("internal".to_owned()),
        error: Some("something failed on our side; start another export".to_owned()),
        ended_at: Some(now),
        ..Changes::default()
    };
    diesel::update(contact_exports::table)
        .filter(contact_exports::id.eq(id.as_uuid()))
        .filter(contact_exports::status.eq_any(OPEN))
        .set(&changes)
        .execute(conn)
        .await?;
    Ok(())
}

/// Marks exports whose file has had its time.
pub(crate) async fn expire(
    conn: &mut AsyncPgConnection,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    diesel::update(contact_exports::table)
        .filter(contact_exports::status.eq(COMPLETED))
        .filter(contact_exports::expires_at.le(now))
        .set(contact_exports::status.eq(EXPIRED))
        .execute(conn)
        .await?;
    Ok(())
}

/// Where the files of exports are that can be fetched.
pub(crate) async fn files(conn: &mut AsyncPgConnection) -> Result<Vec<String>, StorageError> {
    let names: Vec<Option<String>> = contact_exports::table
        .filter(contact_exports::status.eq(COMPLETED))
        .select(contact_exports::file_name)
        .load(conn)
        .await?;
    Ok(names.into_iter().flatten().map(|name| super::path(&name)).collect())
}
