//! What happened, as callers see it.

use contracts::events::event::Detail;
use contracts::events::{BotSilent, MessageReceived, MessageStatusChanged};
use contracts::names::event;
use insta::assert_snapshot;
use kernel::ids::EventId;
use storage::events::{self, Event, Happened};
use storage::messages::Direction;

use super::threads::{Thread, thread};
use super::world::{Who, World, start};

/// Appends one event of each kind; answers with their ids in order.
pub(crate) async fn happen(world: &World, thread: &Thread) -> Vec<EventId> {
    let received = MessageReceived { kind: "text".into(), text: "test".into() };
    let failed = MessageStatusChanged { status: "failed".into(), error_code: 131_026 };
    let silent = BotSilent { reason: "rate_limited".into() };
    let details = [
        (event::CONTACT_CREATED, None),
        (event::MESSAGE_RECEIVED, Some(Detail::MessageReceived(received))),
        (event::MESSAGE_FAILED, Some(Detail::MessageStatusChanged(failed))),
        (event::BOT_SILENT, Some(Detail::BotSilent(silent))),
    ];
    let rows: Vec<Event> = details
        .into_iter()
        .map(|(event_type, detail)| {
            let is_about_message = event_type != event::CONTACT_CREATED;
            Event::from(Happened {
                workspace_id: world.home,
                event_type,
                connection_id: thread.connection,
                contact_id: Some(thread.contact),
                conversation_id: is_about_message.then_some(thread.conversation),
                message_id: thread.messages.first().copied().filter(|_| is_about_message),
                sequence: i64::from(is_about_message),
                at: start(),
                detail,
                traceparent: None,
            })
        })
        .collect();
    let mut conn = world.db.database().connection().await.unwrap();
    events::append(&mut conn, &rows, start()).await.unwrap();
    rows.iter().map(|row| row.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_event_is_shown_with_typed_ids_and_its_own_data() {
    let world = World::new().await;
    let thread = thread(&world, "4915755512345", &[Direction::Inbound]).await;
    let ids = happen(&world, &thread).await;
    assert_snapshot!("event_list", world.get(Who::Viewer, "/v1/events").await.shown());

    let uri = format!("/v1/events/{}", ids[1]);
    let one = world.get(Who::Viewer, &uri).await.json();
    assert_eq!(one["id"], ids[1].to_string());
    assert_eq!(one["message"], thread.messages[0].to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_found_by_types_and_by_message() {
    let world = World::new().await;
    let thread = thread(&world, "4915755512345", &[Direction::Inbound]).await;
    let ids = happen(&world, &thread).await;
    let found = async |query: String| world.get(Who::Viewer, &format!("/v1/events?{query}")).await;
    let shown = |wanted: &[usize]| -> Vec<String> {
        wanted.iter().map(|at| ids[*at].to_string()).collect()
    };
    let types = "type=message.received&type=bot.silent".to_owned();
    assert_eq!(found(types).await.ids(), shown(&[3, 1]));
    let message = thread.messages[0];
    assert_eq!(found(format!("message={message}")).await.ids(), shown(&[3, 2, 1]));
    let both = format!("type=message.failed&message={message}");
    assert_eq!(found(both).await.ids(), shown(&[2]));
    let page = found("type=message.received&type=bot.silent&limit=1".into()).await;
    let next = page.json()["next_cursor"].as_str().unwrap().to_owned();
    let rest = format!("type=message.received&type=bot.silent&cursor={next}");
    assert_eq!(found(rest).await.ids(), shown(&[1]));

    let wrong = found("type=message%00received".into()).await;
    assert_snapshot!("event_type_wrong", wrong.shown());
}
