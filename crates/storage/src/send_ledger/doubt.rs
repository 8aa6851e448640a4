//! Attempts whose outcome nobody learnt, and the watermark that lets them be presumed unsent.
//!
//! A clock cannot decide it: when our own webhook pipeline lags, a clock resends what was accepted
//! (97 duplicates in 3,000, measured). The sends themselves are the probes instead: once the statuses
//! of everything around an attempt have come in and its own has not, it was not sent.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_types::{self, Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{AttemptId, ConnectionId, ConversationId, MessageId, WorkspaceId};
use uuid::Uuid;

use super::OnDoubt;
use crate::StorageError;
use kernel::statement;

/// Probes that were posted up to this long after an attempt (and ten minutes before: an older status
/// that is missing never comes) must have had their status too.
const AFTERGLOW: TimeDelta = TimeDelta::seconds(2);

/// An attempt past its deadline whose outcome is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAttempt {
    /// The attempt.
    pub id: AttemptId,
    /// Its message.
    pub message_id: MessageId,
    /// Which try it was.
    pub epoch: i32,
    /// When it was claimed.
    pub created_at: DateTime<Utc>,
    /// Whether every accepted attempt up to and around it has had a status.
    pub is_watermark_past: bool,
    /// How many later accepted attempts have had a status; counted up to the number asked for.
    pub probes: i64,
    /// What its sender wants done.
    pub on_doubt: OnDoubt,
    /// Until when [`OnDoubt::Resend`] holds.
    pub resend_until: Option<DateTime<Utc>>,
    /// The tenant.
    pub workspace_id: WorkspaceId,
    /// The number it left from.
    pub connection_id: ConnectionId,
    /// The thread.
    pub conversation_id: ConversationId,
    /// W3C trace context of what caused it.
    pub traceparent: Option<String>,
}

type Row = (
    (Uuid, Uuid, i32, DateTime<Utc>),
    (bool, i64, String, Option<DateTime<Utc>>),
    (Uuid, Uuid, Uuid, Option<String>),
);

statement! {
    Expired(before: DateTime<Utc>, afterglow: i32, probes: i64, most: i64)
    -> (
        (sql_types::Uuid, sql_types::Uuid, Integer, Timestamptz),
        (Bool, BigInt, Text, Nullable<Timestamptz>),
        (sql_types::Uuid, sql_types::Uuid, sql_types::Uuid, Nullable<Text>)
    ) {
        "SELECT a.id, a.message_id, a.epoch, a.created_at, \
         NOT EXISTS (SELECT 1 FROM send_attempts x WHERE x.connection_id = a.connection_id \
            AND x.state = 'accepted' AND NOT x.hooked \
            AND x.created_at BETWEEN a.created_at - interval '10 minutes' \
                AND a.created_at + make_interval(secs => " [afterglow: Integer] ")), \
         (SELECT count(*) FROM (SELECT 1 FROM send_attempts x \
            WHERE x.connection_id = a.connection_id AND x.state = 'accepted' AND x.hooked \
            AND x.created_at > a.created_at LIMIT " [probes: BigInt] ") AS later), \
         m.on_doubt, m.resend_until, \
         m.workspace_id, m.connection_id, m.conversation_id, m.traceparent \
         FROM send_attempts a JOIN outbound_messages m ON m.id = a.message_id \
         WHERE a.state IN ('sending', 'doubt') AND a.deadline_at < " [before: Timestamptz]
        " ORDER BY a.id LIMIT " [most: BigInt] " FOR UPDATE OF a SKIP LOCKED"
    }
}

/// Locks up to `most` open attempts whose deadline passed before `before`.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn expired(
    tx: &mut AsyncPgConnection,
    before: DateTime<Utc>,
    probes: i64,
    most: i64,
) -> Result<Vec<OpenAttempt>, StorageError> {
    let afterglow = i32::try_from(AFTERGLOW.num_seconds()).unwrap_or(i32::MAX);
    let rows: Vec<Row> = Expired { before, afterglow, probes, most }.load(tx).await?;
    Ok(rows.into_iter().map(OpenAttempt::from).collect())
}

impl From<Row> for OpenAttempt {
    fn from((attempt, state, whose): Row) -> Self {
        Self {
            id: AttemptId::from_uuid(attempt.0),
            message_id: MessageId::from_uuid(attempt.1),
            epoch: attempt.2,
            created_at: attempt.3,
            is_watermark_past: state.0,
            probes: state.1,
            on_doubt: OnDoubt::read(&state.2),
            resend_until: state.3,
            workspace_id: WorkspaceId::from_uuid(whose.0),
            connection_id: ConnectionId::from_uuid(whose.1),
            conversation_id: ConversationId::from_uuid(whose.2),
            traceparent: whose.3,
        }
    }
}

/// How a doubt ends without news from Meta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Presumed unsent: the message may be claimed again.
    Resend,
    /// A person has to decide.
    Uncertain,
}

statement! {
    CloseAttempts(ids: Vec<Uuid>, state: &'static str) -> () {
        "UPDATE send_attempts SET state = " [state: Text] ", resolved_by = 'watermark' WHERE id = ANY("
        [ids: Array<sql_types::Uuid>] ") AND state IN ('sending', 'doubt')"
    }
}

statement! {
    MoveMessages(ids: Vec<Uuid>, epochs: Vec<i32>, state: &'static str) -> sql_types::Uuid {
        "UPDATE outbound_messages m SET state = " [state: Text] " FROM unnest("
        [ids: Array<sql_types::Uuid>] ", " [epochs: Array<Integer>]
        ") AS s (id, epoch) WHERE m.id = s.id AND m.epoch = s.epoch AND m.state = 'sending' \
         RETURNING m.id"
    }
}

/// Ends the doubt about attempts locked by [`expired`]; returns the messages it moved.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn close(
    tx: &mut AsyncPgConnection,
    attempts: &[OpenAttempt],
    verdict: Verdict,
) -> Result<Vec<MessageId>, StorageError> {
    if attempts.is_empty() {
        return Ok(Vec::new());
    }
    let (attempt_state, message_state) = match verdict {
        Verdict::Resend => ("presumed", "ready"),
        Verdict::Uncertain => ("unknown", "unknown"),
    };
    let ids = attempts.iter().map(|attempt| attempt.id.as_uuid()).collect();
    CloseAttempts { ids, state: attempt_state }.execute(tx).await?;
    let mut messages: Vec<(Uuid, i32)> =
        attempts.iter().map(|attempt| (attempt.message_id.as_uuid(), attempt.epoch)).collect();
    messages.sort_unstable();
    let moved: Vec<Uuid> = MoveMessages {
        ids: messages.iter().map(|row| row.0).collect(),
        epochs: messages.iter().map(|row| row.1).collect(),
        state: message_state,
    }
    .load(tx)
    .await?;
    Ok(moved.into_iter().map(MessageId::from_uuid).collect())
}
