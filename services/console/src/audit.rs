//! The audit log: who did what by hand, and why. Rows are added, never changed.

use diesel::sql_types::{self, Jsonb, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::AuditId;
use kernel::statement;
use serde_json::Value;
use storage::StorageError;
use uuid::Uuid;

use crate::{Actor, OpsError, View};

/// Longer ones are not reasons.
const LONGEST_REASON: usize = 500;

/// One entry.
pub(crate) struct Entry<'e> {
    pub(crate) actor: &'e Actor,
    pub(crate) view: View,
    pub(crate) action: &'static str,
    /// Masked.
    pub(crate) target: &'e str,
    pub(crate) reason: &'e str,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
    /// The entry that announced this one.
    pub(crate) follows: Option<AuditId>,
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
pub(crate) async fn write(
    tx: &mut AsyncPgConnection,
    entry: Entry<'_>,
) -> Result<AuditId, StorageError> {
    let id = AuditId::new();
    let insert = Insert {
        id: id.as_uuid(),
        actor: entry.actor.name.clone(),
        workspace: entry.view.workspace().map(|workspace| workspace.as_uuid()),
        action: entry.action.to_owned(),
        target: entry.target.to_owned(),
        reason: entry.reason.to_owned(),
        before: entry.before,
        after: entry.after,
        request: entry.actor.request_id.clone(),
        follows: entry.follows.map(|follows| follows.as_uuid()),
    };
    insert.execute(tx).await?;
    Ok(id)
}

/// The reason without spaces around it.
pub(crate) fn reason(text: &str) -> Result<&str, OpsError> {
    let reason = text.trim();
    let fits = (1..=LONGEST_REASON).contains(&reason.chars().count());
    if fits && !reason.contains('\0') { Ok(reason) } else { Err(OpsError::Reason) }
}
