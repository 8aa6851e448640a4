//! Second chances: failed recipients are tried again, uncertain ones decided by a person.

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, BigInt, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{CampaignId, MessageId, WorkspaceId};
use uuid::Uuid;

use super::Status;
use super::actions::{By, lock, log, set};
use crate::StorageError;
use crate::campaigns::counts::{self, Changes, End};
use crate::send_ledger::Returned;
use kernel::statement;

/// What came of a second chance. A campaign whose state does not allow it is returned as it is, with
/// no recipients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Again {
    /// Where the campaign stands now.
    pub status: Status,
    /// How many recipients were moved. As many as were asked for at most: there may be more.
    pub recipients: i64,
}

/// What a person says about recipients that are uncertain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// They have the message.
    Sent,
    /// They do not have it, and shall not.
    NotSent,
    /// It is sent again, even if that is the second time.
    Resend,
}

impl Resolution {
    const fn action(self) -> &'static str {
        match self {
            Self::Sent => "resolved_sent",
            Self::NotSent => "resolved_not_sent",
            Self::Resend => "resolved_resend",
        }
    }
}

/// What a message of a campaign becomes that is to be sent again, and where the campaign stands then;
/// `None` when its standing does not allow it.
const fn goes_on(status: Status) -> Option<(Status, &'static str)> {
    match status {
        Status::Running | Status::Completed | Status::CompletedWithIssues => {
            Some((Status::Running, "ready"))
        }
        Status::Paused => Some((Status::Paused, "held")),
        Status::Draft
        | Status::Scheduled
        | Status::Preparing
        | Status::Cancelled
        | Status::Failed => None,
    }
}

// A claim gives message and attempt the same time: it finds the attempt by an index. What is still told
// of the old try is nobody's news any more.
statement! {
    Forget(campaign: Uuid, codes: Vec<i32>, most: i64) -> sql_types::Uuid {
        "WITH mine AS (SELECT m.id, m.connection_id, m.claimed_at, m.wamid FROM outbound_messages m \
            WHERE m.campaign_id = " [campaign: sql_types::Uuid]
        " AND m.state = 'failed' AND COALESCE(m.error_code, 0) = ANY(" [codes: Array<Integer>]
        ") AND (m.wamid IS NULL OR EXISTS (SELECT 1 FROM send_attempts a \
            WHERE a.connection_id = m.connection_id AND a.created_at = m.claimed_at \
            AND a.message_id = m.id AND a.state = 'accepted')) ORDER BY m.id LIMIT " [most: BigInt] "), \
         old AS (SELECT a.id, a.message_id FROM mine JOIN send_attempts a \
            ON a.connection_id = mine.connection_id AND a.created_at = mine.claimed_at \
            AND a.message_id = mine.id AND a.state = 'accepted' WHERE mine.wamid IS NOT NULL \
            ORDER BY a.id FOR UPDATE OF a), \
         closed AS (UPDATE send_attempts a SET resolved_by = 'retried', hooked = true FROM old \
            WHERE a.id = old.id RETURNING a.message_id) \
         SELECT mine.id FROM mine LEFT JOIN closed ON closed.message_id = mine.id \
         WHERE mine.wamid IS NULL OR closed.message_id IS NOT NULL"
    }
}

