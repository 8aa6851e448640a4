//! Test messages of a campaign: in the ledger like every other message, but not counted in it.
//!
//! The request's key decides that they are made once.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use contracts::names::event::MESSAGE_QUEUED;
use diesel::sql_types::{self, Array, Bool, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use kernel::WaId;
use kernel::ids::{ConnectionId, ContactId, MessageId, WorkspaceId};
use kernel::statement;
use serde_json::Value;
use storage::contacts::Source as ContactSource;
use storage::conversations::{self, Grown, Growth};
use storage::events::{self, Event, Happened};
use storage::messages::{self, Direction, NewMessage};
use storage::send_ledger::{self, NewOutbound, OnDoubt, Recipient, Source};
use storage::{AsyncPgConnection, StorageError};
use uuid::Uuid;

/// Whose test it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Test {
    pub(crate) workspace: WorkspaceId,
    pub(crate) connection: ConnectionId,
}

/// Somebody who gets a test message.
#[derive(Clone, Debug)]
pub(crate) struct Tester {
    pub(crate) contact: ContactId,
    pub(crate) wa_id: WaId,
    pub(crate) name: Option<String>,
    pub(crate) attributes: Value,
    pub(crate) has_opted_out: bool,
}

/// What a tester gets.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) tester: Tester,
    /// As crate `sending` encodes it.
    pub(crate) content: Vec<u8>,
    /// What the thread shows.
    pub(crate) body: String,
}

statement! {
    Ensure(ids: Vec<Uuid>, workspace: Uuid, wa_ids: Vec<String>, source: &'static str, now: DateTime<Utc>)
    -> () {
        "INSERT INTO contacts (id, workspace_id, wa_id, source, created_at, updated_at) SELECT s.id, "
        [workspace: sql_types::Uuid] ", s.wa_id, " [source: Text] ", " [now: Timestamptz] ", "
        [now: Timestamptz] " FROM unnest(" [ids: Array<sql_types::Uuid>] ", " [wa_ids: Array<Text>]
        ") AS s (id, wa_id) ON CONFLICT DO NOTHING"
    }
}

statement! {
    Find(workspace: Uuid, wa_ids: Vec<String>)
    -> (sql_types::Uuid, Text, Nullable<Text>, Jsonb, Bool) {
        "SELECT id, wa_id, name, attributes, opted_out_at IS NOT NULL FROM contacts \
         WHERE workspace_id = " [workspace: sql_types::Uuid] " AND wa_id = ANY("
        [wa_ids: Array<Text>] ") ORDER BY id"
    }
}

/// The contacts of these numbers; whoever is none yet becomes one.
pub(crate) async fn testers(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    numbers: &[WaId],
    now: DateTime<Utc>,
) -> Result<Vec<Tester>, StorageError> {
    let workspace = workspace.as_uuid();
    let mut wa_ids: Vec<String> = numbers.iter().map(|number| number.as_str().to_owned()).collect();
    wa_ids.sort_unstable();
    let ids = wa_ids.iter().map(|_| ContactId::new().as_uuid()).collect();
    let source = ContactSource::Campaign.as_str();
    Ensure { ids, workspace, wa_ids: wa_ids.clone(), source, now }.execute(tx).await?;
    let rows: Vec<(Uuid, String, Option<String>, Value, bool)> =
        Find { workspace, wa_ids }.load(tx).await?;
    let testers = rows.into_iter().map(|(id, wa_id, name, attributes, has_opted_out)| Tester {
        contact: ContactId::from_uuid(id),
        wa_id: WaId::new(wa_id),
        name,
        attributes,
        has_opted_out,
    });
    Ok(testers.collect())
}

/// Enqueues a letter to each tester.
pub(crate) async fn enqueue(
    tx: &mut AsyncPgConnection,
    test: Test,
    letters: Vec<Letter>,
    now: DateTime<Utc>,
) -> Result<(HashMap<WaId, MessageId>, Vec<Event>), StorageError> {
    if letters.is_empty() {
        return Ok((HashMap::new(), Vec::new()));
    }
    let growths = letters.iter().map(|letter| Growth {
        workspace_id: test.workspace,
        connection_id: test.connection,
        contact_id: letter.tester.contact,
        messages: 1,
        customer_wrote_at: None,
        campaign_message: None,
    });
    let threads = conversations::grow(tx, growths.collect(), now).await?;
    let mut threads: HashMap<ContactId, Grown> =
        threads.into_iter().map(|thread| (thread.contact_id, thread)).collect();
    let (mut rows, mut outbound, mut happened) = (Vec::new(), Vec::new(), Vec::new());
    let mut made = HashMap::new();
    for letter in letters {
        let Some(thread) = threads.remove(&letter.tester.contact) else { continue };
        let id = MessageId::new();
        made.insert(letter.tester.wa_id.clone(), id);
        happened.push(queued(test, id, &thread, now));
        rows.push(said(test, id, &thread, letter.body));
        outbound.push(leaving(test, id, &thread, letter.tester.wa_id, letter.content));
    }
    messages::insert(tx, rows, now).await?;
    send_ledger::enqueue(tx, outbound, now).await?;
    events::append(tx, &happened, now).await?;
    Ok((made, happened))
}

fn said(test: Test, id: MessageId, thread: &Grown, body: String) -> NewMessage {
    NewMessage {
        id,
        workspace_id: test.workspace,
        connection_id: test.connection,
        conversation_id: thread.id,
        contact_id: thread.contact_id,
        sequence: thread.last_sequence,
        direction: Direction::Outbound,
        kind: "template".to_owned(),
        wamid: None,
        body: Some(body),
        raw: None,
        said_at: None,
    }
}

fn leaving(test: Test, id: MessageId, thread: &Grown, to: WaId, content: Vec<u8>) -> NewOutbound {
    NewOutbound {
        id,
        workspace_id: test.workspace,
        connection_id: test.connection,
        conversation_id: thread.id,
        dedupe_key: format!("t:{}", id.as_uuid().simple()),
        recipient: Recipient::Number(to),
        source: Source::Campaign,
        // Whose recipients are counted; a test's are not.
        campaign_id: None,
        on_doubt: OnDoubt::Hold,
        resend_until: None,
        content,
        traceparent: telemetry::trace::current_traceparent(),
    }
}

fn queued(test: Test, id: MessageId, thread: &Grown, now: DateTime<Utc>) -> Event {
    let happened = Happened {
        workspace_id: test.workspace,
        event_type: MESSAGE_QUEUED,
        connection_id: test.connection,
        contact_id: Some(thread.contact_id),
        conversation_id: Some(thread.id),
        message_id: Some(id),
        sequence: thread.last_sequence,
        at: now,
        detail: None,
        traceparent: telemetry::trace::current_traceparent(),
    };
    Event { is_awaited: false, ..happened.into() }
}
