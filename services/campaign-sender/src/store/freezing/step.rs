//! One step of freezing: some people of the audience become recipients, in chunks.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::sql_types::{
    self, Array, BigInt, Bool, Integer, Jsonb, Nullable, Text, Timestamp, Timestamptz,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::CampaignId;
use kernel::statement;
use serde_json::{Value, json};
use storage::StorageError;
use uuid::Uuid;

use super::{CHUNK, Place, STEP, Span, Through};
use crate::audience::Audience;
use crate::store::work::Work;
use crate::template::{LONGEST, Placeholder};

// Each way to be in the audience has a branch of its own with an index of its own, and its own end: so a
// step costs what it finds. Whoever has a row is left out: a number may be that of a contact with the tag.
// The last branch is for contacts behind us that others, which we had not come to yet, were merged into
// meanwhile (whoever commits a merge may have begun it some time before): what made the others part of the
// audience is theirs now.
//
// `n` follows the order of sending, so the recipients of a chunk are one range of it; who is skipped
// comes behind them and belongs to chunk 0, which there is not. What placeholders stand for is worked out
// once for each row (MATERIALIZED): it costs more than all the rest.
statement! {
    Freeze(
        campaign: Uuid, workspace: Uuid, number_after: String, number_through: String, through: Uuid, step: i64,
        chunk: i64, chunks: i32, total: i64, tags: Vec<String>, all_tags: Vec<String>, attributes: Value,
        upload: bool, excluded: Vec<String>, sources: Vec<&'static str>, keys: Vec<String>,
        defaults: Vec<Option<String>>, longest: i32, zones: Vec<String>, zone: String, is_local: bool,
        scheduled: Option<NaiveDateTime>,
    ) -> (BigInt, Nullable<sql_types::Uuid>, BigInt, Jsonb) {
        "WITH given AS MATERIALIZED (SELECT DISTINCT ON (u.wa_id) u.wa_id, u.name, u.attributes \
            FROM campaign_uploads u WHERE u.campaign_id = " [campaign: sql_types::Uuid] " AND u.wa_id > "
        [number_after: Text] " AND u.wa_id <= " [number_through: Text] " AND (u.line < 0 OR " [upload: Bool]
        ") ORDER BY u.wa_id, u.line < 0, u.line), \
         found AS (SELECT c.id, c.wa_id, c.user_id, coalesce(g.name, c.name) AS name, \
            c.attributes || g.attributes AS attributes, c.tags, c.opted_out_at \
            FROM given g JOIN contacts c ON c.wa_id = g.wa_id AND c.workspace_id = "
        [workspace: sql_types::Uuid] " AND c.wa_id > " [number_after: Text] " AND c.wa_id <= "
        [number_through: Text] " \
            UNION ALL (SELECT c.id, c.wa_id, c.user_id, c.name, c.attributes, c.tags, c.opted_out_at \
            FROM contacts c WHERE cardinality(" [tags: Array<Text>]
        ") > 0 AND c.workspace_id = " [workspace: sql_types::Uuid] " AND c.id > " [through: sql_types::Uuid]
        " AND c.tags <> '{}' AND c.tags && " [tags: Array<Text>] " ORDER BY c.id LIMIT " [step: BigInt]
        ") UNION ALL (SELECT c.id, c.wa_id, c.user_id, c.name, c.attributes, c.tags, c.opted_out_at \
            FROM contacts c WHERE cardinality(" [all_tags: Array<Text>]
        ") > 0 AND c.workspace_id = " [workspace: sql_types::Uuid] " AND c.id > " [through: sql_types::Uuid]
        " AND c.tags <> '{}' AND c.tags @> " [all_tags: Array<Text>] " ORDER BY c.id LIMIT " [step: BigInt]
        ") UNION ALL (SELECT c.id, c.wa_id, c.user_id, c.name, c.attributes, c.tags, c.opted_out_at \
            FROM contacts c WHERE " [attributes: Jsonb]
        " <> '{}'::jsonb AND c.workspace_id = " [workspace: sql_types::Uuid] " AND c.id > "
        [through: sql_types::Uuid] " AND c.attributes @> " [attributes: Jsonb] " ORDER BY c.id LIMIT "
        [step: BigInt] ") UNION ALL (SELECT c.id, c.wa_id, c.user_id, c.name, c.attributes, c.tags, \
            c.opted_out_at FROM contact_merges m JOIN contacts c ON c.id = m.kept \
            WHERE m.merged_at > (SELECT coalesce(w.started_at, w.created_at) - interval '10 minutes' \
            FROM campaigns w WHERE w.id = " [campaign: sql_types::Uuid] ") AND c.workspace_id = "
        [workspace: sql_types::Uuid] " AND c.id <= " [through: sql_types::Uuid] " AND (c.tags && "
        [tags: Array<Text>] " OR cardinality(" [all_tags: Array<Text>] ") > 0 AND c.tags @> "
        [all_tags: Array<Text>] " OR " [attributes: Jsonb] " <> '{}'::jsonb AND c.attributes @> "
        [attributes: Jsonb] ") AND NOT c.tags && " [excluded: Array<Text>] " AND NOT EXISTS (SELECT 1 \
            FROM campaign_recipients r WHERE r.campaign_id = " [campaign: sql_types::Uuid]
        " AND (r.contact_id = c.id OR r.contact_id IN (SELECT n.gone FROM contact_merges n \
            WHERE n.kept = c.id))) ORDER BY c.id LIMIT " [step: BigInt] ")), \
         looked AS MATERIALIZED (SELECT DISTINCT ON (f.id) f.* FROM found f ORDER BY f.id LIMIT " [step: BigInt]
        "), chosen AS (SELECT l.* FROM looked l WHERE NOT l.tags && " [excluded: Array<Text>]
        " AND (SELECT r.n FROM campaign_recipients r WHERE r.campaign_id = " [campaign: sql_types::Uuid]
        " AND r.contact_id = l.id) IS NULL), \
         valued AS MATERIALIZED (SELECT c.id, c.wa_id, c.user_id, c.opted_out_at, \
            CASE WHEN c.attributes ->> 'time_zone' = ANY(" [zones: Array<Text>] ") THEN c.attributes ->> 'time_zone' ELSE " [zone: Text]
        " END AS zone, (SELECT coalesce(jsonb_agg(CASE WHEN length(x.value) BETWEEN 1 AND " [longest: Integer]
        " THEN x.value ELSE p.otherwise END ORDER BY p.n), '[]') FROM unnest(" [sources: Array<Text>] ", "
        [keys: Array<Text>] ", " [defaults: Array<Nullable<Text>>]
        ") WITH ORDINALITY AS p (source, key, otherwise, n) CROSS JOIN LATERAL (SELECT \
            btrim(regexp_replace(CASE p.source WHEN 'name' THEN c.name WHEN 'phone' THEN '+' || c.wa_id \
            ELSE c.attributes ->> p.key END, '\\s+', ' ', 'g')) AS value) x) AS params FROM chosen c), \
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
         SELECT (SELECT count(*) FROM looked), greatest((SELECT id FROM looked ORDER BY id DESC LIMIT 1), "
        [through: sql_types::Uuid] "), \
            (SELECT count(*) FROM numbered), (SELECT coalesce(jsonb_object_agg(s.skip, s.n), '{}') FROM \
            (SELECT skip, count(*) AS n FROM numbered WHERE skip IS NOT NULL GROUP BY skip) s)"
    }
}

/// What a step of freezing made.
#[derive(Clone, Debug)]
pub(crate) struct Frozen {
    /// How far the audience is frozen now.
    pub(crate) through: Through,
    /// Whether everybody is.
    pub(crate) is_all: bool,
    /// New recipients, skipped ones included.
    pub(crate) recipients: i64,
    /// How many of them are skipped, by reason.
    pub(crate) skipped: Vec<(String, i64)>,
}

/// Makes recipients and chunks of the next people: those with the given numbers, or without any numbers the
/// next contacts that the audience describes.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn freeze(
    tx: &mut AsyncPgConnection,
    work: &Work,
    (audience, placeholders): (&Audience, &[Placeholder]),
    (place, numbers): (&Place, Option<&Span>),
    zones: &[String],
) -> Result<Frozen, StorageError> {
    let walks = numbers.is_none();
    let given = numbers.cloned();
    let (number_after, number_through) =
        given.map_or_else(Default::default, |span| (span.after, span.through));
    let freeze = Freeze {
        campaign: work.id.as_uuid(),
        workspace: work.workspace.as_uuid(),
        number_after,
        number_through,
        through: place.through.contact.unwrap_or_default(),
        step: STEP,
        chunk: CHUNK,
        chunks: place.chunks,
        total: place.total,
        tags: if walks { audience.tags.clone() } else { Vec::new() },
        all_tags: if walks { audience.all_tags.clone() } else { Vec::new() },
        attributes: if walks { audience.attributes_json() } else { json!({}) },
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
    let (looked, last, recipients, skipped): (i64, Option<Uuid>, i64, Value) =
        freeze.get_result(tx).await?;
    let skipped = skipped.as_object().into_iter().flatten();
    let (through, is_all) = match numbers {
        Some(span) => place.through.after(span, audience),
        None => (Through { contact: last, ..place.through.clone() }, looked < STEP),
    };
    Ok(Frozen {
        through,
        is_all,
        recipients,
        skipped: skipped.filter_map(|(reason, n)| Some((reason.clone(), n.as_i64()?))).collect(),
    })
}

impl Through {
    /// How far it is after these numbers, and whether that is all.
    fn after(&self, span: &Span, audience: &Audience) -> (Self, bool) {
        let contact = if span.is_last { Some(Uuid::nil()) } else { self.contact };
        let number = Some(span.through.clone());
        (Self { number, contact }, span.is_last && !audience.describes_contacts())
    }
}

statement! {
    Advance(id: Uuid, number: Option<String>, contact: Option<Uuid>, new: i64, is_all: bool, now: DateTime<Utc>)
    -> () {
        "UPDATE campaigns SET prepared_number = " [number: Nullable<Text>]
        ", prepared_through = coalesce(" [contact: Nullable<sql_types::Uuid>]
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
    let Frozen { is_all, recipients, .. } = *frozen;
    let Through { number, contact } = frozen.through.clone();
    Advance { id: id.as_uuid(), number, contact, new: recipients, is_all, now }.execute(tx).await?;
    Ok(())
}
