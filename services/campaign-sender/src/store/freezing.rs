//! Makes recipients of an audience, set by set.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::sql_types::{
    self, Array, BigInt, Bool, Integer, Jsonb, Nullable, Text, Timestamp, Timestamptz,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::CampaignId;
use kernel::statement;
use serde_json::Value;
use storage::StorageError;
use storage::contacts::Source;
use uuid::Uuid;

use super::work::Work;
use crate::audience::Audience;
use crate::template::{LONGEST, Placeholder};

/// Contacts looked at in one transaction: some tenths of a second of work.
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

/// Makes contacts of the given numbers after `after` that are none yet; returns how far it came, or
/// none at the end. Race-free: whoever comes second finds the row of the first.
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
) -> Result<Option<String>, StorageError> {
    let enrol = Enrol {
        campaign: work.id.as_uuid(),
        workspace: work.workspace.as_uuid(),
        after,
        upload: audience.upload,
        source: Source::Campaign.as_str(),
        most: STEP,
        now,
    };
    let (count, last): (i64, Option<String>) = enrol.get_result(conn).await?;
    Ok(last.filter(|_| count == STEP))
}

statement! {
    Pin(id: Uuid) -> (Text, Nullable<sql_types::Uuid>, BigInt, Integer) {
        "SELECT c.status, c.prepared_through, c.total, (SELECT coalesce(max(k.chunk), 0) \
            FROM campaign_chunks k WHERE k.campaign_id = c.id) \
         FROM campaigns c WHERE c.id = " [id: sql_types::Uuid] " FOR NO KEY UPDATE"
    }
}

/// Where freezing has come to.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) status: String,
    pub(crate) through: Option<Uuid>,
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
    let mut rows: Vec<(String, Option<Uuid>, i64, i32)> = Pin { id: id.as_uuid() }.load(tx).await?;
    Ok(rows.pop().map(|(status, through, total, chunks)| Place { status, through, total, chunks }))
}

// `n` follows the order of sending, so the recipients of a chunk are one range of it; who is skipped
// comes behind them and belongs to chunk 0, which there is not.
statement! {
    Freeze(
        campaign: Uuid, workspace: Uuid, through: Uuid, step: i64, chunk: i64, chunks: i32, total: i64,
        tags: Vec<String>, all_tags: Vec<String>, attributes: Value, upload: bool, excluded: Vec<String>,
        sources: Vec<&'static str>, keys: Vec<String>, defaults: Vec<Option<String>>, longest: i32,
        zones: Vec<String>, zone: String, is_local: bool, scheduled: Option<NaiveDateTime>,
    ) -> (BigInt, Nullable<sql_types::Uuid>, BigInt, Jsonb) {
        "WITH looked AS (SELECT c.id, c.wa_id, c.user_id, c.name, c.attributes, c.tags, c.opted_out_at \
            FROM contacts c WHERE c.workspace_id = " [workspace: sql_types::Uuid] " AND c.id > "
        [through: sql_types::Uuid] " ORDER BY c.id LIMIT " [step: BigInt]
        "), chosen AS (SELECT l.* FROM looked l WHERE (l.tags && " [tags: Array<Text>]
        " OR (cardinality(" [all_tags: Array<Text>] ") > 0 AND l.tags @> " [all_tags: Array<Text>]
        ") OR (" [attributes: Jsonb] " <> '{}'::jsonb AND l.attributes @> " [attributes: Jsonb]
        ") OR EXISTS (SELECT 1 FROM campaign_uploads u WHERE u.campaign_id = " [campaign: sql_types::Uuid]
        " AND u.wa_id = l.wa_id AND (u.line < 0 OR " [upload: Bool] "))) AND NOT l.tags && "
        [excluded: Array<Text>]
        "), valued AS (SELECT c.id, c.wa_id, c.user_id, c.opted_out_at, coalesce(z.name, " [zone: Text]
        ") AS zone, (SELECT coalesce(jsonb_agg(CASE WHEN length(x.value) BETWEEN 1 AND " [longest: Integer]
        " THEN x.value ELSE p.otherwise END ORDER BY p.n), '[]') FROM unnest(" [sources: Array<Text>] ", "
        [keys: Array<Text>] ", " [defaults: Array<Nullable<Text>>]
        ") WITH ORDINALITY AS p (source, key, otherwise, n) CROSS JOIN LATERAL (SELECT \
            btrim(regexp_replace(CASE p.source WHEN 'name' THEN coalesce(u.name, c.name) \
            WHEN 'phone' THEN '+' || c.wa_id ELSE coalesce(u.attributes ->> p.key, c.attributes ->> p.key) \
            END, '\\s+', ' ', 'g')) AS value) x) AS params \
            FROM chosen c LEFT JOIN LATERAL (SELECT u.name, u.attributes FROM campaign_uploads u \
                WHERE u.campaign_id = " [campaign: sql_types::Uuid] " AND u.wa_id = c.wa_id AND u.line >= 0 AND "
        [upload: Bool] " ORDER BY u.line LIMIT 1) u ON true LEFT JOIN unnest(" [zones: Array<Text>]
        ") AS z (name) ON z.name = c.attributes ->> 'time_zone'), \
         judged AS (SELECT v.*, CASE WHEN v.opted_out_at IS NOT NULL THEN 'opted_out' \
            WHEN v.wa_id IS NULL AND v.user_id IS NULL THEN 'no_address' \
            WHEN v.params @> '[null]' THEN 'invalid_params' END AS skip FROM valued v), \
         parted AS (SELECT j.*, (row_number() OVER (PARTITION BY zone, skip IS NULL ORDER BY id) - 1) / "
        [chunk: BigInt] " AS part FROM judged j), \
         chunked AS (SELECT p.*, CASE WHEN skip IS NULL THEN " [chunks: Integer]
        " + dense_rank() OVER (PARTITION BY skip IS NULL ORDER BY zone, part) ELSE 0 END::integer AS chunk \
            FROM parted p), \
         numbered AS (SELECT c.*, (" [total: BigInt]
        " + row_number() OVER (ORDER BY skip IS NOT NULL, chunk, id))::integer AS n FROM chunked c), \
         recipients AS (INSERT INTO campaign_recipients (campaign_id, n, id, chunk, contact_id, \
            recipient_kind, recipient, params, skip_reason) SELECT " [campaign: sql_types::Uuid] ", n, "
        "encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING \
         substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) \
         FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid"
        ", chunk, id, CASE WHEN wa_id IS NULL THEN 'user' ELSE 'number' END, coalesce(wa_id, user_id, ''), \
            params, skip FROM numbered ORDER BY n), \
         chunks AS (INSERT INTO campaign_chunks (campaign_id, chunk, size, time_zone, first_n, not_before, \
            state) SELECT " [campaign: sql_types::Uuid] ", chunk, count(*), zone, min(n), CASE WHEN "
        [is_local: Bool] " THEN " [scheduled: Nullable<Timestamp>] " AT TIME ZONE zone END, 'waiting' \
            FROM numbered WHERE skip IS NULL GROUP BY chunk, zone) \
         SELECT (SELECT count(*) FROM looked), (SELECT id FROM looked ORDER BY id DESC LIMIT 1), \
            (SELECT count(*) FROM numbered), (SELECT coalesce(jsonb_object_agg(s.skip, s.n), '{}') FROM \
            (SELECT skip, count(*) AS n FROM numbered WHERE skip IS NOT NULL GROUP BY skip) s)"
    }
}

