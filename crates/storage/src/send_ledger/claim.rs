//! Taking messages to send: first look, then ask the limiter, then claim what it allows.
//!
//! Invariants:
//! - a message of a campaign is claimed only while its campaign runs, and by a transaction that keeps
//!   the campaign from being stopped until it commits;
//! - an older message to the same person goes first, unless it waits for its campaign's turn.

mod streams;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_types::{self, Array, Bytea, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{AttemptId, CampaignId, ConnectionId, ConversationId, MessageId, WorkspaceId};
use uuid::Uuid;

pub use self::streams::{Candidate, Stream, peek, streams};
use super::{Recipient, Source};
use crate::StorageError;
use kernel::statement;

/// A message in doubt holds back later messages to the same person for this long and no longer
/// (reliability: a stuck message must not silence a conversation).
pub const HOLDS_BACK: TimeDelta = TimeDelta::seconds(5);

statement! {
    Postpone(ids: Vec<Uuid>, until: Vec<DateTime<Utc>>) -> () {
        "UPDATE outbound_messages o SET not_before = greatest(o.not_before, p.until) \
         FROM (SELECT m.id, s.until FROM outbound_messages m JOIN unnest("
        [ids: Array<sql_types::Uuid>] ", " [until: Array<Timestamptz>]
        ") AS s (id, until) ON s.id = m.id WHERE m.state = 'ready' \
            ORDER BY m.id FOR UPDATE OF m SKIP LOCKED) p \
         WHERE o.id = p.id"
    }
}

/// Leaves messages that nobody has claimed alone until the moment given with each, e.g. because their
/// person's limit is reached.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn postpone(
    conn: &mut AsyncPgConnection,
    messages: &[(MessageId, DateTime<Utc>)],
) -> Result<(), StorageError> {
    let (ids, until) = messages.iter().map(|(id, until)| (id.as_uuid(), *until)).unzip();
    Postpone { ids, until }.execute(conn).await?;
    Ok(())
}

/// A claimed message, with its committed attempt.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The attempt; its id travels to Meta and back.
    pub attempt_id: AttemptId,
    /// The message.
    pub message_id: MessageId,
    /// Which try this is, counted from 1.
    pub epoch: i32,
    /// The tenant.
    pub workspace_id: WorkspaceId,
    /// The number it leaves from.
    pub connection_id: ConnectionId,
    /// The thread.
    pub conversation_id: ConversationId,
    /// Whom it goes to.
    pub recipient: Recipient,
    /// What kind of work it comes from.
    pub source: Source,
    /// The campaign it belongs to.
    pub campaign_id: Option<CampaignId>,
    /// What to send.
    pub content: Vec<u8>,
    /// W3C trace context of what caused it.
    pub traceparent: Option<String>,
}

type Row = ((Uuid, Uuid, i32, Uuid, Uuid, Uuid), (String, String, Vec<u8>, Option<String>));

// The campaign's row is locked before its messages: whoever stops the campaign waits for this claim,
// or this claim finds that it was stopped. `OFFSET 0`: see `streams::peek`.
statement! {
    Claim(
        ids: Vec<Uuid>,
        campaign: Option<Uuid>,
        worker: String,
        now: DateTime<Utc>,
        held_since: DateTime<Utc>,
        deadline: DateTime<Utc>,
    ) -> (
        (sql_types::Uuid, sql_types::Uuid, Integer, sql_types::Uuid, sql_types::Uuid, sql_types::Uuid),
        (Text, Text, Bytea, Nullable<Text>)
    ) {
        "WITH running AS MATERIALIZED (SELECT c.id FROM campaigns c WHERE c.id = "
        [campaign: Nullable<sql_types::Uuid>]
        " AND c.status = 'running' AND (c.ends_at IS NULL OR c.ends_at > " [now: Timestamptz]
        ") FOR SHARE), \
         free AS (SELECT o.id FROM outbound_messages o WHERE o.id = ANY("
        [ids: Array<sql_types::Uuid>]
        ") AND o.campaign_id IS NOT DISTINCT FROM (SELECT id FROM running) \
            AND o.state = 'ready' AND NOT EXISTS (SELECT 1 FROM outbound_messages p \
            WHERE p.connection_id = o.connection_id AND p.recipient = o.recipient \
            AND p.position < o.position AND p.state IN ('ready', 'sending') \
            AND (p.state = 'ready' AND p.campaign_id IS NULL OR p.claimed_at > "
        [held_since: Timestamptz] " AND p.state = 'sending') OFFSET 0) ORDER BY o.id FOR UPDATE SKIP LOCKED), \
         claimed AS (UPDATE outbound_messages o SET state = 'sending', epoch = o.epoch + 1, \
            claimed_at = " [now: Timestamptz]
        " FROM free WHERE o.id = free.id RETURNING o.*), \
         attempt AS (INSERT INTO send_attempts \
            (id, message_id, connection_id, epoch, worker, state, created_at, deadline_at) \
            SELECT gen_random_uuid(), c.id, c.connection_id, c.epoch, " [worker: Text]
        ", 'sending', " [now: Timestamptz] ", " [deadline: Timestamptz]
        " FROM claimed c RETURNING id, message_id) \
         SELECT a.id, c.id, c.epoch, c.workspace_id, c.connection_id, c.conversation_id, \
            c.recipient_kind, c.recipient, c.content, c.traceparent \
         FROM claimed c JOIN attempt a ON a.message_id = c.id ORDER BY c.position"
    }
}

/// Claims those of `ids`, all of `stream`, that are still free: `ready` becomes `sending`, and the
/// attempt row is committed with it. Of a campaign that does not run, or whose time is over, nothing
/// is claimed. One statement, so it must run outside a transaction of the caller's: when it returns,
/// the attempts are durable. On an error nothing may be posted; whatever was committed after all is
/// found by [`super::doubt`].
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn claim(
    conn: &mut AsyncPgConnection,
    stream: &Stream,
    ids: &[MessageId],
    worker: &str,
    now: DateTime<Utc>,
    deadline: DateTime<Utc>,
) -> Result<Vec<Claimed>, StorageError> {
    let statement = Claim {
        ids: ids.iter().map(|id| id.as_uuid()).collect(),
        campaign: stream.campaign_id.map(|id| id.as_uuid()),
        worker: worker.to_owned(),
        now,
        held_since: now - HOLDS_BACK,
        deadline,
    };
    let rows: Vec<Row> = statement.load(conn).await?;
    Ok(rows.into_iter().map(|row| Claimed::new(row, stream)).collect())
}

impl Claimed {
    fn new(row: Row, stream: &Stream) -> Self {
        let (
            (attempt, message, epoch, workspace, connection, conversation),
            (kind, to, content, traceparent),
        ) = row;
        Self {
            attempt_id: AttemptId::from_uuid(attempt),
            message_id: MessageId::from_uuid(message),
            epoch,
            workspace_id: WorkspaceId::from_uuid(workspace),
            connection_id: ConnectionId::from_uuid(connection),
            conversation_id: ConversationId::from_uuid(conversation),
            recipient: Recipient::read(&kind, to),
            source: stream.source,
            campaign_id: stream.campaign_id,
            content,
            traceparent,
        }
    }
}
