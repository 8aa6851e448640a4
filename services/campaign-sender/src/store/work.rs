//! Campaigns as the engine sees them.

use chrono::{DateTime, NaiveDateTime, NaiveTime, Utc};
use diesel::sql_types::{
    self, BigInt, Bool, Integer, Jsonb, Nullable, Text, Time, Timestamp, Timestamptz,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{CampaignId, ConnectionId, WorkspaceId};
use kernel::statement;
use serde_json::Value;
use storage::StorageError;
use storage::campaigns::standing::Status;
use storage::send_ledger::OnDoubt;
use uuid::Uuid;

use super::freezing::Through;
use super::log;
use crate::audience::Cap;

/// Everything the engine goes by, as of one moment.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) id: CampaignId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) connection: ConnectionId,
    pub(crate) status: Status,
    pub(crate) template: Value,
    pub(crate) audience: Value,
    pub(crate) on_doubt: OnDoubt,
    pub(crate) cap: Option<Cap>,
    /// Wall clock of the campaign's zone, or of each recipient.
    pub(crate) scheduled_for: Option<NaiveDateTime>,
    pub(crate) time_zone: String,
    pub(crate) is_local_time: bool,
    pub(crate) quiet: Option<(NaiveTime, NaiveTime)>,
    pub(crate) ends_at: Option<DateTime<Utc>>,
    /// How far the audience is frozen.
    pub(crate) prepared: Through,
    pub(crate) next_look_at: Option<DateTime<Utc>>,
    /// The first moment at which somebody may be sent to; none without a schedule.
    pub(crate) due_at: Option<DateTime<Utc>>,
    /// The connection's own limit, messages per minute.
    pub(crate) per_minute: Option<i32>,
    /// Messages in the ledger that have not ended.
    pub(crate) open: i64,
}

type Row = (
    (Uuid, Uuid, String, Value, Value, String, Option<i32>, Option<i32>),
    (
        Option<NaiveDateTime>,
        String,
        bool,
        Option<NaiveTime>,
        Option<NaiveTime>,
        Option<DateTime<Utc>>,
    ),
    (Option<String>, Option<Uuid>, Option<DateTime<Utc>>, Option<DateTime<Utc>>, Option<i32>, i64),
);

// The earliest zone on earth is 14 hours ahead of UTC: there a day begins first.
statement! {
    Read(id: Uuid) -> (
        (sql_types::Uuid, sql_types::Uuid, Text, Jsonb, Jsonb, Text, Nullable<Integer>, Nullable<Integer>),
        (Nullable<Timestamp>, Text, Bool, Nullable<Time>, Nullable<Time>, Nullable<Timestamptz>),
        (Nullable<Text>, Nullable<sql_types::Uuid>, Nullable<Timestamptz>, Nullable<Timestamptz>,
            Nullable<Integer>, BigInt),
    ) {
        "SELECT c.workspace_id, c.connection_id, c.status, c.template, c.audience, c.on_uncertain, \
            c.cap_messages, c.cap_days, c.scheduled_for, c.time_zone, c.is_local_time, c.quiet_from, \
            c.quiet_to, c.ends_at, c.prepared_number, c.prepared_through, c.next_look_at, \
            CASE WHEN c.is_local_time THEN c.scheduled_for AT TIME ZONE 'UTC' - interval '14 hours' \
                ELSE c.scheduled_for AT TIME ZONE c.time_zone END, \
            l.whatsapp_api_per_minute, (SELECT count(*) FROM outbound_messages o \
                WHERE o.campaign_id = c.id AND o.state IN ('ready', 'held', 'sending')) \
         FROM campaigns c JOIN connections l ON l.id = c.connection_id WHERE c.id = " [id: sql_types::Uuid]
    }
}

/// Reads a campaign; none when it was deleted.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn read(
    conn: &mut AsyncPgConnection,
    id: CampaignId,
) -> Result<Option<Work>, StorageError> {
    let mut rows: Vec<Row> = Read { id: id.as_uuid() }.load(conn).await?;
    Ok(rows.pop().and_then(|row| Work::from_row(id, row)))
}

impl Work {
    fn from_row(id: CampaignId, row: Row) -> Option<Self> {
        let (
            (
                workspace,
                connection,
                status,
                template,
                audience,
                on_uncertain,
                cap_messages,
                cap_days,
            ),
            (scheduled_for, time_zone, is_local_time, quiet_from, quiet_to, ends_at),
            (number, contact, next_look_at, due_at, per_minute, open),
        ) = row;
        Some(Self {
            id,
            workspace: WorkspaceId::from_uuid(workspace),
            connection: ConnectionId::from_uuid(connection),
            status: Status::read(&status)?,
            template,
            audience,
            on_doubt: match on_uncertain.as_str() {
                "resend" => OnDoubt::Resend,
                "assume_sent" => OnDoubt::AssumeSent,
                _ => OnDoubt::Hold,
            },
            cap: cap_messages.zip(cap_days).map(|(messages, days)| Cap { messages, days }),
            scheduled_for,
            time_zone,
            is_local_time,
            quiet: quiet_from.zip(quiet_to),
            ends_at,
            prepared: Through { number, contact },
            next_look_at,
            due_at,
            per_minute,
            open,
        })
    }
}

statement! {
    Due(now: DateTime<Utc>) -> sql_types::Uuid {
        "SELECT id FROM campaigns WHERE status IN ('scheduled', 'preparing', 'running') \
         AND (next_look_at IS NULL OR next_look_at <= " [now: Timestamptz]
        ") ORDER BY next_look_at NULLS FIRST LIMIT 100"
    }
}