/// What a step of freezing made.
#[derive(Clone, Debug)]
pub(crate) struct Frozen {
    /// The last contact that was looked at; none when there was no more.
    pub(crate) through: Option<Uuid>,
    /// Whether there may be more contacts.
    pub(crate) is_all: bool,
    /// New recipients, skipped ones included.
    pub(crate) recipients: i64,
    /// How many of them are skipped, by reason.
    pub(crate) skipped: Vec<(String, i64)>,
}

/// Looks at the next contacts and makes recipients and chunks of those that are in the audience.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn freeze(
    tx: &mut AsyncPgConnection,
    work: &Work,
    (audience, placeholders): (&Audience, &[Placeholder]),
    place: &Place,
    zones: &[String],
) -> Result<Frozen, StorageError> {
    let freeze = Freeze {
        campaign: work.id.as_uuid(),
        workspace: work.workspace.as_uuid(),
        through: place.through.unwrap_or_default(),
        step: STEP,
        chunk: CHUNK,
        chunks: place.chunks,
        total: place.total,
        tags: audience.tags.clone(),
        all_tags: audience.all_tags.clone(),
        attributes: audience.attributes_json(),
        upload: audience.upload,
        excluded: audience.exclude.tags.clone(),
        sources: placeholders.iter().map(|p| p.source.as_str()).collect(),
        keys: placeholders.iter().map(|p| p.source.key().to_owned()).collect(),
        defaults: placeholders.iter().map(|p| p.default.clone()).collect(),
        longest: i32::try_from(LONGEST).unwrap_or(i32::MAX),
        zones: zones.to_vec(),
        zone: work.time_zone.clone(),
        is_local: work.is_local_time,
        scheduled: work.scheduled_for,
    };
    let (looked, through, recipients, skipped): (i64, Option<Uuid>, i64, Value) =
        freeze.get_result(tx).await?;
    let skipped = skipped.as_object().into_iter().flatten();
    Ok(Frozen {
        through,
        is_all: looked < STEP,
        recipients,
        skipped: skipped.filter_map(|(reason, n)| Some((reason.clone(), n.as_i64()?))).collect(),
    })
}

statement! {
    Advance(id: Uuid, through: Option<Uuid>, new: i64, is_all: bool, now: DateTime<Utc>) -> () {
        "UPDATE campaigns SET prepared_through = coalesce(" [through: Nullable<sql_types::Uuid>]
        ", prepared_through), total = total + " [new: BigInt] ", prepared_at = CASE WHEN " [is_all: Bool]
        " THEN " [now: Timestamptz] " END, updated_at = " [now: Timestamptz] " WHERE id = "
        [id: sql_types::Uuid]
    }
}

/// Writes down how far freezing has come, in the transaction of its step.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn advance(
    tx: &mut AsyncPgConnection,
    id: CampaignId,
    frozen: &Frozen,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let Frozen { through, is_all, recipients, .. } = *frozen;
    Advance { id: id.as_uuid(), through, new: recipients, is_all, now }.execute(tx).await?;
    Ok(())
}
