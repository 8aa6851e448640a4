//! The messages that news is about: found, locked in one order, and written back.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{CampaignId, ConnectionId, ConversationId, MessageId, WorkspaceId};
use uuid::Uuid;

use super::attempts::Tried;
use super::progress::Progress;
use super::{StatusUpdate, Step};
use crate::StorageError;
use crate::campaigns::counts::Changes;
use kernel::statement;

/// A locked message and where it stands.
pub(super) struct Row {
    pub(super) id: Uuid,
    workspace_id: Uuid,
    connection_id: Uuid,
    conversation_id: Uuid,
    campaign_id: Option<Uuid>,
    pub(super) progress: Progress,
}

impl Row {
    /// Adds what the news means for the numbers of the message's campaign.
    pub(super) fn count(&self, before: &Progress, changes: &mut Changes) {
        let Some(campaign) = self.campaign_id.map(CampaignId::from_uuid) else { return };
        changes.moved(campaign, before.end().as_ref(), self.progress.end().as_ref());
        for step in
            self.progress.reached().into_iter().filter(|step| !before.reached().contains(step))
        {
            changes.reached(campaign, step);
        }
    }

    /// The person wrote; `true` when that is the first answer to the message.
    pub(super) fn answer(&mut self, changes: &mut Changes, now: DateTime<Utc>) -> bool {
        let before = self.progress.clone();
        let is_first = self.progress.answer(now);
        self.count(&before, changes);
        is_first
    }

    pub(super) fn step(&self, update: StatusUpdate) -> Step {
        Step {
            message_id: MessageId::from_uuid(self.id),
            workspace_id: WorkspaceId::from_uuid(self.workspace_id),
            connection_id: ConnectionId::from_uuid(self.connection_id),
            conversation_id: ConversationId::from_uuid(self.conversation_id),
            status: update.status,
            happened_at: update.happened_at,
            error_code: update.error_code,
        }
    }
}

/// Finds the row of a status: by Meta's id, or by the attempt it echoes.
pub(super) struct Index {
    by_wamid: HashMap<(Uuid, String), usize>,
    by_message: HashMap<Uuid, usize>,
}

impl Index {
    pub(super) fn new(rows: &[Row]) -> Self {
        let wamids = rows.iter().enumerate().filter_map(|(at, row)| {
            row.progress.wamid.clone().map(|wamid| ((row.connection_id, wamid), at))
        });
        Self {
            by_wamid: wamids.collect(),
            by_message: rows.iter().enumerate().map(|(at, row)| (row.id, at)).collect(),
        }
    }

    pub(super) fn message(&self, message: MessageId) -> Option<usize> {
        self.by_message.get(&message.as_uuid()).copied()
    }

    pub(super) fn find(&self, update: &StatusUpdate, tried: Option<Tried>) -> Option<usize> {
        let key = (update.connection_id.as_uuid(), update.wamid.as_str().to_owned());
        let by_wamid = self.by_wamid.get(&key).copied();
        by_wamid.or_else(|| self.by_message.get(&tried?.message).copied())
    }
}

