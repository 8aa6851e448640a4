//! What can be read of people, threads and messages.

use actix_web::test::TestRequest;
use chrono::TimeDelta;
use insta::assert_snapshot;
use kernel::ids::{ConnectionId, ContactId, ConversationId, MessageId};
use kernel::{UserId, WaId, Wamid};
use serde_json::Value;
use storage::contacts::{self, Sighting};
use storage::conversations::{self, Growth};
use storage::messages::{self, Direction, NewMessage};
use storage::send_ledger::{self, NewOutbound, OnDoubt, Recipient, Source};

use super::world::{Who, World, start};

/// A thread of a person with a connection.
pub(crate) struct Thread {
    pub(crate) connection: ConnectionId,
    pub(crate) contact: ContactId,
    pub(crate) conversation: ConversationId,
    pub(crate) messages: Vec<MessageId>,
}

/// Opens a thread with one message for each direction, in order, or adds them to the person's.
pub(crate) async fn thread(world: &World, number: &str, directions: &[Direction]) -> Thread {
    let connection: ConnectionId = match world.get(Who::Admin, "/v1/connections").await.ids().pop()
    {
        Some(id) => id.parse().unwrap(),
        None => world.connect(Who::Admin).await.parse().unwrap(),
    };
    let mut conn = world.db.database().connection().await.unwrap();
    let person = Sighting {
        workspace_id: world.home,
        wa_id: Some(WaId::new(number)),
        user_id: Some(UserId::new(format!("DE.{number}"))),
        name: Some("Lena".into()),
    };
    let contact = contacts::resolve(&mut conn, &[person], start()).await.unwrap().remove(0).id;
    let growth = Growth {
        workspace_id: world.home,
        connection_id: connection,
        contact_id: contact,
        messages: i64::try_from(directions.len()).unwrap(),
        customer_wrote_at: directions.contains(&Direction::Inbound).then(start),
        campaign_message: None,
    };
    let grown = conversations::grow(&mut conn, vec![growth], start()).await.unwrap().remove(0);
    let first = grown.last_sequence - i64::try_from(directions.len()).unwrap() + 1;
    let rows: Vec<NewMessage> = (first..)
        .zip(directions)
        .map(|(sequence, direction)| NewMessage {
            id: MessageId::new(),
            workspace_id: world.home,
            connection_id: connection,
            conversation_id: grown.id,
            contact_id: contact,
            sequence,
            direction: *direction,
            kind: "text".into(),
            wamid: (*direction != Direction::Outbound).then(|| Wamid::new("wamid.IN")),
            body: Some(format!("message {sequence}")),
            raw: Some(b"{}".as_slice().into()),
            said_at: Some(start() - TimeDelta::seconds(3)),
        })
        .collect();
    let ours = rows.iter().filter(|row| row.direction == Direction::Outbound).map(outbound);
    let ours: Vec<NewOutbound> = ours.collect();
    let ids = rows.iter().map(|row| row.id).collect();
    messages::insert(&mut conn, rows, start()).await.unwrap();
    send_ledger::enqueue(&mut conn, ours, start()).await.unwrap();
    Thread { connection, contact, conversation: grown.id, messages: ids }
}

fn outbound(row: &NewMessage) -> NewOutbound {
    NewOutbound {
        id: row.id,
        workspace_id: row.workspace_id,
        connection_id: row.connection_id,
        conversation_id: row.conversation_id,
        dedupe_key: format!("b:{}", row.id),
        recipient: Recipient::Number(WaId::new("4915755512345")),
        source: Source::Bot,
        campaign_id: None,
        on_doubt: OnDoubt::Hold,
        resend_until: None,
        content: Vec::new(),
        traceparent: None,
    }
}

async fn statuses(world: &World, thread: &Thread) -> Vec<String> {
    let uri = format!("/v1/conversations/{}/messages", thread.conversation);
    let data = world.get(Who::Viewer, &uri).await.data();
    data.iter().map(|message| message["status"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_is_read_newest_first_in_pages_without_gaps() {
    let world = World::new().await;
    let directions = [Direction::Inbound, Direction::Outbound, Direction::Echo];
    let thread = thread(&world, "4915755512345", &directions).await;
    let id = thread.messages[1];
    let sql = format!(
        "UPDATE outbound_messages SET state = 'failed', wamid = 'wamid.OUT', error_code = 131026, \
         sent_at = '2026-11-22T10:00:01Z', failed_at = '2026-11-22T10:00:02.5Z' \
         WHERE id = '{}'",
        id.as_uuid()
    );
    world.db.execute(&sql).await.unwrap();
    let uri = format!("/v1/conversations/{}/messages", thread.conversation);
    assert_snapshot!("thread", world.get(Who::Viewer, &uri).await.shown());

    let mut seen: Vec<Value> = Vec::new();
    let mut next = Some(format!("{uri}?limit=1"));
    while let Some(uri) = next {
        let page = world.call(Who::Viewer, TestRequest::get().uri(&uri)).await;
        seen.extend(page.data().iter().map(|message| message["sequence"].clone()));
        let link = page.header("link").and_then(|link| link.split_once('>'));
        next = link.map(|(uri, _)| uri.trim_start_matches('<').to_owned());
    }
    assert_eq!(seen, [3, 2, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_follows_the_ledger_and_never_moves_backwards() {
    let world = World::new().await;
    let thread = thread(&world, "4915755512345", &[Direction::Outbound]).await;
    // In the order they may be learnt in; a later line keeps what an earlier one set.
    let steps = [
        ("state = 'sending'", "sending"),
        ("state = 'unknown'", "uncertain"),
        ("state = 'accepted'", "accepted"),
        ("read_at = now()", "read"),
        ("delivered_at = now()", "read"),
        ("sent_at = now()", "read"),
        ("failed_at = now()", "read"),
        ("read_at = NULL", "delivered"),
        ("delivered_at = NULL", "sent"),
        ("state = 'failed'", "failed"),
        ("state = 'cancelled'", "cancelled"),
    ];
    assert_eq!(statuses(&world, &thread).await, ["queued"]);
    for (change, status) in steps {
        world.db.execute(&format!("UPDATE outbound_messages SET {change}")).await.unwrap();
        assert_eq!(statuses(&world, &thread).await, [status], "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_tells_until_when_anything_may_be_sent() {
    let world = World::new().await;
    let lena = thread(&world, "4915755512345", &[Direction::Inbound]).await;
    let silent = thread(&world, "4915755599999", &[Direction::Outbound]).await;
    let one = format!("/v1/conversations/{}", lena.conversation);
    assert_snapshot!("conversation", world.get(Who::Viewer, &one).await.shown());
    let never = world.get(Who::Viewer, &format!("/v1/conversations/{}", silent.conversation)).await;
    assert_eq!(never.json()["window_open_until"], Value::Null);

    let ids = async |query: String| {
        world.get(Who::Viewer, &format!("/v1/conversations{query}")).await.ids()
    };
    let both = [silent.conversation.to_string(), lena.conversation.to_string()];
    assert_eq!(ids(String::new()).await, both);
    assert_eq!(ids(format!("?connection={}", lena.connection)).await, both);
    assert_eq!(ids(format!("?contact={}", lena.contact)).await, both[1..]);
    assert!(ids(format!("?connection={}", ConnectionId::new())).await.is_empty());
}
