//! Forgets a person, and nothing that keeps messages from being sent twice.
//!
//! Invariants: every row of the send ledger stays, without number and content; what was not accepted yet is
//! cancelled, so that nothing is sent any more; the numbers of campaigns still add up.

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{ContactId, WorkspaceId};
use kernel::statement;
use uuid::Uuid;

use crate::StorageError;
use crate::campaigns::counts::{self, CANCELLED, Changes, End};
use crate::send_ledger::Returned;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erased {
    /// The person is forgotten.
    Done(Erasure),
    /// A message to them is on its way, or nobody knows yet what became of it: nothing was changed.
    OnItsWay,
    /// There is no such contact in the workspace.
    NotThere,
}

/// What was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Threads without a person now.
    pub conversations: usize,
    /// Messages without what was said.
    pub messages: usize,
    /// Messages that will not be sent.
    pub cancelled: usize,
}

statement! {
    Person(workspace: Uuid, id: Uuid) -> Nullable<Text> {
        "SELECT wa_id FROM contacts WHERE workspace_id = " [workspace: sql_types::Uuid] " AND id = "
        [id: sql_types::Uuid] " FOR UPDATE"
    }
}

statement! {
    Threads(contact: Uuid) -> sql_types::Uuid {
        "SELECT id FROM conversations WHERE contact_id = " [contact: sql_types::Uuid]
        " ORDER BY connection_id FOR UPDATE"
    }
}

statement! {
    Ledger(threads: Vec<Uuid>) -> (sql_types::Uuid, Nullable<sql_types::Uuid>, Text, Nullable<Integer>) {
        "SELECT o.id, o.campaign_id, o.state, o.error_code FROM outbound_messages o WHERE o.id IN \
            (SELECT m.id FROM messages m WHERE m.conversation_id = ANY(" [threads: Array<sql_types::Uuid>]
        ")) ORDER BY o.id FOR UPDATE"
    }
}

statement! {
    Blank(ids: Vec<Uuid>) -> () {
        "UPDATE outbound_messages SET content = '', recipient = '', not_before = NULL, \
         state = CASE state WHEN 'accepted' THEN state ELSE 'cancelled' END WHERE id = ANY("
        [ids: Array<sql_types::Uuid>] ")"
    }
}

// Nobody of ours answers in them any more.
statement! {
    Silence(threads: Vec<Uuid>, now: DateTime<Utc>) -> () {
        "WITH muted AS (UPDATE conversations SET bot_sequence = last_sequence, updated_at = "
        [now: Timestamptz] " WHERE id = ANY(" [threads: Array<sql_types::Uuid>]
        ")) UPDATE messages SET body = NULL, raw = NULL WHERE conversation_id = ANY("
        [threads: Array<sql_types::Uuid>] ")"
    }
}

// Whom campaigns were frozen for, by every name the person had.
statement! {
    Unlist(workspace: Uuid, contact: Uuid, number: Option<String>) -> () {
        "WITH mine AS (SELECT id FROM campaigns WHERE workspace_id = " [workspace: sql_types::Uuid]
        "), names AS (SELECT gone AS id FROM contact_merges WHERE kept = " [contact: sql_types::Uuid]
        " UNION ALL SELECT " [contact: sql_types::Uuid] "), \
         uploads AS (DELETE FROM campaign_uploads u USING mine WHERE u.campaign_id = mine.id \
            AND u.wa_id = " [number: Nullable<Text>] ") \
         UPDATE campaign_recipients r SET recipient = '', params = '[]' FROM mine, names \
         WHERE r.campaign_id = mine.id AND r.contact_id = names.id"
    }
}

statement! {
    Forget(contact: Uuid) -> () {
        "DELETE FROM contacts WHERE id = " [contact: sql_types::Uuid]
    }
}

/// Forgets a contact: who they are, what was said, what was noted, what they decided.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn erase(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: ContactId,
    now: DateTime<Utc>,
) -> Result<Erased, StorageError> {
    let (workspace, contact) = (workspace.as_uuid(), id.as_uuid());
    let people: Vec<Option<String>> = Person { workspace, id: contact }.load(tx).await?;
    let Some(number) = people.into_iter().next() else { return Ok(Erased::NotThere) };
    let threads: Vec<Uuid> = Threads { contact }.load(tx).await?;
    let ledger: Vec<Returned> = Ledger { threads: threads.clone() }.load(tx).await?;
    if ledger.iter().any(|row| row.2 == "sending") {
        return Ok(Erased::OnItsWay);
    }
    let conversations = threads.len();
    Blank { ids: ledger.iter().map(|row| row.0).collect() }.execute(tx).await?;
    let messages = Silence { threads, now }.execute(tx).await?;
    Unlist { workspace, contact, number }.execute(tx).await?;
    Forget { contact }.execute(tx).await?;
    let ended = ledger.iter().filter(|row| !matches!(row.2.as_str(), "accepted" | "cancelled"));
    let cancelled = ended.clone().count();
    let mut changes = Changes::default();
    let skipped = End::Skipped(CANCELLED.to_owned());
    for before in ended {
        changes.left(before, Some(&skipped));
    }
    counts::apply(tx, changes, now).await?;
    Ok(Erased::Done(Erasure { conversations, messages, cancelled }))
}
