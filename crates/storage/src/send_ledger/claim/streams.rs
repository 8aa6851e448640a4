//! Streams of work: what is looked at, paced and claimed by itself.

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, BigInt, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{CampaignId, ConnectionId, MessageId};
use uuid::Uuid;

use super::HOLDS_BACK;
use crate::StorageError;
use crate::send_ledger::{Recipient, Source};
use kernel::statement;

/// Messages that wait for the same turn: a connection's bot replies, or one campaign on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream {
    /// The number they leave from.
    pub connection_id: ConnectionId,
    /// What kind of work they come from.
    pub source: Source,
    /// Their campaign.
    pub campaign_id: Option<CampaignId>,
}

/// A message that could be claimed now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The message.
    pub id: MessageId,
    /// The person whose limit it needs.
    pub recipient: Recipient,
}

// Jumps through the index from one group to the next instead of reading the rows between: its cost
// grows with the streams, not with what waits in them.
statement! {
    Streams(sources: Vec<&'static str>) -> (sql_types::Uuid, Text, Nullable<sql_types::Uuid>) {
        "WITH RECURSIVE line AS (\
            (SELECT o.connection_id, o.source FROM outbound_messages o WHERE o.state = 'ready' \
             ORDER BY o.connection_id, o.source LIMIT 1) \
            UNION ALL \
            SELECT n.connection_id, n.source FROM line l CROSS JOIN LATERAL (\
                SELECT o.connection_id, o.source FROM outbound_messages o WHERE o.state = 'ready' \
                AND (o.connection_id, o.source) > (l.connection_id, l.source) \
                ORDER BY o.connection_id, o.source LIMIT 1) n), \
         campaign AS (\
            SELECT l.connection_id, l.source, f.campaign_id FROM line l CROSS JOIN LATERAL (\
                SELECT o.campaign_id FROM outbound_messages o WHERE o.state = 'ready' \
                AND o.connection_id = l.connection_id AND o.source = l.source \
                AND o.campaign_id IS NOT NULL ORDER BY o.campaign_id LIMIT 1) f \
            UNION ALL \
            SELECT c.connection_id, c.source, n.campaign_id FROM campaign c CROSS JOIN LATERAL (\
                SELECT o.campaign_id FROM outbound_messages o WHERE o.state = 'ready' \
                AND o.connection_id = c.connection_id AND o.source = c.source \
                AND o.campaign_id > c.campaign_id ORDER BY o.campaign_id LIMIT 1) n) \
         SELECT s.connection_id, s.source, s.campaign_id FROM (\
            SELECT connection_id, source, campaign_id FROM campaign \
            UNION ALL \
            SELECT l.connection_id, l.source, NULL FROM line l WHERE EXISTS (\
                SELECT 1 FROM outbound_messages o WHERE o.state = 'ready' \
                AND o.connection_id = l.connection_id AND o.source = l.source \
                AND o.campaign_id IS NULL)) s \
         WHERE s.source = ANY(" [sources: Array<Text>] ")"
    }
}

/// Finds the streams of `sources` in which something is ready; locks nothing.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn streams(
    conn: &mut AsyncPgConnection,
    sources: &[Source],
) -> Result<Vec<Stream>, StorageError> {
    let statement = Streams { sources: sources.iter().map(|source| source.as_str()).collect() };
    let rows: Vec<(Uuid, String, Option<Uuid>)> = statement.load(conn).await?;
    Ok(rows
        .into_iter()
        .filter_map(|(connection, source, campaign)| {
            Some(Stream {
                connection_id: ConnectionId::from_uuid(connection),
                source: Source::read(&source)?,
                campaign_id: campaign.map(CampaignId::from_uuid),
            })
        })
        .collect())
}

// The oldest open message of each person comes first; see `HOLDS_BACK`. `OFFSET 0` keeps the planner
// from joining: it knows little of a table whose rows move on within seconds, and read all that is
// open of a connection for each message (237 ms instead of 2 for 80 of 10,000).
statement! {
    Peek(
        connection: Uuid,
        source: &'static str,
        now: DateTime<Utc>,
        held_since: DateTime<Utc>,
        most: i64,
    ) -> (sql_types::Uuid, Text, Text) {
        "SELECT o.id, o.recipient_kind, o.recipient FROM outbound_messages o \
         WHERE o.state = 'ready' AND o.connection_id = " [connection: sql_types::Uuid]
        " AND o.source = " [source: Text] " AND o.campaign_id IS NULL \
         AND (o.not_before IS NULL OR o.not_before <= " [now: Timestamptz]
        ") AND NOT EXISTS (SELECT 1 FROM outbound_messages p \
            WHERE p.connection_id = o.connection_id AND p.recipient = o.recipient \
            AND p.position < o.position AND p.state IN ('ready', 'sending') \
            AND (p.state = 'ready' AND p.campaign_id IS NULL OR p.claimed_at > "
        [held_since: Timestamptz] " AND p.state = 'sending') OFFSET 0) ORDER BY o.position LIMIT "
        [most: BigInt]
    }
}

statement! {
    PeekCampaign(
        connection: Uuid,
        source: &'static str,
        campaign: Uuid,
        now: DateTime<Utc>,
        held_since: DateTime<Utc>,
        most: i64,
    ) -> (sql_types::Uuid, Text, Text) {
        "SELECT o.id, o.recipient_kind, o.recipient FROM outbound_messages o \
         WHERE o.state = 'ready' AND o.connection_id = " [connection: sql_types::Uuid]
        " AND o.source = " [source: Text] " AND o.campaign_id = " [campaign: sql_types::Uuid]
        " AND (o.not_before IS NULL OR o.not_before <= " [now: Timestamptz]
        ") AND NOT EXISTS (SELECT 1 FROM outbound_messages p \
            WHERE p.connection_id = o.connection_id AND p.recipient = o.recipient \
            AND p.position < o.position AND p.state IN ('ready', 'sending') \
            AND (p.state = 'ready' AND p.campaign_id IS NULL OR p.claimed_at > "
        [held_since: Timestamptz] " AND p.state = 'sending') OFFSET 0) ORDER BY o.position LIMIT "
        [most: BigInt]
    }
}

/// Looks for up to `most` messages of `stream` that may be sent now, oldest first; locks nothing.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn peek(
    conn: &mut AsyncPgConnection,
    stream: &Stream,
    most: i64,
    now: DateTime<Utc>,
) -> Result<Vec<Candidate>, StorageError> {
    let (connection, source) = (stream.connection_id.as_uuid(), stream.source.as_str());
    let held_since = now - HOLDS_BACK;
    // An index is only searched for "equal to" and for "is null", and not for either.
    let rows: Vec<(Uuid, String, String)> = match stream.campaign_id {
        None => Peek { connection, source, now, held_since, most }.load(conn).await?,
        Some(campaign) => {
            let campaign = campaign.as_uuid();
            let peek = PeekCampaign { connection, source, campaign, now, held_since, most };
            peek.load(conn).await?
        }
    };
    Ok(rows
        .into_iter()
        .map(|(id, kind, to)| Candidate {
            id: MessageId::from_uuid(id),
            recipient: Recipient::read(&kind, to),
        })
        .collect())
}
