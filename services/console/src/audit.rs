//! What operators do by hand goes into the audit log (see [`storage::audit`]).

use kernel::ids::AuditId;
use serde_json::Value;
use storage::{AsyncPgConnection, StorageError, audit};

use crate::{Actor, OpsError, View};

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

/// Adds an entry, in the caller's transaction.
pub(crate) async fn write(
    tx: &mut AsyncPgConnection,
    entry: Entry<'_>,
) -> Result<AuditId, StorageError> {
    let entry = audit::Entry {
        actor: entry.actor.name.clone(),
        workspace: entry.view.workspace(),
        action: entry.action.to_owned(),
        target: entry.target.to_owned(),
        reason: entry.reason.to_owned(),
        before: entry.before,
        after: entry.after,
        request_id: entry.actor.request_id.clone(),
        follows: entry.follows,
    };
    audit::write(tx, entry).await
}

/// The reason without spaces around it.
pub(crate) fn reason(text: &str) -> Result<&str, OpsError> {
    audit::reason(text).ok_or(OpsError::Reason)
}
