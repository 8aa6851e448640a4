//! Writing down what came of an attempt, as its response told.
//!
//! Every update is conditional, so doing it again changes nothing: a commit whose outcome is unknown
//! is simply repeated.

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::Wamid;
use kernel::ids::{AttemptId, MessageId};
use uuid::Uuid;

use crate::StorageError;
use kernel::statement;

/// What a response (or its absence) told about an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Meta took the message.
    Accepted {
        /// Meta's id of it.
        wamid: Wamid,
    },
    /// Meta refused it for good.
    Failed {
        /// Meta's error code.
        code: i32,
        /// The HTTP status.
        http_status: i32,
    },
    /// Certainly not sent: it may be claimed again.
    NotSent {
        /// Not before this moment.
        not_before: DateTime<Utc>,
        /// Meta's error code, when Meta said so.
        code: Option<i32>,
    },
    /// It may or may not have been taken; [`super::doubt`] decides later.
    Doubt {
        /// The HTTP status, if there was one.
        http_status: Option<i32>,
        /// Meta's error code, if there was one.
        code: Option<i32>,
    },
}

/// An attempt and what came of it.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// Its message.
    pub message_id: MessageId,
    /// Which try it was; an older try never moves a newer one's message.
    pub epoch: i32,
    /// What came of it.
    pub outcome: Outcome,
}

/// The messages that a settlement moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Now accepted.
    pub accepted: Vec<MessageId>,
    /// Now failed, with Meta's code.
    pub failed: Vec<(MessageId, i32)>,
    /// Attempts of messages that had been accepted already, under another wamid: duplicates.
    pub duplicates: usize,
}

/// Writes settlements down.
///
/// # Errors
///
/// Whatever PostgreSQL reports; the whole set is then to be settled again.
pub async fn settle(
    tx: &mut AsyncPgConnection,
    mut rows: Vec<Settlement>,
    now: DateTime<Utc>,
) -> Result<Moved, StorageError> {
    rows.sort_by_key(|row| row.attempt_id);
    let mut moved = Moved::default();
    update_attempts(tx, &rows).await?;
    accept(tx, &rows, now, &mut moved).await?;
    fail(tx, &rows, now, &mut moved).await?;
    release(tx, &rows).await?;
    Ok(moved)
}

statement! {
    UpdateAttempts(
        ids: Vec<Uuid>,
        states: Vec<&'static str>,
        wamids: Vec<Option<String>>,
        http: Vec<Option<i32>>,
        codes: Vec<Option<i32>>,
    ) -> () {
        "UPDATE send_attempts a SET state = s.state, wamid = COALESCE(a.wamid, s.wamid), \
         http_status = s.http_status, error_code = s.error_code, \
         resolved_by = COALESCE(a.resolved_by, CASE WHEN s.state <> 'doubt' THEN 'response' END) \
         FROM unnest("
        [ids: Array<sql_types::Uuid>] ", "
        [states: Array<Text>] ", "
        [wamids: Array<Nullable<Text>>] ", "
        [http: Array<Nullable<Integer>>] ", "
        [codes: Array<Nullable<Integer>>]
        ") AS s (id, state, wamid, http_status, error_code) \
         WHERE a.id = s.id AND a.state <> 'accepted' \
         AND (a.state IN ('sending', 'doubt') OR s.state <> 'doubt')"
    }
}

async fn update_attempts(
    tx: &mut AsyncPgConnection,
    rows: &[Settlement],
) -> Result<(), StorageError> {
    let mut update = UpdateAttempts {
        ids: rows.iter().map(|row| row.attempt_id.as_uuid()).collect(),
        states: Vec::with_capacity(rows.len()),
        wamids: Vec::with_capacity(rows.len()),
        http: Vec::with_capacity(rows.len()),
        codes: Vec::with_capacity(rows.len()),
    };
    for row in rows {
        let (state, wamid, http, code) = match &row.outcome {
            Outcome::Accepted { wamid } => {
                ("accepted", Some(wamid.as_str().to_owned()), Some(200), None)
            }
            Outcome::Failed { code, http_status } => {
                ("rejected", None, Some(*http_status), Some(*code))
            }
            Outcome::NotSent { code, .. } => ("not_sent", None, None, *code),
            Outcome::Doubt { http_status, code } => ("doubt", None, *http_status, *code),
        };
        update.states.push(state);
        update.wamids.push(wamid);
        update.http.push(http);
        update.codes.push(code);
    }
    update.execute(tx).await?;
    Ok(())
}

statement! {
    Accept(ids: Vec<Uuid>, wamids: Vec<String>, now: DateTime<Utc>) -> sql_types::Uuid {
        "UPDATE outbound_messages m SET state = 'accepted', wamid = s.wamid, accepted_at = "
        [now: Timestamptz] " FROM unnest("
        [ids: Array<sql_types::Uuid>] ", " [wamids: Array<Text>]
        ") AS s (id, wamid) WHERE m.id = s.id AND m.wamid IS NULL RETURNING m.id"
    }
}

