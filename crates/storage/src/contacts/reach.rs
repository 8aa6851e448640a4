//! Whoever a message is to go to: found and kept from being merged away until the transaction ends.

use chrono::{DateTime, Utc};
use diesel::OptionalExtension as _;
use diesel::sql_types::{self, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{ContactId, WorkspaceId};
use kernel::{WaId, statement};
use uuid::Uuid;

use super::keep::Row;
use super::{Contact, Source};
use crate::StorageError;

statement! {
    HoldByNumber(workspace: Uuid, wa_id: String) -> Row {
        "SELECT id, workspace_id, wa_id, user_id, name, source, created_at, updated_at, tags, \
         attributes, opted_out_at FROM contacts WHERE workspace_id = "
        [workspace: sql_types::Uuid] " AND wa_id = " [wa_id: Text] " FOR KEY SHARE"
    }
}

statement! {
    Make(id: Uuid, workspace: Uuid, wa_id: String, source: &'static str, now: DateTime<Utc>) -> Row {
        "INSERT INTO contacts (id, workspace_id, wa_id, source, created_at, updated_at) VALUES ("
        [id: sql_types::Uuid] ", " [workspace: sql_types::Uuid] ", " [wa_id: Text] ", "
        [source: Text] ", " [now: Timestamptz] ", " [now: Timestamptz]
        ") ON CONFLICT (workspace_id, wa_id) DO NOTHING RETURNING id, workspace_id, wa_id, user_id, \
         name, source, created_at, updated_at, tags, attributes, opted_out_at"
    }
}

statement! {
    Hold(workspace: Uuid, id: Uuid) -> Row {
        "SELECT id, workspace_id, wa_id, user_id, name, source, created_at, updated_at, tags, \
         attributes, opted_out_at FROM contacts WHERE workspace_id = "
        [workspace: sql_types::Uuid] " AND id = " [id: sql_types::Uuid] " FOR KEY SHARE"
    }
}

/// The contact with this number; whoever is none yet becomes one, and `true` says so. `None` when the contact changes
/// at this very moment, e.g. is being merged.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn by_number(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    wa_id: &WaId,
    source: Source,
    now: DateTime<Utc>,
) -> Result<Option<(Contact, bool)>, StorageError> {
    let workspace = workspace.as_uuid();
    let wa_id = wa_id.as_str().to_owned();
    let hold = || HoldByNumber { workspace, wa_id: wa_id.clone() };
    let known: Option<Contact> = hold().get_result(tx).await.optional()?;
    if let Some(known) = known {
        return Ok(Some((known, false)));
    }
    let id = ContactId::new().as_uuid();
    let make = Make { id, workspace, wa_id: wa_id.clone(), source: source.as_str(), now };
    let made: Option<Contact> = make.get_result(tx).await.optional()?;
    if let Some(made) = made {
        return Ok(Some((made, true)));
    }
    let known: Option<Contact> = hold().get_result(tx).await.optional()?;
    Ok(known.map(|known| (known, false)))
}

/// One contact of a workspace.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn hold(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: ContactId,
) -> Result<Option<Contact>, StorageError> {
    let hold = Hold { workspace: workspace.as_uuid(), id: id.as_uuid() };
    Ok(hold.get_result(tx).await.optional()?)
}