/// Campaigns that nobody looks after although their time has come, of all tenants.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn due(
    conn: &mut AsyncPgConnection,
    now: DateTime<Utc>,
) -> Result<Vec<CampaignId>, StorageError> {
    let ids: Vec<Uuid> = Due { now }.load(conn).await?;
    Ok(ids.into_iter().map(CampaignId::from_uuid).collect())
}

statement! {
    Rest(id: Uuid, at: DateTime<Utc>, waits_for: Option<&'static str>) -> () {
        "UPDATE campaigns SET next_look_at = " [at: Timestamptz] ", waits_for = "
        [waits_for: Nullable<Text>] " WHERE id = " [id: sql_types::Uuid]
        " AND status IN ('scheduled', 'preparing', 'running')"
    }
}

/// Says when somebody must look at the campaign again, and what it waits for until then.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn rest(
    conn: &mut AsyncPgConnection,
    id: CampaignId,
    at: DateTime<Utc>,
    waits_for: Option<&'static str>,
) -> Result<(), StorageError> {
    Rest { id: id.as_uuid(), at, waits_for }.execute(conn).await?;
    Ok(())
}

statement! {
    RestNoLonger(id: Uuid, by: DateTime<Utc>) -> () {
        "UPDATE campaigns SET next_look_at = " [by: Timestamptz] " WHERE id = " [id: sql_types::Uuid]
        " AND status IN ('scheduled', 'preparing', 'running') AND (next_look_at IS NULL OR next_look_at > "
        [by: Timestamptz] ")"
    }
}

/// Says that somebody must look at the campaign again at `by`, if not earlier.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn rest_no_longer(
    conn: &mut AsyncPgConnection,
    id: CampaignId,
    by: DateTime<Utc>,
) -> Result<(), StorageError> {
    RestNoLonger { id: id.as_uuid(), by }.execute(conn).await?;
    Ok(())
}

statement! {
    TakeOver(id: Uuid, before: DateTime<Utc>, until: DateTime<Utc>) -> sql_types::Uuid {
        "UPDATE campaigns SET next_look_at = " [until: Timestamptz] " WHERE id = " [id: sql_types::Uuid]
        " AND status IN ('scheduled', 'preparing', 'running') AND next_look_at < " [before: Timestamptz]
        " RETURNING id"
    }
}

/// Takes a campaign on that somebody should have looked at before `before`; `true` for one of those who
/// ask at once. Nobody else does until `until`.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn take_over(
    conn: &mut AsyncPgConnection,
    id: CampaignId,
    before: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let taken: Vec<Uuid> = TakeOver { id: id.as_uuid(), before, until }.load(conn).await?;
    Ok(!taken.is_empty())
}

statement! {
    Move(id: Uuid, from: &'static str, to: &'static str, code: Option<&'static str>, reason: Option<&'static str>,
        is_end: bool, now: DateTime<Utc>) -> sql_types::Uuid {
        "UPDATE campaigns SET status = " [to: Text] ", reason_code = " [code: Nullable<Text>] ", reason = "
        [reason: Nullable<Text>] ", waits_for = NULL, next_look_at = NULL, \
         started_at = coalesce(started_at, CASE WHEN NOT " [is_end: Bool] " THEN " [now: Timestamptz]
        " END), finished_at = CASE WHEN " [is_end: Bool] " THEN " [now: Timestamptz]
        " END, version = version + 1, updated_at = " [now: Timestamptz] " WHERE id = " [id: sql_types::Uuid] " AND status = "
        [from: Text] " RETURNING id"
    }
}

/// A change of state that no person made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) from: Status,
    pub(crate) to: Status,
    /// Why, for programs and for people.
    pub(crate) reason: Option<(&'static str, &'static str)>,
    /// The word for it in the log.
    pub(crate) action: &'static str,
}

/// Moves the campaign on, if it still is where `change` begins, and writes that into its log.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn change(
    tx: &mut AsyncPgConnection,
    work: &Work,
    change: Change,
    detail: Value,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let is_end =
        matches!(change.to, Status::Completed | Status::CompletedWithIssues | Status::Failed);
    let step = Move {
        id: work.id.as_uuid(),
        from: change.from.as_str(),
        to: change.to.as_str(),
        code: change.reason.map(|(code, _)| code),
        reason: change.reason.map(|(_, reason)| reason),
        is_end,
        now,
    };
    let moved: Vec<Uuid> = step.load(tx).await?;
    if moved.is_empty() {
        return Ok(false);
    }
    note(tx, work, change.action, detail, now).await?;
    Ok(true)
}

/// Writes into the campaign's log.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn note(
    tx: &mut AsyncPgConnection,
    work: &Work,
    action: &'static str,
    detail: Value,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let entry = ("campaign-sender".to_owned(), action, detail);
    log::append(tx, work.workspace, work.id, entry, now).await
}

statement! {
    Zones() -> Text {
        "SELECT name FROM pg_timezone_names"
    }
}

statement! {
    Running() -> sql_types::Uuid {
        "SELECT id FROM campaigns WHERE status IN ('preparing', 'running') ORDER BY id"
    }
}

/// Campaigns with numbers that move, of all tenants.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn running(conn: &mut AsyncPgConnection) -> Result<Vec<CampaignId>, StorageError> {
    let ids: Vec<Uuid> = Running {}.load(conn).await?;
    Ok(ids.into_iter().map(CampaignId::from_uuid).collect())
}

/// Every time zone that PostgreSQL knows; reading them takes it some ten milliseconds.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn zones(conn: &mut AsyncPgConnection) -> Result<Vec<String>, StorageError> {
    Ok(Zones {}.load(conn).await?)
}