statement! {
    RecordDuplicates(
        messages: Vec<Uuid>,
        attempts: Vec<Uuid>,
        wamids: Vec<String>,
        now: DateTime<Utc>,
    ) -> () {
        "INSERT INTO duplicate_incidents (message_id, attempt_id, wamid_known, wamid_seen, seen_at) \
         SELECT m.id, s.attempt_id, m.wamid, s.wamid, " [now: Timestamptz] " FROM unnest("
        [messages: Array<sql_types::Uuid>] ", "
        [attempts: Array<sql_types::Uuid>] ", "
        [wamids: Array<Text>]
        ") AS s (message_id, attempt_id, wamid) JOIN outbound_messages m ON m.id = s.message_id \
         WHERE m.wamid <> s.wamid ON CONFLICT DO NOTHING"
    }
}

async fn accept(
    tx: &mut AsyncPgConnection,
    rows: &[Settlement],
    now: DateTime<Utc>,
    moved: &mut Moved,
) -> Result<(), StorageError> {
    let mut taken: Vec<(Uuid, Uuid, String)> = rows
        .iter()
        .filter_map(|row| match &row.outcome {
            Outcome::Accepted { wamid } => Some((
                row.message_id.as_uuid(),
                row.attempt_id.as_uuid(),
                wamid.as_str().to_owned(),
            )),
            Outcome::Failed { .. } | Outcome::NotSent { .. } | Outcome::Doubt { .. } => None,
        })
        .collect();
    if taken.is_empty() {
        return Ok(());
    }
    taken.sort_unstable();
    let messages: Vec<Uuid> = taken.iter().map(|row| row.0).collect();
    let wamids: Vec<String> = taken.iter().map(|row| row.2.clone()).collect();
    let accept = Accept { ids: messages.clone(), wamids: wamids.clone(), now };
    let ids: Vec<Uuid> = accept.load(tx).await?;
    if ids.len() < taken.len() {
        // A status told us first (the same wamid, nothing to do), or there are two acceptances.
        let attempts = taken.iter().map(|row| row.1).collect();
        moved.duplicates = RecordDuplicates { messages, attempts, wamids, now }.execute(tx).await?;
    }
    moved.accepted = ids.into_iter().map(MessageId::from_uuid).collect();
    Ok(())
}

statement! {
    Fail(ids: Vec<Uuid>, epochs: Vec<i32>, codes: Vec<i32>, now: DateTime<Utc>)
    -> (sql_types::Uuid, Integer) {
        "UPDATE outbound_messages m SET state = 'failed', error_code = s.code, failed_at = "
        [now: Timestamptz] " FROM unnest("
        [ids: Array<sql_types::Uuid>] ", " [epochs: Array<Integer>] ", " [codes: Array<Integer>]
        ") AS s (id, epoch, code) WHERE m.id = s.id AND m.epoch = s.epoch \
         AND m.state IN ('sending', 'unknown') RETURNING m.id, s.code"
    }
}

async fn fail(
    tx: &mut AsyncPgConnection,
    rows: &[Settlement],
    now: DateTime<Utc>,
    moved: &mut Moved,
) -> Result<(), StorageError> {
    let mut refused: Vec<(Uuid, i32, i32)> = rows
        .iter()
        .filter_map(|row| match row.outcome {
            Outcome::Failed { code, .. } => Some((row.message_id.as_uuid(), row.epoch, code)),
            Outcome::Accepted { .. } | Outcome::NotSent { .. } | Outcome::Doubt { .. } => None,
        })
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    refused.sort_unstable();
    let fail = Fail {
        ids: refused.iter().map(|row| row.0).collect(),
        epochs: refused.iter().map(|row| row.1).collect(),
        codes: refused.iter().map(|row| row.2).collect(),
        now,
    };
    let ids: Vec<(Uuid, i32)> = fail.load(tx).await?;
    moved.failed = ids.into_iter().map(|(id, code)| (MessageId::from_uuid(id), code)).collect();
    Ok(())
}

statement! {
    Release(ids: Vec<Uuid>, epochs: Vec<i32>, not_before: Vec<DateTime<Utc>>) -> () {
        "UPDATE outbound_messages m SET state = 'ready', not_before = s.not_before FROM unnest("
        [ids: Array<sql_types::Uuid>] ", "
        [epochs: Array<Integer>] ", "
        [not_before: Array<Timestamptz>]
        ") AS s (id, epoch, not_before) WHERE m.id = s.id AND m.epoch = s.epoch \
         AND m.state IN ('sending', 'unknown')"
    }
}

async fn release(tx: &mut AsyncPgConnection, rows: &[Settlement]) -> Result<(), StorageError> {
    let mut back: Vec<(Uuid, i32, DateTime<Utc>)> = rows
        .iter()
        .filter_map(|row| match row.outcome {
            Outcome::NotSent { not_before, .. } => {
                Some((row.message_id.as_uuid(), row.epoch, not_before))
            }
            Outcome::Accepted { .. } | Outcome::Failed { .. } | Outcome::Doubt { .. } => None,
        })
        .collect();
    if back.is_empty() {
        return Ok(());
    }
    back.sort_unstable();
    let release = Release {
        ids: back.iter().map(|row| row.0).collect(),
        epochs: back.iter().map(|row| row.1).collect(),
        not_before: back.iter().map(|row| row.2).collect(),
    };
    release.execute(tx).await?;
    Ok(())
}