type LockedRow = (
    (Uuid, Uuid, Uuid, Uuid, String, Option<String>, Option<DateTime<Utc>>),
    (Option<DateTime<Utc>>, Option<DateTime<Utc>>, Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    (Option<DateTime<Utc>>, Option<i32>, Option<Uuid>),
);

statement! {
    Lock(ids: Vec<Uuid>, wamids: Vec<String>) -> (
        (sql_types::Uuid, sql_types::Uuid, sql_types::Uuid, sql_types::Uuid, Text, Nullable<Text>,
            Nullable<Timestamptz>),
        (Nullable<Timestamptz>, Nullable<Timestamptz>, Nullable<Timestamptz>, Nullable<Timestamptz>),
        (Nullable<Timestamptz>, Nullable<Integer>, Nullable<sql_types::Uuid>)
    ) {
        "SELECT id, workspace_id, connection_id, conversation_id, state, wamid, accepted_at, \
         sent_at, delivered_at, read_at, replied_at, failed_at, error_code, campaign_id FROM outbound_messages \
         WHERE id = ANY(" [ids: Array<sql_types::Uuid>] ") OR wamid = ANY(" [wamids: Array<Text>]
        ") ORDER BY id FOR UPDATE"
    }
}

pub(super) async fn lock_messages(
    tx: &mut AsyncPgConnection,
    updates: &[StatusUpdate],
    by_attempt: &HashMap<Uuid, Tried>,
    answered: &[MessageId],
) -> Result<Vec<Row>, StorageError> {
    let answered = answered.iter().map(|message| message.as_uuid());
    let ids = by_attempt.values().map(|tried| tried.message).chain(answered).collect();
    let mut wamids: Vec<String> =
        updates.iter().map(|update| update.wamid.as_str().to_owned()).collect();
    wamids.sort_unstable();
    wamids.dedup();
    let rows: Vec<LockedRow> = Lock { ids, wamids }.load(tx).await?;
    Ok(rows
        .into_iter()
        .map(
            |(
                (id, workspace_id, connection_id, conversation_id, state, wamid, accepted_at),
                (sent_at, delivered_at, read_at, replied_at),
                (failed_at, error_code, campaign_id),
            )| Row {
                id,
                workspace_id,
                connection_id,
                conversation_id,
                campaign_id,
                progress: Progress {
                    state,
                    wamid,
                    accepted_at,
                    sent_at,
                    delivered_at,
                    read_at,
                    replied_at,
                    failed_at,
                    error_code,
                },
            },
        )
        .collect())
}

statement! {
    Write(
        ids: Vec<Uuid>,
        states: Vec<String>,
        wamids: Vec<Option<String>>,
        accepted: Vec<Option<DateTime<Utc>>>,
        sent: Vec<Option<DateTime<Utc>>>,
        delivered: Vec<Option<DateTime<Utc>>>,
        read: Vec<Option<DateTime<Utc>>>,
        replied: Vec<Option<DateTime<Utc>>>,
        failed: Vec<Option<DateTime<Utc>>>,
        codes: Vec<Option<i32>>,
    ) -> () {
        "UPDATE outbound_messages m SET state = s.state, wamid = s.wamid, \
         accepted_at = s.accepted_at, sent_at = s.sent_at, delivered_at = s.delivered_at, \
         read_at = s.read_at, replied_at = s.replied_at, \
         failed_at = s.failed_at, error_code = s.error_code FROM unnest("
        [ids: Array<sql_types::Uuid>] ", "
        [states: Array<Text>] ", "
        [wamids: Array<Nullable<Text>>] ", "
        [accepted: Array<Nullable<Timestamptz>>] ", "
        [sent: Array<Nullable<Timestamptz>>] ", "
        [delivered: Array<Nullable<Timestamptz>>] ", "
        [read: Array<Nullable<Timestamptz>>] ", "
        [replied: Array<Nullable<Timestamptz>>] ", "
        [failed: Array<Nullable<Timestamptz>>] ", "
        [codes: Array<Nullable<Integer>>]
        ") AS s (id, state, wamid, accepted_at, sent_at, delivered_at, read_at, replied_at, failed_at, \
         error_code) WHERE m.id = s.id"
    }
}

pub(super) async fn write_progress(
    tx: &mut AsyncPgConnection,
    rows: &[&Row],
) -> Result<(), StorageError> {
    if rows.is_empty() {
        return Ok(());
    }
    let statement = Write {
        ids: rows.iter().map(|row| row.id).collect(),
        states: rows.iter().map(|row| row.progress.state.clone()).collect(),
        wamids: rows.iter().map(|row| row.progress.wamid.clone()).collect(),
        accepted: rows.iter().map(|row| row.progress.accepted_at).collect(),
        sent: rows.iter().map(|row| row.progress.sent_at).collect(),
        delivered: rows.iter().map(|row| row.progress.delivered_at).collect(),
        read: rows.iter().map(|row| row.progress.read_at).collect(),
        replied: rows.iter().map(|row| row.progress.replied_at).collect(),
        failed: rows.iter().map(|row| row.progress.failed_at).collect(),
        codes: rows.iter().map(|row| row.progress.error_code).collect(),
    };
    statement.execute(tx).await?;
    Ok(())
}
