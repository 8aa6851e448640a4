//! Writing down what came of an attempt, as its response told.
//!
//! Every update is conditional, so doing it again changes nothing: a commit whose outcome is unknown
//! is simply repeated. Rows are locked in the order of ADR-0014: campaigns, attempts, messages, counts.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::Wamid;
use kernel::ids::{AttemptId, CampaignId, MessageId};
use uuid::Uuid;

use super::Returned;
use crate::StorageError;
use crate::campaigns::counts::{self, Changes, End};
use crate::campaigns::standing::{self, Status, Stop, Stopped};
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
    /// The campaign of the message.
    pub campaign_id: Option<CampaignId>,
    /// Which try it was; an older try never moves a newer one's message.
    pub epoch: i32,
    /// What came of it.
    pub outcome: Outcome,
}

/// What a settlement moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Now accepted.
    pub accepted: Vec<MessageId>,
    /// Now failed, with Meta's code.
    pub failed: Vec<(MessageId, i32)>,
    /// Attempts of messages that had been accepted already, under another wamid: duplicates.
    pub duplicates: usize,
    /// Campaigns that ran and do not any more.
    pub stopped: Vec<Stopped>,
}

/// Writes settlements down, and stops the campaigns that must not go on: what comes back unsent from
/// one of them is held.
///
/// # Errors
///
/// Whatever PostgreSQL reports; the whole set is then to be settled again.
pub async fn settle(
    tx: &mut AsyncPgConnection,
    mut rows: Vec<Settlement>,
    stops: Vec<(CampaignId, Stop)>,
    now: DateTime<Utc>,
) -> Result<Moved, StorageError> {
    rows.sort_by_key(|row| row.attempt_id);
    let mut moved = Moved::default();
    let mut changes = Changes::default();
    let campaigns = unsent_of(&rows);
    moved.stopped = standing::stop(tx, stops, &campaigns, now).await?;
    let standings = standing::pin(tx, &campaigns).await?;
    update_attempts(tx, &rows).await?;
    standing::hold(tx, &moved.stopped).await?;
    accept(tx, &rows, now, &mut moved, &mut changes).await?;
    fail(tx, &rows, now, &mut moved, &mut changes).await?;
    release(tx, &rows, &standings, now, &mut changes).await?;
    counts::apply(tx, changes, now).await?;
    Ok(moved)
}

