//! Makes recipients of an audience, set by set: first of the numbers that it gives, in their order, then
//! of the contacts that it describes, in the order of their ids.

mod step;

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::CampaignId;
use kernel::statement;
use storage::StorageError;
use storage::contacts::Source;
use uuid::Uuid;

pub(crate) use self::step::{Frozen, advance, freeze};
use super::work::Work;
use crate::audience::Audience;

/// People frozen in one transaction at most: some tenths of a second of work.
pub(crate) const STEP: i64 = 20_000;

/// Recipients in a chunk.
pub(crate) const CHUNK: i64 = 500;

statement! {
    List(campaign: Uuid, lines: Vec<i32>, numbers: Vec<String>) -> () {
        "INSERT INTO campaign_uploads (campaign_id, line, wa_id) SELECT " [campaign: sql_types::Uuid]
        ", s.line, s.wa_id FROM unnest(" [lines: Array<Integer>] ", " [numbers: Array<Text>]
        ") AS s (line, wa_id) ON CONFLICT (campaign_id, line) DO NOTHING"
    }
}

/// Puts the numbers listed in the audience beside those of the file: under negative lines, so that
/// both can be told apart. Repeating it changes nothing.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn list(
    conn: &mut AsyncPgConnection,
    campaign: CampaignId,
    audience: &Audience,
) -> Result<(), StorageError> {
    let (lines, numbers): (Vec<i32>, Vec<String>) = audience
        .numbers()
        .filter_map(|(place, number)| Some((-1 - i32::try_from(place).ok()?, number)))
        .unzip();
    if !lines.is_empty() {
        List { campaign: campaign.as_uuid(), lines, numbers }.execute(conn).await?;
    }
    Ok(())
}

// The ids are version 7 uuids: 48 bits of milliseconds, the version, then what a version 4 uuid has there.
statement! {
    Enrol(campaign: Uuid, workspace: Uuid, after: String, upload: bool, source: &'static str, most: i64,
        now: DateTime<Utc>) -> (BigInt, Nullable<Text>) {
        "WITH next AS (SELECT u.wa_id, min(u.name) AS name FROM campaign_uploads u WHERE u.campaign_id = "
        [campaign: sql_types::Uuid] " AND u.wa_id > " [after: Text] " AND (u.line < 0 OR " [upload: Bool]
        ") GROUP BY u.wa_id ORDER BY u.wa_id LIMIT " [most: BigInt]
        "), made AS (INSERT INTO contacts (id, workspace_id, wa_id, name, source, created_at, updated_at) \
         SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING \
         substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) \
         FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid, " [workspace: sql_types::Uuid]
        ", n.wa_id, n.name, " [source: Text] ", " [now: Timestamptz] ", " [now: Timestamptz]
        " FROM next n WHERE NOT EXISTS (SELECT 1 FROM contacts c WHERE c.workspace_id = "
        [workspace: sql_types::Uuid] " AND c.wa_id = n.wa_id) ORDER BY n.wa_id ON CONFLICT DO NOTHING) \
         SELECT count(*), max(wa_id) FROM next"
    }
}

/// Some of the numbers that an audience gives, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Those behind this one, …
    pub(crate) after: String,
    /// … up to this one.
    pub(crate) through: String,
    /// Whether there may be more behind them.
    pub(crate) is_last: bool,
}

/// Makes contacts of the given numbers after `after` that are none yet, and says which numbers it looked
/// at. Race-free: whoever comes second finds the row of the first.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn enrol(
    conn: &mut AsyncPgConnection,
    work: &Work,
    audience: &Audience,
    after: String,
    now: DateTime<Utc>,
) -> Result<Span, StorageError> {
    let enrol = Enrol {
        campaign: work.id.as_uuid(),
        workspace: work.workspace.as_uuid(),
        after: after.clone(),
        upload: audience.upload,
        source: Source::Campaign.as_str(),
        most: STEP,
        now,
    };
    let (count, last): (i64, Option<String>) = enrol.get_result(conn).await?;
    Ok(Span { through: last.unwrap_or_else(|| after.clone()), after, is_last: count < STEP })
}

statement! {
    PlanAnew() -> () {
        "SET LOCAL plan_cache_mode = force_custom_plan"
    }
}

/// For the rest of the transaction PostgreSQL plans each statement for its values: a rare tag is looked up
/// in the index of tags, a common one is met on the way.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn plan_anew(tx: &mut AsyncPgConnection) -> Result<(), StorageError> {
    PlanAnew {}.execute(tx).await?;
    Ok(())
}

statement! {
    Pin(id: Uuid) -> (Text, Nullable<Text>, Nullable<sql_types::Uuid>, BigInt, Integer) {
        "SELECT c.status, c.prepared_number, c.prepared_through, c.total, (SELECT coalesce(max(k.chunk), 0) \
            FROM campaign_chunks k WHERE k.campaign_id = c.id) \
         FROM campaigns c WHERE c.id = " [id: sql_types::Uuid] " FOR NO KEY UPDATE"
    }
}

/// How far an audience is frozen: first the numbers that it gives, then contacts that it describes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Through {
    /// The last number.
    pub(crate) number: Option<String>,
    /// The last contact; the nil id when the numbers are done.
    pub(crate) contact: Option<Uuid>,
}

/// Status, last number, last contact, recipients, chunks.
type Row = (String, Option<String>, Option<Uuid>, i64, i32);

/// Where freezing has come to.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) status: String,
    pub(crate) through: Through,
    pub(crate) total: i64,
    pub(crate) chunks: i32,
}

/// Locks the campaign for a step of freezing: two workers take steps one after the other.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn pin(
    tx: &mut AsyncPgConnection,
    id: CampaignId,
) -> Result<Option<Place>, StorageError> {
    let mut rows: Vec<Row> = Pin { id: id.as_uuid() }.load(tx).await?;
    Ok(rows.pop().map(|(status, number, contact, total, chunks)| Place {
        status,
        through: Through { number, contact },
        total,
        chunks,
    }))
}