statement! {
    Retry(campaign: Uuid, ids: Vec<Uuid>, state: &'static str)
    -> (sql_types::Uuid, Nullable<sql_types::Uuid>, Text, Nullable<Integer>) {
        "WITH old AS (SELECT m.id, m.campaign_id, m.state, m.error_code FROM outbound_messages m \
            WHERE m.id = ANY(" [ids: Array<sql_types::Uuid>] ") AND m.campaign_id = "
        [campaign: sql_types::Uuid] " AND m.state = 'failed' ORDER BY m.id FOR UPDATE) \
         UPDATE outbound_messages m SET state = " [state: Text]
        ", error_code = NULL, failed_at = NULL, wamid = NULL, accepted_at = NULL, not_before = NULL \
         FROM old WHERE m.id = old.id RETURNING m.id, old.campaign_id, old.state, old.error_code"
    }
}

/// Gives failed recipients another try: those whose code is among `codes`, `most` of them at most. A
/// campaign that had completed runs again. Whoever is uncertain is never among them. `None`: the
/// workspace has no such campaign.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn retry_failed(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    campaign: CampaignId,
    codes: &[i32],
    most: i64,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Option<Again>, StorageError> {
    let Some((before, _)) = lock(tx, workspace, campaign).await? else { return Ok(None) };
    let Some((status, state)) = goes_on(before) else {
        return Ok(Some(Again { status: before, recipients: 0 }));
    };
    let id = campaign.as_uuid();
    let ids: Vec<Uuid> = Forget { campaign: id, codes: codes.to_vec(), most }.load(tx).await?;
    let old: Vec<Returned> = Retry { campaign: id, ids, state }.load(tx).await?;
    finish(tx, campaign, (before, status), old, |_| None, by, "retried_failed", now).await
}

statement! {
    Resolve(
        campaign: Uuid,
        ids: Option<Vec<Uuid>>,
        state: &'static str,
        most: i64,
        now: DateTime<Utc>,
    ) -> (sql_types::Uuid, Nullable<sql_types::Uuid>, Text, Nullable<Integer>) {
        "WITH old AS (SELECT m.id, m.campaign_id, m.state, m.error_code FROM outbound_messages m \
            WHERE m.campaign_id = " [campaign: sql_types::Uuid] " AND m.state = 'unknown' AND ("
        [ids: Nullable<Array<sql_types::Uuid>>] " IS NULL OR m.id = ANY("
        [ids: Nullable<Array<sql_types::Uuid>>] ")) ORDER BY m.id LIMIT " [most: BigInt]
        " FOR UPDATE) \
         UPDATE outbound_messages m SET state = " [state: Text] ", not_before = NULL, \
            accepted_at = CASE WHEN " [state: Text] " = 'accepted' THEN " [now: Timestamptz]
        " ELSE m.accepted_at END, failed_at = CASE WHEN " [state: Text] " = 'failed' THEN "
        [now: Timestamptz] " ELSE m.failed_at END FROM old WHERE m.id = old.id \
         RETURNING m.id, old.campaign_id, old.state, old.error_code"
    }
}

/// Decides about recipients that are uncertain: those of `ids`, or all, `most` of them at most. News from
/// Meta overrules the decision. `None`: the workspace has no such campaign.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
#[expect(clippy::too_many_arguments, reason = "whose, which, what, by whom and when")]
pub async fn resolve(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    campaign: CampaignId,
    ids: Option<&[MessageId]>,
    as_what: Resolution,
    most: i64,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Option<Again>, StorageError> {
    let Some((before, _)) = lock(tx, workspace, campaign).await? else { return Ok(None) };
    let (status, state) = match as_what {
        Resolution::Sent => (before, "accepted"),
        Resolution::NotSent => (before, "failed"),
        Resolution::Resend => match goes_on(before) {
            Some(next) => next,
            None => return Ok(Some(Again { status: before, recipients: 0 })),
        },
    };
    let ids = ids.map(|ids| ids.iter().map(|id| id.as_uuid()).collect());
    let resolve = Resolve { campaign: campaign.as_uuid(), ids, state, most, now };
    let old: Vec<Returned> = resolve.load(tx).await?;
    let end = |row: &Returned| End::of(state, row.3);
    finish(tx, campaign, (before, status), old, end, by, as_what.action(), now).await
}

#[expect(clippy::too_many_arguments, reason = "the common end of two actions")]
async fn finish(
    tx: &mut AsyncPgConnection,
    campaign: CampaignId,
    (before, status): (Status, Status),
    old: Vec<Returned>,
    end: impl Fn(&Returned) -> Option<End>,
    by: &By,
    action: &'static str,
    now: DateTime<Utc>,
) -> Result<Option<Again>, StorageError> {
    let recipients = i64::try_from(old.len()).unwrap_or(i64::MAX);
    if recipients == 0 {
        return Ok(Some(Again { status: before, recipients }));
    }
    let mut changes = Changes::default();
    for row in &old {
        changes.left(row, end(row).as_ref());
    }
    if before != status {
        set(tx, campaign, status, None, now).await?;
    }
    log(tx, campaign, by, action, recipients, now).await?;
    counts::apply(tx, changes, now).await?;
    Ok(Some(Again { status, recipients }))
}