/// The campaigns whose standing decides what becomes of a message.
fn unsent_of(rows: &[Settlement]) -> Vec<CampaignId> {
    let unsent = rows.iter().filter(|row| matches!(row.outcome, Outcome::NotSent { .. }));
    let mut campaigns: Vec<CampaignId> = unsent.filter_map(|row| row.campaign_id).collect();
    campaigns.sort_unstable();
    campaigns.dedup();
    campaigns
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
    Accept(ids: Vec<Uuid>, wamids: Vec<String>, now: DateTime<Utc>)
    -> (sql_types::Uuid, Nullable<sql_types::Uuid>, Text, Nullable<Integer>) {
        "WITH old AS (SELECT m.id, m.campaign_id, m.state, m.error_code, s.wamid FROM unnest("
        [ids: Array<sql_types::Uuid>] ", " [wamids: Array<Text>]
        ") AS s (id, wamid) JOIN outbound_messages m ON m.id = s.id WHERE m.wamid IS NULL \
            ORDER BY m.id FOR UPDATE OF m) \
         UPDATE outbound_messages m SET state = 'accepted', wamid = old.wamid, \
            accepted_at = COALESCE(m.accepted_at, " [now: Timestamptz]
        ") FROM old WHERE m.id = old.id RETURNING m.id, old.campaign_id, old.state, old.error_code"
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
    changes: &mut Changes,
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
    let old: Vec<Returned> = accept.load(tx).await?;
    if old.len() < taken.len() {
        // A status told us first (the same wamid, nothing to do), or there are two acceptances.
        let attempts = taken.iter().map(|row| row.1).collect();
        moved.duplicates = RecordDuplicates { messages, attempts, wamids, now }.execute(tx).await?;
    }
    for row in old {
        changes.left(&row, Some(&End::Accepted));
        // What was assumed to be sent has been told.
        if row.state() != "accepted" {
            moved.accepted.push(row.message_id());
        }
    }
    Ok(())
}

// A message that is only assumed to be sent has no wamid: an answer overrules the assumption.
statement! {
    Fail(ids: Vec<Uuid>, epochs: Vec<i32>, codes: Vec<i32>, now: DateTime<Utc>)
    -> ((sql_types::Uuid, Nullable<sql_types::Uuid>, Text, Nullable<Integer>), Integer) {
        "WITH old AS (SELECT m.id, m.campaign_id, m.state, m.error_code, s.code FROM unnest("
        [ids: Array<sql_types::Uuid>] ", " [epochs: Array<Integer>] ", " [codes: Array<Integer>]
        ") AS s (id, epoch, code) JOIN outbound_messages m ON m.id = s.id AND m.epoch = s.epoch \
            WHERE m.state IN ('sending', 'unknown') OR (m.state = 'accepted' AND m.wamid IS NULL) \
            ORDER BY m.id FOR UPDATE OF m) \
         UPDATE outbound_messages m SET state = 'failed', error_code = old.code, failed_at = "
        [now: Timestamptz] " FROM old WHERE m.id = old.id \
         RETURNING m.id, old.campaign_id, old.state, old.error_code, old.code"
    }
}

async fn fail(
    tx: &mut AsyncPgConnection,
    rows: &[Settlement],
    now: DateTime<Utc>,
    moved: &mut Moved,
    changes: &mut Changes,
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
    let old: Vec<(Returned, i32)> = fail.load(tx).await?;
    for (row, code) in old {
        changes.left(&row, Some(&End::Failed(code)));
        moved.failed.push((row.message_id(), code));
    }
    Ok(())
}

statement! {
    Release(
        ids: Vec<Uuid>,
        epochs: Vec<i32>,
        states: Vec<&'static str>,
        not_before: Vec<DateTime<Utc>>,
        codes: Vec<i32>,
        now: DateTime<Utc>,
    ) -> ((sql_types::Uuid, Nullable<sql_types::Uuid>, Text, Nullable<Integer>), Text, Integer) {
        "WITH old AS (SELECT m.id, m.campaign_id, m.state, m.error_code, s.state AS now_state, \
            s.not_before, s.code FROM unnest("
        [ids: Array<sql_types::Uuid>] ", "
        [epochs: Array<Integer>] ", "
        [states: Array<Text>] ", "
        [not_before: Array<Timestamptz>] ", "
        [codes: Array<Integer>]
        ") AS s (id, epoch, state, not_before, code) \
            JOIN outbound_messages m ON m.id = s.id AND m.epoch = s.epoch \
            WHERE m.state IN ('sending', 'unknown') OR (m.state = 'accepted' AND m.wamid IS NULL) \
            ORDER BY m.id FOR UPDATE OF m) \
         UPDATE outbound_messages m SET state = old.now_state, not_before = old.not_before, \
            error_code = CASE WHEN old.now_state = 'failed' THEN old.code ELSE m.error_code END, \
            failed_at = CASE WHEN old.now_state = 'failed' THEN " [now: Timestamptz]
        " END FROM old WHERE m.id = old.id \
         RETURNING m.id, old.campaign_id, old.state, old.error_code, old.now_state, old.code"
    }
}

/// What a message becomes that was certainly not sent.
pub(crate) fn unsent(campaign: Option<Status>) -> &'static str {
    match campaign {
        None | Some(Status::Running) => "ready",
        Some(Status::Cancelled) => "cancelled",
        // Whoever looks at a campaign that is over finds it among what may be tried again.
        Some(Status::Completed | Status::CompletedWithIssues | Status::Failed) => "failed",
        Some(Status::Draft | Status::Scheduled | Status::Preparing | Status::Paused) => "held",
    }
}

async fn release(
    tx: &mut AsyncPgConnection,
    rows: &[Settlement],
    standings: &HashMap<CampaignId, Status>,
    now: DateTime<Utc>,
    changes: &mut Changes,
) -> Result<(), StorageError> {
    let mut back: Vec<(Uuid, i32, &'static str, DateTime<Utc>, i32)> = rows
        .iter()
        .filter_map(|row| match row.outcome {
            Outcome::NotSent { not_before, code } => {
                let standing = row.campaign_id.and_then(|id| standings.get(&id).copied());
                let id = row.message_id.as_uuid();
                Some((id, row.epoch, unsent(standing), not_before, code.unwrap_or(0)))
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
        states: back.iter().map(|row| row.2).collect(),
        not_before: back.iter().map(|row| row.3).collect(),
        codes: back.iter().map(|row| row.4).collect(),
        now,
    };
    let old: Vec<(Returned, String, i32)> = release.load(tx).await?;
    for (row, became, code) in old {
        changes.left(&row, End::of(&became, Some(code)).as_ref());
    }
    Ok(())
}
