//! Makes one contact of several that somebody knows to be one person.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{self, Array, BigInt, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{ContactId, WorkspaceId};
use kernel::statement;
use uuid::Uuid;

use super::{Contact, merge};
use crate::StorageError;
use crate::schema::contacts;

/// What moves when contacts become another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moving {
    /// Their conversations.
    pub conversations: i64,
    /// The messages in them.
    pub messages: i64,
}

/// Contacts of a workspace, in the order of their ids: nobody else changes them until the transaction ends.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn lock(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    ids: &[ContactId],
) -> Result<Vec<Contact>, StorageError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    Ok(contacts::table
        .filter(contacts::workspace_id.eq(workspace.as_uuid()))
        .filter(contacts::id.eq_any(ids))
        .order(contacts::id)
        .select(Contact::as_select())
        .for_update()
        .load(tx)
        .await?)
}

/// Contacts of a workspace, in the order of their ids.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn by_ids(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    ids: &[ContactId],
) -> Result<Vec<Contact>, StorageError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    Ok(contacts::table
        .filter(contacts::workspace_id.eq(workspace.as_uuid()))
        .filter(contacts::id.eq_any(ids))
        .order(contacts::id)
        .select(Contact::as_select())
        .load(conn)
        .await?)
}

statement! {
    CountMoving(contacts: Vec<Uuid>) -> (BigInt, BigInt) {
        "SELECT count(*), COALESCE(sum(last_sequence), 0)::bigint FROM conversations WHERE contact_id = ANY("
        [contacts: Array<sql_types::Uuid>] ")"
    }
}

/// What would move with these contacts.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn moving(
    conn: &mut AsyncPgConnection,
    contacts: &[Contact],
) -> Result<Moving, StorageError> {
    let contacts = contacts.iter().map(|contact| contact.id).collect();
    let (conversations, messages) = CountMoving { contacts }.get_result(conn).await?;
    Ok(Moving { conversations, messages })
}

statement! {
    Adopt(id: Uuid, wa_id: Option<String>, user_id: Option<String>) -> () {
        "UPDATE contacts SET wa_id = COALESCE(wa_id, " [wa_id: Nullable<Text>]
        "), user_id = COALESCE(user_id, " [user_id: Nullable<Text>] ") WHERE id = "
        [id: sql_types::Uuid]
    }
}

/// Moves everything of `goes` to `keeps` and deletes them. Of two numbers that of `keeps` stays.
///
/// All of them are locked: see [`lock`].
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn unite(
    tx: &mut AsyncPgConnection,
    keeps: ContactId,
    goes: Vec<Contact>,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    for gone in goes {
        merge::merge(tx, keeps, gone.id(), now).await?;
        let Contact { wa_id, user_id, .. } = gone;
        Adopt { id: keeps.as_uuid(), wa_id, user_id }.execute(tx).await?;
    }
    Ok(())
}

statement! {
    Became(keeps: Uuid, goes: Vec<Uuid>) -> BigInt {
        "SELECT count(*) FROM contact_merges WHERE kept = " [keeps: sql_types::Uuid] " AND gone = ANY("
        [goes: Array<sql_types::Uuid>] ")"
    }
}

/// Whether all of `goes` have become `keeps`.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn are_united(
    conn: &mut AsyncPgConnection,
    keeps: ContactId,
    goes: &[ContactId],
) -> Result<bool, StorageError> {
    let ids: Vec<Uuid> = goes.iter().map(|id| id.as_uuid()).collect();
    let united: i64 = Became { keeps: keeps.as_uuid(), goes: ids }.get_result(conn).await?;
    Ok(usize::try_from(united) == Ok(goes.len()))
}
