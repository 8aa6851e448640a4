//! One row per person, whoever comes first, by whatever name.

use diesel_async::AsyncConnection;
use kernel::{UserId, WaId};
use storage::contacts::{self, Resolved, Sighting};
use storage::conversations::{self, Growth};
use storage::messages::{self, Direction, NewMessage};
use storage::{Database, StorageError};

use crate::world::{World, now};

async fn resolve(db: &Database, sightings: Vec<Sighting>) -> Vec<Resolved> {
    let mut conn = db.connection().await.unwrap();
    (*conn)
        .transaction(async |tx| {
            Ok::<_, StorageError>(contacts::resolve(tx, &sightings, now()).await?)
        })
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_first_messages_at_once_make_one_contact_each() {
    let world = World::new().await;
    let tasks = (0..5).map(|shift| {
        let database = world.db.database().clone();
        let mut people: Vec<Sighting> =
            (0..40).map(|n| world.person(&format!("49157555{n:04}"))).collect();
        people.rotate_left(shift * 3);
        tokio::task::spawn(async move { resolve(&database, people).await })
    });
    let mut made = 0;
    for task in tasks.collect::<Vec<_>>() {
        let people = task.await.unwrap();
        assert_eq!(people.len(), 40);
        made += people.iter().filter(|person| person.is_new).count();
    }
    assert_eq!((made, world.count("contacts").await), (40, 40));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sighting_with_both_addresses_links_them() {
    let world = World::new().await;
    let by_number = world.person("4915755512345");
    let by_user = Sighting {
        wa_id: None,
        user_id: Some(UserId::new("DE.90817263544536271809")),
        ..by_number.clone()
    };
    let both = Sighting { user_id: by_user.user_id.clone(), ..by_number.clone() };

    let first = resolve(world.db.database(), vec![by_number.clone()]).await;
    let linked = resolve(world.db.database(), vec![both.clone()]).await;
    let later = resolve(world.db.database(), vec![by_user.clone()]).await;
    assert_eq!(first[0].id, linked[0].id);
    assert_eq!(first[0].id, later[0].id);
    assert_eq!(later[0].wa_id, Some(WaId::new("4915755512345")));
    assert_eq!(world.count("contacts").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_naming_one_person_in_one_batch_is_one_contact() {
    let world = World::new().await;
    let by_number = world.person("4915755512345");
    let user_id = Some(UserId::new("DE.1"));
    let by_user = Sighting { wa_id: None, user_id: user_id.clone(), ..by_number.clone() };
    let both = Sighting { user_id, ..by_number.clone() };
    let people = resolve(world.db.database(), vec![by_number, by_user, both]).await;
    assert_eq!(people.len(), 3);
    assert!(people.iter().all(|person| person.id == people[0].id), "{people:?}");
    assert_eq!(world.count("contacts").await, 1);
}

/// The person wrote under both names before Meta showed that they are one: both threads become one,
/// and no message is lost.
#[tokio::test(flavor = "multi_thread")]
async fn two_contacts_that_prove_to_be_one_person_are_merged_with_their_threads() {
    let world = World::new().await;
    let by_number = world.person("4915755512345");
    let by_user = Sighting { wa_id: None, user_id: Some(UserId::new("DE.2")), ..by_number.clone() };
    for sighting in [&by_number, &by_user] {
        let person = resolve(world.db.database(), vec![sighting.clone()]).await.remove(0);
        write(&world, person, 3).await;
    }
    assert_eq!((world.count("contacts").await, world.count("conversations").await), (2, 2));

    let both = Sighting { user_id: by_user.user_id.clone(), ..by_number };
    let person = resolve(world.db.database(), vec![both]).await.remove(0);
    assert_eq!((world.count("contacts").await, world.count("conversations").await), (1, 1));
    assert_eq!(world.count("messages").await, 6);
    let mut conn = world.conn().await;
    let threads =
        conversations::list(&mut conn, world.workspace, None, None, None, 10).await.unwrap();
    assert_eq!(threads[0].contact_id(), person.id);
    let thread =
        messages::list(&mut conn, world.workspace, threads[0].id(), None, 10).await.unwrap();
    let places: Vec<i64> = thread.iter().map(|message| message.sequence).collect();
    assert_eq!(places, [6, 5, 4, 3, 2, 1]);
    assert_eq!(threads[0].last_sequence, 6);
}

async fn write(world: &World, person: Resolved, count: i64) {
    let mut conn = world.conn().await;
    let growth = Growth {
        workspace_id: world.workspace,
        connection_id: world.connection,
        contact_id: person.id,
        messages: count,
        customer_wrote_at: Some(now()),
    };
    let grown = conversations::grow(&mut conn, vec![growth], now()).await.unwrap().remove(0);
    let rows = (1..=count)
        .map(|place| NewMessage {
            id: kernel::ids::MessageId::new(),
            workspace_id: world.workspace,
            connection_id: world.connection,
            conversation_id: grown.id,
            contact_id: person.id,
            sequence: grown.last_sequence - count + place,
            direction: Direction::Inbound,
            kind: "text".into(),
            wamid: None,
            body: Some("hi".into()),
            raw: None,
            said_at: None,
        })
        .collect();
    messages::insert(&mut conn, rows, now()).await.unwrap();
}
