//! What statuses tell about attempts: that Meta took them.

use std::collections::HashMap;

use diesel::sql_types::{self, Array, Bool, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::StatusUpdate;
use crate::StorageError;
use kernel::statement;

statement! {
    Hook(ids: Vec<Uuid>, connections: Vec<Uuid>, wamids: Vec<String>) -> () {
        "UPDATE send_attempts a SET hooked = true, state = 'accepted', \
         wamid = COALESCE(a.wamid, s.wamid), resolved_by = COALESCE(a.resolved_by, 'webhook') \
         FROM unnest("
        [ids: Array<sql_types::Uuid>] ", "
        [connections: Array<sql_types::Uuid>] ", "
        [wamids: Array<Text>]
        ") AS s (id, connection_id, wamid) WHERE a.id = s.id AND a.connection_id = s.connection_id \
         AND (NOT a.hooked OR a.state <> 'accepted')"
    }
}

statement! {
    MessagesOf(ids: Vec<Uuid>, connections: Vec<Uuid>) -> (sql_types::Uuid, sql_types::Uuid, Nullable<Bool>) {
        "SELECT a.id, a.message_id, a.resolved_by = 'retried' FROM unnest("
        [ids: Array<sql_types::Uuid>] ", " [connections: Array<sql_types::Uuid>]
        ") AS s (id, connection_id) JOIN send_attempts a \
         ON a.id = s.id AND a.connection_id = s.connection_id"
    }
}

/// Whose an attempt is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried {
    pub(super) message: Uuid,
    /// Meta had taken it, then told that it failed; since then the message was given another try.
    pub(super) is_given_up: bool,
}

/// A status that echoes an attempt proves that Meta took it; returns the attempts that were echoed.
///
/// The connection must match too: what another tenant's app echoes is nobody's proof.
pub(super) async fn adopt_attempts(
    tx: &mut AsyncPgConnection,
    updates: &[StatusUpdate],
) -> Result<HashMap<Uuid, Tried>, StorageError> {
    let mut echoed: Vec<(Uuid, Uuid, String)> = updates
        .iter()
        .filter_map(|update| {
            let attempt = update.attempt_id?.as_uuid();
            Some((attempt, update.connection_id.as_uuid(), update.wamid.as_str().to_owned()))
        })
        .collect();
    if echoed.is_empty() {
        return Ok(HashMap::new());
    }
    echoed.sort_unstable();
    echoed.dedup_by_key(|row| row.0);
    let ids: Vec<Uuid> = echoed.iter().map(|row| row.0).collect();
    let connections: Vec<Uuid> = echoed.iter().map(|row| row.1).collect();
    let wamids = echoed.into_iter().map(|row| row.2).collect();
    Hook { ids: ids.clone(), connections: connections.clone(), wamids }.execute(tx).await?;
    let rows: Vec<(Uuid, Uuid, Option<bool>)> = MessagesOf { ids, connections }.load(tx).await?;
    let tried = rows.into_iter().map(|(attempt, message, is_given_up)| {
        (attempt, Tried { message, is_given_up: is_given_up.unwrap_or(false) })
    });
    Ok(tried.collect())
}

statement! {
    QuietAttempts(connections: Vec<Uuid>, wamids: Vec<String>) -> sql_types::Uuid {
        "SELECT a.id FROM outbound_messages m JOIN send_attempts a ON a.connection_id = m.connection_id \
         AND a.message_id = m.id AND a.state = 'accepted' AND NOT a.hooked \
         WHERE m.connection_id = ANY(" [connections: Array<sql_types::Uuid>] ") AND m.wamid = ANY("
        [wamids: Array<Text>] ")"
    }
}

// All attempts that the transaction will touch, in one order: no two batches wait for each other.
statement! {
    LockAttempts(ids: Vec<Uuid>) -> sql_types::Uuid {
        "SELECT id FROM send_attempts WHERE id = ANY(" [ids: Array<sql_types::Uuid>]
        ") ORDER BY id FOR UPDATE"
    }
}

statement! {
    HookQuiet(ids: Vec<Uuid>) -> () {
        "UPDATE send_attempts SET hooked = true WHERE state = 'accepted' AND NOT hooked AND id = ANY("
        [ids: Array<sql_types::Uuid>] ")"
    }
}

/// A status need not echo its attempt (Meta documents the echo for sent, delivered and read only): it
/// is a sign of life of the message's accepted attempt all the same. Attempts are locked before
/// messages (ADR-0014), so they are looked for by what the status says.
pub(super) async fn hook_quiet(
    tx: &mut AsyncPgConnection,
    updates: &[StatusUpdate],
) -> Result<(), StorageError> {
    let quiet = || updates.iter().filter(|update| update.attempt_id.is_none());
    let mut connections: Vec<Uuid> = quiet().map(|update| update.connection_id.as_uuid()).collect();
    if connections.is_empty() {
        return Ok(());
    }
    connections.sort_unstable();
    connections.dedup();
    let wamids = quiet().map(|update| update.wamid.as_str().to_owned()).collect();
    let ids: Vec<Uuid> = QuietAttempts { connections, wamids }.load(tx).await?;
    if ids.is_empty() {
        return Ok(());
    }
    let echoed = updates.iter().filter_map(|update| update.attempt_id);
    let all = ids.iter().copied().chain(echoed.map(|attempt| attempt.as_uuid())).collect();
    let _locked: Vec<Uuid> = LockAttempts { ids: all }.load(tx).await?;
    HookQuiet { ids }.execute(tx).await?;
    Ok(())
}
