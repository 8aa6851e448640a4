//! Imports as rows.
//!
//! Invariant: a workspace has one import that is not over, by a unique key; whoever works an import off
//! changes it only while it is theirs: same fence, and not over.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use diesel_async::RunQueryDsl;
use kernel::ids::{ImportId, WorkspaceId};
use serde_json::Value;
use storage::schema::{contact_import_rejects, contact_imports};
use storage::{AsyncPgConnection, StorageError};
use uuid::Uuid;

/// The key that decides which of two imports runs.
const ONE_RUNNING: &str = "contact_imports_one_running";
/// An import that is not over.
const OPEN: [&str; 3] =
    [Status::Queued.as_str(), Status::Running.as_str(), Status::Writing.as_str()];

/// Where an import stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Nobody has begun.
    Queued,
    /// The file is read.
    Running,
    /// The transaction is under way.
    Writing,
    /// It took effect.
    Completed,
    /// It had no effect.
    Failed,
    /// Somebody stopped it; it had no effect.
    Cancelled,
}

impl Status {
    /// As stored and shown.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Writing => "writing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An import as stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = contact_imports)]
pub(crate) struct Import {
    id: Uuid,
    workspace_id: Uuid,
    pub(crate) status: String,
    pub(crate) file_name: String,
    pub(crate) file_bytes: i64,
    pub(crate) options: Value,
    pub(crate) understood: Option<Value>,
    pub(crate) fence: i64,
    pub(crate) attempts: i32,
    pub(crate) read_bytes: i64,
    pub(crate) accepted: i64,
    pub(crate) rejected: i64,
    pub(crate) duplicates: i64,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) unchanged: i64,
    pub(crate) error_code: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
}

impl Import {
    pub(crate) fn id(&self) -> ImportId {
        ImportId::from_uuid(self.id)
    }

    pub(crate) fn workspace(&self) -> WorkspaceId {
        WorkspaceId::from_uuid(self.workspace_id)
    }

    pub(crate) fn is_over(&self) -> bool {
        !OPEN.contains(&self.status.as_str())
    }
}

/// An import to store.
#[derive(Clone, Debug)]
pub(crate) struct NewImport {
    pub(crate) id: ImportId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) file_name: String,
    pub(crate) file_bytes: i64,
    pub(crate) options: Value,
    pub(crate) created_by: String,
}

