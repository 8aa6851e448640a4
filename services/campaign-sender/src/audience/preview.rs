//! Who a campaign would reach if it began now.

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, BigInt, Bool, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{CampaignId, ContactId, WorkspaceId};
use kernel::statement;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storage::StorageError;
use thiserror::Error;
use uuid::Uuid;

use super::Audience;
use crate::template::{LONGEST, Placeholder};

/// How many people a preview names.
const SAMPLE: i64 = 5;

/// What a preview goes by, beside the audience.
#[derive(Clone, Debug)]
pub struct About {
    /// Whose uploaded file counts.
    pub campaign: Option<CampaignId>,
    /// The cap on campaign messages to one person.
    pub cap: Option<Cap>,
    /// What the template needs to know of each person.
    pub placeholders: Vec<Placeholder>,
    /// Now.
    pub now: DateTime<Utc>,
}

/// At most so many campaign messages of a workspace to one person in so many days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// How many; at least 1.
    pub messages: i32,
    /// In how many days; at least 1.
    pub days: i32,
}

/// Who a campaign would reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// People, after duplicates were merged.
    pub total: i64,
    /// Those who would get a message.
    pub sendable: i64,
    /// Why the others would not.
    pub skipped: Skipped,
    /// Some of those who would.
    pub sample: Vec<Person>,
}

/// Why people or numbers would get nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// They asked for no more messages; part of the total.
    pub opted_out: i64,
    /// Nothing is known to send to; part of the total.
    pub no_address: i64,
    /// The template needs something that is not known of them, or that is too long; part of the total.
    pub invalid_params: i64,
    /// They have had enough campaign messages lately; part of the total.
    pub frequency_cap: i64,
    /// Numbers given more than once; merged, so not part of the total.
    pub duplicate: i64,
    /// Numbers that are none; not part of the total.
    pub invalid: i64,
}

/// Somebody who would get a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Person {
    /// Who it is; none for a number that is no contact yet.
    pub contact: Option<ContactId>,
    /// The name, if known.
    pub name: Option<String>,
    /// The number, if known.
    pub phone: Option<String>,
}

