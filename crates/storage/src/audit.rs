//! The audit log: who did what by hand, and why. Rows are added, never changed.

use diesel::sql_types::{self, Jsonb, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{AuditId, WorkspaceId};
use kernel::statement;
use serde_json::Value;
use uuid::Uuid;

use crate::StorageError;

/// Characters of a reason at most: longer ones are not reasons.
pub const LONGEST_REASON: usize = 500;

/// One entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// An API key, or a person at a command line.
    pub actor: String,
    /// The tenant whose thing it is; `None`: the installation's.
    pub workspace: Option<WorkspaceId>,
    /// What was done, e.g. `lock.release`.
    pub action: String,
    /// What it was done to; people's numbers and message ids are masked.
    pub target: String,
    /// Why.
    pub reason: String,
    /// How it was.
    pub before: Option<Value>,
    /// How it is.
    pub after: Option<Value>,
    /// The request that asked for it, if it came by HTTP.
    pub request_id: Option<String>,
    /// The entry that announced this one.
    pub follows: Option<AuditId>,
}

statement! {
    Insert(id: Uuid, actor: String, workspace: Option<Uuid>, action: String, target: String,
           reason: String, before: Option<Value>, after: Option<Value>, request: Option<String>,
           follows: Option<Uuid>) -> () {
        "INSERT INTO audit_log (id, actor, workspace_id, action, target, reason, before, after, \
         request_id, follows) VALUES (" [id: sql_types::Uuid] ", " [actor: Text] ", "
        [workspace: Nullable<sql_types::Uuid>] ", " [action: Text] ", " [target: Text] ", "
        [reason: Text] ", " [before: Nullable<Jsonb>] ", " [after: Nullable<Jsonb>] ", "
        [request: Nullable<Text>] ", " [follows: Nullable<sql_types::Uuid>] ")"
    }
}

/// Adds an entry, in the caller's transaction.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn write(tx: &mut AsyncPgConnection, entry: Entry) -> Result<AuditId, StorageError> {
    let id = AuditId::new();
    let insert = Insert {
        id: id.as_uuid(),
        actor: entry.actor,
        workspace: entry.workspace.map(|workspace| workspace.as_uuid()),
        action: entry.action,
        target: entry.target,
        reason: entry.reason,
        before: entry.before,
        after: entry.after,
        request: entry.request_id,
        follows: entry.follows.map(|follows| follows.as_uuid()),
    };
    insert.execute(tx).await?;
    Ok(id)
}

/// The reason without spaces around it; `None` when it is none.
pub fn reason(text: &str) -> Option<&str> {
    let reason = text.trim();
    let fits = (1..=LONGEST_REASON).contains(&reason.chars().count());
    (fits && !reason.contains('\0')).then_some(reason)
}