/// Stores an import; `None` when another one of the workspace is not over.
pub(crate) async fn insert(
    conn: &mut AsyncPgConnection,
    new: NewImport,
    now: DateTime<Utc>,
) -> Result<Option<Import>, StorageError> {
    let row = (
        contact_imports::id.eq(new.id.as_uuid()),
        contact_imports::workspace_id.eq(new.workspace.as_uuid()),
        contact_imports::status.eq(Status::Queued.as_str()),
        contact_imports::file_name.eq(new.file_name),
        contact_imports::file_bytes.eq(new.file_bytes),
        contact_imports::options.eq(new.options),
        contact_imports::created_by.eq(new.created_by),
        contact_imports::created_at.eq(now),
    );
    let inserted = diesel::insert_into(contact_imports::table)
        .values(row)
        .returning(Import::as_returning())
        .get_result(conn)
        .await
        .map_err(StorageError::from);
    match inserted {
        Ok(import) => Ok(Some(import)),
        Err(error) if error.violated_unique() == Some(ONE_RUNNING) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The import of a workspace that is not over.
pub(crate) async fn open(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
) -> Result<Option<ImportId>, StorageError> {
    let id: Option<Uuid> = contact_imports::table
        .filter(contact_imports::workspace_id.eq(workspace.as_uuid()))
        .filter(contact_imports::status.eq_any(OPEN))
        .select(contact_imports::id)
        .first(conn)
        .await
        .optional()?;
    Ok(id.map(ImportId::from_uuid))
}

/// All imports that are not over.
pub(crate) async fn all_open(
    conn: &mut AsyncPgConnection,
) -> Result<Vec<(ImportId, WorkspaceId)>, StorageError> {
    let rows: Vec<(Uuid, Uuid)> = contact_imports::table
        .filter(contact_imports::status.eq_any(OPEN))
        .order(contact_imports::id)
        .select((contact_imports::id, contact_imports::workspace_id))
        .load(conn)
        .await?;
    let row = |(id, workspace)| (ImportId::from_uuid(id), WorkspaceId::from_uuid(workspace));
    Ok(rows.into_iter().map(row).collect())
}

/// One import of a workspace.
pub(crate) async fn find(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: ImportId,
) -> Result<Option<Import>, StorageError> {
    Ok(contact_imports::table
        .filter(contact_imports::workspace_id.eq(workspace.as_uuid()))
        .filter(contact_imports::id.eq(id.as_uuid()))
        .select(Import::as_select())
        .first(conn)
        .await
        .optional()?)
}

/// Imports of a workspace, newest first.
pub(crate) async fn list(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    before: Option<ImportId>,
    limit: i64,
) -> Result<Vec<Import>, StorageError> {
    let mut query = contact_imports::table
        .filter(contact_imports::workspace_id.eq(workspace.as_uuid()))
        .order(contact_imports::id.desc())
        .limit(limit)
        .select(Import::as_select())
        .into_boxed();
    if let Some(before) = before {
        query = query.filter(contact_imports::id.lt(before.as_uuid()));
    }
    Ok(query.load(conn).await?)
}

/// Begins an import, or begins it again; `None` when it is over, or somebody with a later fence has it.
/// Who runs without a lock has a fence, too: the next one.
pub(crate) async fn begin(
    conn: &mut AsyncPgConnection,
    id: ImportId,
    fence: Option<i64>,
    now: DateTime<Utc>,
) -> Result<Option<Import>, StorageError> {
    let fence = || {
        sql::<BigInt>("COALESCE(")
            .bind::<Nullable<BigInt>, _>(fence)
            .sql(", contact_imports.fence + 1)")
    };
    Ok(diesel::update(contact_imports::table)
        .filter(contact_imports::id.eq(id.as_uuid()))
        .filter(contact_imports::status.eq_any(OPEN))
        .filter(contact_imports::fence.le(fence()))
        .set((
            contact_imports::status.eq(Status::Running.as_str()),
            contact_imports::fence.eq(fence()),
            contact_imports::attempts.eq(contact_imports::attempts + 1),
            contact_imports::started_at.eq(sql::<Nullable<diesel::sql_types::Timestamptz>>(
                "COALESCE(started_at, ",
            )
            .bind::<diesel::sql_types::Timestamptz, _>(now)
            .sql(")")),
            contact_imports::read_bytes.eq(0),
            contact_imports::accepted.eq(0),
            contact_imports::rejected.eq(0),
        ))
        .returning(Import::as_returning())
        .get_result(conn)
        .await
        .optional()?)
}

/// What changes while an import runs, and what it comes to; `None` leaves a column as it is.
#[derive(Clone, Debug, Default, AsChangeset)]
#[diesel(table_name = contact_imports)]
pub(crate) struct Changes {
    pub(crate) status: Option<&'static str>,
    pub(crate) understood: Option<Value>,
    pub(crate) read_bytes: Option<i64>,
    pub(crate) accepted: Option<i64>,
    pub(crate) rejected: Option<i64>,
    pub(crate) duplicates: Option<i64>,
    pub(crate) created: Option<i64>,
    pub(crate) updated: Option<i64>,
    pub(crate) unchanged: Option<i64>,
    pub(crate) error_code: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
}

/// Changes an import that is the caller's; `false` when it is over or somebody else's by now.
pub(crate) async fn change(
    conn: &mut AsyncPgConnection,
    mine: &Import,
    changes: &Changes,
) -> Result<bool, StorageError> {
    let changed = diesel::update(contact_imports::table)
        .filter(contact_imports::id.eq(mine.id))
        .filter(contact_imports::fence.eq(mine.fence))
        .filter(contact_imports::status.eq_any(OPEN))
        .set(changes)
        .execute(conn)
        .await?;
    Ok(changed == 1)
}

/// Ends an import that cannot go on for a reason of ours.
pub(crate) async fn give_up(
    conn: &mut AsyncPgConnection,
    id: ImportId,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let changes = Changes {
        status: Some(Status::Failed.as_str()),
        error_code: Some("internal".to_owned()),
        error: Some("something failed on our side; nothing was changed".to_owned()),
        ended_at: Some(now),
        ..Changes::default()
    };
    diesel::update(contact_imports::table)
        .filter(contact_imports::id.eq(id.as_uuid()))
        .filter(contact_imports::status.eq_any(OPEN))
        .set(&changes)
        .execute(conn)
        .await?;
    Ok(())
}

/// Stops an import that is not being written yet; what it is now, `None` when there is no such import.
pub(crate) async fn cancel(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: ImportId,
    now: DateTime<Utc>,
) -> Result<Option<Import>, StorageError> {
    let stoppable = [Status::Queued.as_str(), Status::Running.as_str()];
    diesel::update(contact_imports::table)
        .filter(contact_imports::workspace_id.eq(workspace.as_uuid()))
        .filter(contact_imports::id.eq(id.as_uuid()))
        .filter(contact_imports::status.eq_any(stoppable))
        .set((
            contact_imports::status.eq(Status::Cancelled.as_str()),
            contact_imports::ended_at.eq(now),
        ))
        .execute(conn)
        .await?;
    find(conn, workspace, id).await
}

/// A record that was left out, as stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = contact_import_rejects)]
pub(crate) struct Rejected {
    pub(crate) line: i64,
    pub(crate) code: String,
    pub(crate) detail: String,
    pub(crate) record: String,
}

/// Records that an import left out, by line. The import is the caller's.
pub(crate) async fn rejects(
    conn: &mut AsyncPgConnection,
    id: ImportId,
    after: i64,
    limit: i64,
) -> Result<Vec<Rejected>, StorageError> {
    Ok(contact_import_rejects::table
        .filter(contact_import_rejects::import_id.eq(id.as_uuid()))
        .filter(contact_import_rejects::line.gt(after))
        .order(contact_import_rejects::line)
        .limit(limit)
        .select(Rejected::as_select())
        .load(conn)
        .await?)
}