/// A preview could not be made.
#[derive(Debug, Error)]
pub enum PreviewError {
    /// The database did not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The sample is not what was asked for.
    #[error("the sample of an audience cannot be read")]
    Sample(#[from] serde_json::Error),
}

/// The counts in the order of [`Skipped`] behind the total, then the sample.
type Row = (i64, i64, i64, i64, i64, i64, Value);

#[derive(Deserialize)]
struct Sample {
    id: Option<Uuid>,
    name: Option<String>,
    wa_id: Option<String>,
}

statement! {
    Look(
        workspace: Uuid, campaign: Option<Uuid>, upload: bool, tags: Vec<String>, all_tags: Vec<String>,
        attributes: Value, excluded: Vec<String>, phones: Vec<String>,
        needs: Vec<&'static str>, keys: Vec<String>, longest: i32, cap: Option<i32>, since: DateTime<Utc>,
        sample: i64,
    ) -> (BigInt, BigInt, BigInt, BigInt, BigInt, BigInt, Jsonb) {
        "WITH given AS (SELECT g.wa_id, count(*) AS n, (array_agg(g.name ORDER BY g.line))[1] AS name, \
                (array_agg(g.attributes ORDER BY g.line))[1] AS attributes \
            FROM (SELECT unnest(" [phones: Array<Text>]
        ") AS wa_id, NULL::text AS name, '{}'::jsonb AS attributes, NULL::integer AS line \
            UNION ALL SELECT u.wa_id, u.name, u.attributes, u.line FROM campaign_uploads u WHERE u.campaign_id = "
        [campaign: Nullable<sql_types::Uuid>] " AND u.line >= 0 AND " [upload: Bool]
        ") g GROUP BY g.wa_id), \
         people AS (SELECT c.id, coalesce(g.name, c.name) AS name, c.wa_id, c.user_id, c.opted_out_at, \
                c.attributes || coalesce(g.attributes, '{}') AS attributes \
            FROM contacts c LEFT JOIN given g ON g.wa_id = c.wa_id WHERE c.workspace_id = " [workspace: sql_types::Uuid]
        " AND (c.tags && " [tags: Array<Text>]
        " OR (cardinality(" [all_tags: Array<Text>] ") > 0 AND c.tags @> " [all_tags: Array<Text>]
        ") OR (" [attributes: Jsonb] " <> '{}'::jsonb AND c.attributes @> " [attributes: Jsonb]
        ") OR g.wa_id IS NOT NULL) AND NOT c.tags && " [excluded: Array<Text>]
        " UNION ALL SELECT NULL, g.name, g.wa_id, NULL, NULL, g.attributes FROM given g WHERE NOT EXISTS \
            (SELECT 1 FROM contacts c WHERE c.workspace_id = " [workspace: sql_types::Uuid]
        " AND c.wa_id = g.wa_id)), \
         judged AS (SELECT p.id, p.name, p.wa_id, CASE WHEN p.opted_out_at IS NOT NULL THEN 'opted_out' \
            WHEN p.wa_id IS NULL AND p.user_id IS NULL THEN 'no_address' \
            WHEN EXISTS (SELECT 1 FROM unnest(" [needs: Array<Text>] ", " [keys: Array<Text>]
        ") AS t (source, key) WHERE coalesce(length(btrim(regexp_replace(CASE t.source WHEN 'name' THEN p.name \
                WHEN 'phone' THEN '+' || p.wa_id ELSE p.attributes ->> t.key END, '\\s+', ' ', 'g'))), 0) \
                NOT BETWEEN 1 AND " [longest: Integer] ") THEN 'invalid_params' \
            WHEN " [cap: Nullable<Integer>] " IS NOT NULL AND (SELECT count(*) FROM outbound_messages o \
                WHERE o.workspace_id = " [workspace: sql_types::Uuid]
        " AND o.recipient = coalesce(p.wa_id, p.user_id) AND o.campaign_id IS NOT NULL \
                AND o.state <> 'cancelled' AND o.created_at > " [since: Timestamptz]
        ") >= " [cap: Nullable<Integer>] " THEN 'frequency_cap' END AS skip FROM people p) \
         SELECT count(*), count(*) FILTER (WHERE skip = 'opted_out'), \
            count(*) FILTER (WHERE skip = 'no_address'), count(*) FILTER (WHERE skip = 'invalid_params'), \
            count(*) FILTER (WHERE skip = 'frequency_cap'), \
            (SELECT coalesce(sum(n - 1), 0)::bigint FROM given), \
            (SELECT coalesce(jsonb_agg(to_jsonb(s)), '[]') FROM (SELECT id, name, wa_id FROM judged \
                WHERE skip IS NULL LIMIT " [sample: BigInt] ") s) FROM judged"
    }
}

/// Looks up who the audience is now, in one snapshot, and changes nothing.
///
/// # Errors
///
/// [`PreviewError`] when the database does not answer.
pub async fn preview(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    audience: &Audience,
    about: About,
) -> Result<Preview, PreviewError> {
    let days = about.cap.map_or(1, |cap| cap.days);
    // Whatever has a default can be said to everybody.
    let needs: Vec<&Placeholder> =
        about.placeholders.iter().filter(|placeholder| placeholder.default.is_none()).collect();
    let look = Look {
        workspace: workspace.as_uuid(),
        campaign: about.campaign.map(|id| id.as_uuid()),
        upload: audience.upload,
        tags: audience.tags.clone(),
        all_tags: audience.all_tags.clone(),
        attributes: audience.attributes_json(),
        excluded: audience.exclude.tags.clone(),
        phones: audience.numbers().map(|(_, number)| number).collect(),
        needs: needs.iter().map(|placeholder| placeholder.source.as_str()).collect(),
        keys: needs.iter().map(|placeholder| placeholder.source.key().to_owned()).collect(),
        longest: i32::try_from(LONGEST).unwrap_or(i32::MAX),
        cap: about.cap.map(|cap| cap.messages),
        since: about.now - chrono::Days::new(u64::try_from(days).unwrap_or(1)),
        sample: SAMPLE,
    };
    let (total, opted_out, no_address, invalid_params, frequency_cap, duplicate, sample): Row =
        look.get_result(conn).await.map_err(StorageError::from)?;
    let rows: Vec<Sample> = serde_json::from_value(sample)?;
    Ok(Preview {
        total,
        sendable: total - opted_out - no_address - invalid_params - frequency_cap,
        skipped: Skipped {
            opted_out,
            no_address,
            invalid_params,
            frequency_cap,
            duplicate,
            invalid: i64::try_from(audience.invalid_numbers()).unwrap_or(i64::MAX),
        },
        sample: rows
            .into_iter()
            .map(|row| Person {
                contact: row.id.map(ContactId::from_uuid),
                name: row.name,
                phone: row.wa_id.map(|digits| format!("+{digits}")),
            })
            .collect(),
    })
}
