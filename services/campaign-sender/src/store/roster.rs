//! The recipients of a campaign, in the order of sending, with what became of them (ADR-0014).
//!
//! Recipients are read in spans of their numbers: whatever is filtered, a statement looks at no more
//! than a span, so a list of a million costs neither memory nor a long statement.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{self, Array, BigInt, Integer, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use kernel::ids::{CampaignId, ContactId, MessageId};
use kernel::statement;
use storage::{AsyncPgConnection, StorageError};
use uuid::Uuid;

/// Numbers looked through by the first statement of a page.
const FIRST_SPAN: i32 = 1_000;
/// Numbers looked through by one statement at most: some 100 ms.
const WIDEST_SPAN: i32 = 32_000;

/// A recipient and what became of them.
#[derive(Clone, Debug, Queryable)]
pub(crate) struct Recipient {
    /// The place in the campaign, counted from 1.
    pub(crate) n: i32,
    id: Uuid,
    contact_id: Uuid,
    kind: String,
    /// The number without `+`, or the user id.
    pub(crate) address: String,
    pub(crate) name: Option<String>,
    pub(crate) state: String,
    /// Why it was skipped.
    pub(crate) reason: Option<String>,
    pub(crate) error_code: Option<i32>,
    pub(crate) accepted_at: Option<DateTime<Utc>>,
    pub(crate) sent_at: Option<DateTime<Utc>>,
    pub(crate) delivered_at: Option<DateTime<Utc>>,
    pub(crate) read_at: Option<DateTime<Utc>>,
    pub(crate) failed_at: Option<DateTime<Utc>>,
}

impl Recipient {
    /// A recipient is named by their message.
    pub(crate) fn id(&self) -> MessageId {
        MessageId::from_uuid(self.id)
    }

    pub(crate) fn contact_id(&self) -> ContactId {
        ContactId::from_uuid(self.contact_id)
    }

    /// The phone number as people write it, if it is one.
    pub(crate) fn phone(&self) -> Option<String> {
        (self.kind == "number" && !self.address.is_empty()).then(|| format!("+{}", self.address))
    }

    /// The business-scoped user id, if that is the address.
    pub(crate) fn user(&self) -> Option<&str> {
        (self.kind == "user").then_some(self.address.as_str())
    }
}

/// Which recipients are wanted; empty for all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// As the campaign's counts name them.
    pub(crate) states: Vec<&'static str>,
    /// Meta's error codes.
    pub(crate) error_codes: Vec<i32>,
}

/// A recipient's state is told once, here and by the same words in the counts.
type Row = (
    Integer,
    sql_types::Uuid,
    sql_types::Uuid,
    Text,
    Text,
    Nullable<Text>,
    Text,
    Nullable<Text>,
    Nullable<Integer>,
    Nullable<Timestamptz>,
    Nullable<Timestamptz>,
    Nullable<Timestamptz>,
    Nullable<Timestamptz>,
    Nullable<Timestamptz>,
);

statement! {
    Span(
        campaign: Uuid,
        after: i32,
        through: i32,
        states: Option<Vec<&'static str>>,
        error_codes: Option<Vec<i32>>,
        limit: i64,
    ) -> Row {
        "SELECT n, id, contact_id, recipient_kind, recipient, name, state, reason, error_code, \
         accepted_at, sent_at, delivered_at, read_at, failed_at FROM (\
         SELECT r.n, r.id, COALESCE(g.kept, r.contact_id) AS contact_id, r.recipient_kind, r.recipient, p.name, CASE \
         WHEN COALESCE(o.state, 'cancelled') = 'cancelled' AND r.skip_reason IS NOT NULL OR o.state = 'cancelled' \
           OR (o.id IS NULL AND k.state IN ('cancelled', 'too_late')) THEN 'skipped' \
         WHEN o.id IS NULL OR o.state IN ('ready', 'held') THEN 'pending' \
         WHEN o.state = 'sending' THEN 'in_flight' WHEN o.state = 'unknown' THEN 'uncertain' \
         ELSE o.state END AS state, \
         CASE WHEN COALESCE(o.state, 'cancelled') = 'cancelled' AND r.skip_reason IS NOT NULL THEN r.skip_reason \
         WHEN o.state = 'cancelled' THEN 'cancelled' \
         WHEN o.id IS NULL AND k.state IN ('cancelled', 'too_late') THEN k.state \
         END AS reason, \
         CASE WHEN o.state = 'failed' THEN o.error_code END AS error_code, \
         o.accepted_at, o.sent_at, o.delivered_at, o.read_at, o.failed_at \
         FROM campaign_recipients r LEFT JOIN outbound_messages o ON o.id = r.id \
         LEFT JOIN campaign_chunks k ON k.campaign_id = r.campaign_id AND k.chunk = r.chunk \
         LEFT JOIN contact_merges g ON g.gone = r.contact_id \
         LEFT JOIN contacts p ON p.id = COALESCE(g.kept, r.contact_id) \
         WHERE r.campaign_id = " [campaign: sql_types::Uuid] " AND r.n > " [after: Integer]
        " AND r.n <= " [through: Integer] ") AS s WHERE state = ANY(COALESCE("
        [states: Nullable<Array<Text>>] ", ARRAY[state])) AND COALESCE(error_code = ANY("
        [error_codes: Nullable<Array<Integer>>] "), " [error_codes: Nullable<Array<Integer>>]
        "::integer[] IS NULL) ORDER BY n LIMIT " [limit: BigInt]
    }
}

statement! {
    Last(campaign: Uuid) -> Nullable<Integer> {
        "SELECT max(n) FROM campaign_recipients WHERE campaign_id = " [campaign: sql_types::Uuid]
    }
}

/// Up to `limit` of the wanted recipients behind place `after`. The campaign is the caller's.
pub(crate) async fn page(
    conn: &mut AsyncPgConnection,
    campaign: CampaignId,
    wanted: &Wanted,
    mut after: i32,
    limit: usize,
) -> Result<Vec<Recipient>, StorageError> {
    let last: Option<i32> = Last { campaign: campaign.as_uuid() }.get_result(conn).await?;
    let last = last.unwrap_or(0);
    let mut width = FIRST_SPAN;
    let mut found: Vec<Recipient> = Vec::new();
    while after < last && found.len() < limit {
        let through = after.saturating_add(width).min(last);
        let span = Span {
            campaign: campaign.as_uuid(),
            after,
            through,
            states: (!wanted.states.is_empty()).then(|| wanted.states.clone()),
            error_codes: (!wanted.error_codes.is_empty()).then(|| wanted.error_codes.clone()),
            limit: i64::try_from(limit - found.len()).unwrap_or(i64::MAX),
        };
        let more: Vec<Recipient> = span.load(conn).await?;
        found.extend(more);
        after = through;
        width = width.saturating_mul(2).min(WIDEST_SPAN);
    }
    Ok(found)
}

statement! {
    Known(campaign: Uuid, ids: Vec<Uuid>) -> sql_types::Uuid {
        "SELECT id FROM campaign_recipients WHERE campaign_id = " [campaign: sql_types::Uuid]
        " AND id = ANY(" [ids: Array<sql_types::Uuid>] ")"
    }
}

/// Those of the ids that are recipients of the campaign.
pub(crate) async fn known(
    conn: &mut AsyncPgConnection,
    campaign: CampaignId,
    ids: &[MessageId],
) -> Result<HashSet<MessageId>, StorageError> {
    let ids = ids.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<Uuid> = Known { campaign: campaign.as_uuid(), ids }.load(conn).await?;
    Ok(rows.into_iter().map(MessageId::from_uuid).collect())
}
