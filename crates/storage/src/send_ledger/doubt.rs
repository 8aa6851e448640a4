//! Attempts whose outcome nobody learnt, and the watermark that lets them be presumed unsent.
//!
//! A clock cannot decide it: when our own webhook pipeline lags, a clock resends what was accepted
//! (97 duplicates in 3,000, measured). The sends themselves are the probes instead: once the statuses
//! of everything around an attempt have come in and its own has not, it was not sent.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_types::{self, Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{AttemptId, CampaignId, ConnectionId, ConversationId, MessageId, WorkspaceId};
use uuid::Uuid;

use super::OnDoubt;
use super::settle::unsent;
use crate::StorageError;
use crate::campaigns::counts::{Changes, End};
use crate::campaigns::standing::{self, Status};
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
    /// Its campaign, and where that stands until the transaction ends.
    pub campaign: Option<(CampaignId, Status)>,
    /// W3C trace context of what caused it.
    pub traceparent: Option<String>,
}

type Row = (
    (Uuid, Uuid, i32, DateTime<Utc>),
    (bool, i64, String, Option<DateTime<Utc>>),
    (Uuid, Uuid, Uuid, Option<Uuid>, Option<String>),
);

statement! {
    Campaigns(before: DateTime<Utc>) -> sql_types::Uuid {
        "SELECT DISTINCT m.campaign_id FROM send_attempts a \
         JOIN outbound_messages m ON m.id = a.message_id \
         WHERE a.state IN ('sending', 'doubt') AND a.deadline_at < " [before: Timestamptz]
        " AND m.campaign_id IS NOT NULL"
    }
}

statement! {
    Expired(
        before: DateTime<Utc>,
        afterglow: i32,
        probes: i64,
        campaigns: Vec<Uuid>,
        most: i64,
    )
    -> (
        (sql_types::Uuid, sql_types::Uuid, Integer, Timestamptz),
        (Bool, BigInt, Text, Nullable<Timestamptz>),
        (sql_types::Uuid, sql_types::Uuid, sql_types::Uuid, Nullable<sql_types::Uuid>, Nullable<Text>)
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
         m.workspace_id, m.connection_id, m.conversation_id, m.campaign_id, m.traceparent \
         FROM send_attempts a JOIN outbound_messages m ON m.id = a.message_id \
         WHERE a.state IN ('sending', 'doubt') AND a.deadline_at < " [before: Timestamptz]
        " AND (m.campaign_id IS NULL OR m.campaign_id = ANY("
        [campaigns: Array<sql_types::Uuid>] ")) ORDER BY a.id LIMIT " [most: BigInt] " FOR UPDATE OF a SKIP LOCKED"
    }
}

/// Locks up to `most` open attempts whose deadline passed before `before`, and before them where their
/// campaigns stand.
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
    let campaigns: Vec<Uuid> = Campaigns { before }.load(tx).await?;
    let pinned: Vec<CampaignId> = campaigns.iter().copied().map(CampaignId::from_uuid).collect();
    let standings = standing::pin(tx, &pinned).await?;
    let afterglow = i32::try_from(AFTERGLOW.num_seconds()).unwrap_or(i32::MAX);
    let rows: Vec<Row> = Expired { before, afterglow, probes, campaigns, most }.load(tx).await?;
    Ok(rows.into_iter().map(|row| OpenAttempt::new(row, &standings)).collect())
}

impl OpenAttempt {
    fn new((attempt, state, whose): Row, standings: &HashMap<CampaignId, Status>) -> Self {
        let campaign = whose.3.map(CampaignId::from_uuid);
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
            campaign: campaign.and_then(|id| standings.get(&id).map(|status| (id, *status))),
            traceparent: whose.4,
        }
    }

    /// The states of attempt and message under `verdict`.
    fn states(&self, verdict: Verdict) -> (&'static str, &'static str) {
        match verdict {
            Verdict::Resend => ("presumed", unsent(self.campaign.map(|(_, status)| status))),
            Verdict::AssumeSent => ("presumed", "accepted"),
            Verdict::Uncertain => ("unknown", "unknown"),
        }
    }
}

/// How a doubt ends without news from Meta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Presumed unsent: the message may be claimed again, if its campaign still runs.
    Resend,
    /// Presumed sent: the message counts as accepted, without an id until a status brings it.
    AssumeSent,
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
    MoveMessages(ids: Vec<Uuid>, epochs: Vec<i32>, states: Vec<&'static str>, now: DateTime<Utc>)
    -> sql_types::Uuid {
        "WITH mine AS (SELECT m.id, s.state FROM unnest("
        [ids: Array<sql_types::Uuid>] ", " [epochs: Array<Integer>] ", " [states: Array<Text>]
        ") AS s (id, epoch, state) JOIN outbound_messages m ON m.id = s.id AND m.epoch = s.epoch \
            WHERE m.state = 'sending' ORDER BY m.id FOR UPDATE OF m) \
         UPDATE outbound_messages m SET state = mine.state, \
            accepted_at = CASE WHEN mine.state = 'accepted' THEN " [now: Timestamptz]
        " ELSE m.accepted_at END, failed_at = CASE WHEN mine.state = 'failed' THEN "
        [now: Timestamptz] " ELSE m.failed_at END FROM mine WHERE m.id = mine.id RETURNING m.id"
    }
}

/// Ends the doubt about attempts locked by [`expired`]; returns the messages it moved, and adds to
/// `changes` what that means for their campaigns.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn close(
    tx: &mut AsyncPgConnection,
    attempts: &[OpenAttempt],
    verdict: Verdict,
    changes: &mut Changes,
    now: DateTime<Utc>,
) -> Result<Vec<MessageId>, StorageError> {
    let Some((attempt_state, _)) = attempts.first().map(|attempt| attempt.states(verdict)) else {
        return Ok(Vec::new());
    };
    let ids = attempts.iter().map(|attempt| attempt.id.as_uuid()).collect();
    CloseAttempts { ids, state: attempt_state }.execute(tx).await?;
    let move_messages = MoveMessages {
        ids: attempts.iter().map(|attempt| attempt.message_id.as_uuid()).collect(),
        epochs: attempts.iter().map(|attempt| attempt.epoch).collect(),
        states: attempts.iter().map(|attempt| attempt.states(verdict).1).collect(),
        now,
    };
    let moved: Vec<Uuid> = move_messages.load(tx).await?;
    let moved: Vec<MessageId> = moved.into_iter().map(MessageId::from_uuid).collect();
    for attempt in attempts.iter().filter(|attempt| moved.contains(&attempt.message_id)) {
        if let Some((campaign, _)) = attempt.campaign {
            let end = End::of(attempt.states(verdict).1, None);
            changes.moved(campaign, None, end.as_ref());
        }
    }
    Ok(moved)
}
