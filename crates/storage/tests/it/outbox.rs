//! An event is promised with what caused it, and the promise stays until it is kept.

use chrono::TimeDelta;
use diesel_async::AsyncConnection;
use storage::events::{self, Event, Happened};
use storage::{StorageError, outbox};

use crate::world::{World, now};

fn event(world: &World) -> Event {
    Event::from(Happened {
        workspace_id: world.workspace,
        event_type: "message.received",
        connection_id: world.connection,
        contact_id: None,
        conversation_id: None,
        message_id: None,
        sequence: 0,
        at: now(),
        detail: None,
        traceparent: None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_change_promises_nothing_and_a_committed_one_is_claimed_once() {
    let world = World::new().await;
    let mut conn = world.conn().await;
    let rows: Vec<Event> = (0..3).map(|_| event(&world)).collect();
    let failed: Result<(), StorageError> = (*conn)
        .transaction(async |tx| {
            events::append(tx, &rows, now()).await?;
            Err(diesel::result::Error::RollbackTransaction.into())
        })
        .await;
    assert!(failed.is_err());
    assert_eq!(outbox::backlog(&mut conn).await.unwrap().0, 0);

    events::append(&mut conn, &rows, now()).await.unwrap();
    let later = now() + TimeDelta::seconds(1);
    let mut other = world.conn().await;
    let claimed = (*conn)
        .transaction(async |tx| {
            let claimed = outbox::claim(tx, later, 10).await?;
            let beside = outbox::claim(&mut other, later, 10).await?;
            assert!(beside.is_empty(), "claimed by two at once");
            let ids: Vec<_> = claimed.iter().map(|event| event.id).collect();
            outbox::delete(tx, &ids).await?;
            Ok::<_, StorageError>(ids)
        })
        .await
        .unwrap();
    assert_eq!(claimed, rows.iter().map(|row| row.id).collect::<Vec<_>>());
    assert_eq!(outbox::backlog(&mut conn).await.unwrap(), (0, None));
    let kept = events::list(&mut conn, world.workspace, &[], None, None, 10).await.unwrap();
    assert_eq!(kept.len(), 3, "events are kept for readers");
    let tomorrow = now() + TimeDelta::days(1);
    assert_eq!(events::forget(&mut conn, now() - TimeDelta::days(1), 10).await.unwrap(), 0);
    assert_eq!(events::forget(&mut conn, tomorrow, 10).await.unwrap(), 3);
}
