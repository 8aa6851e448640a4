//! One row per person, whoever comes first, by whatever name.

use diesel_async::AsyncConnection;
use kernel::{UserId, WaId};
use serde_json::json;
use storage::contacts::{self, Resolved, Sighting};
use storage::conversations::inbox::Filter;
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
        conversations::inbox::list(&mut conn, world.workspace, &Filter::default(), None, 10)
            .await
            .unwrap();
    assert_eq!(threads[0].contact_id(), person.id);
    let thread =
        messages::list(&mut conn, world.workspace, threads[0].id(), None, 10).await.unwrap();
    let places: Vec<i64> = thread.iter().map(|message| message.sequence).collect();
    assert_eq!(places, [6, 5, 4, 3, 2, 1]);
    assert_eq!(threads[0].last_sequence, 6);
}

/// Whoever said no to one of two addresses has said no.
#[tokio::test(flavor = "multi_thread")]
async fn a_merged_person_stays_opted_out_and_keeps_what_was_known_of_both() {
    let world = World::new().await;
    let by_number = world.person("4915755512345");
    let by_user = Sighting { wa_id: None, user_id: Some(UserId::new("DE.3")), ..by_number.clone() };
    let goes = resolve(world.db.database(), vec![by_user.clone()]).await.remove(0).id;
    let keeps = resolve(world.db.database(), vec![by_number.clone()]).await.remove(0).id;
    world
        .run(&format!(
            "UPDATE contacts SET opted_out_at = '2026-01-02', tags = '{{left,vip}}', \
             attributes = '{{\"city\": \"Bonn\", \"age\": 40}}' WHERE id = '{}';
             UPDATE contacts SET tags = '{{new,vip}}', attributes = '{{\"city\": \"Berlin\"}}' \
             WHERE id = '{}'",
            goes.as_uuid(),
            keeps.as_uuid()
        ))
        .await;
    let both = Sighting { user_id: by_user.user_id.clone(), ..by_number };
    resolve(world.db.database(), vec![both]).await;
    let mut conn = world.conn().await;
    let person = contacts::find(&mut conn, world.workspace, keeps).await.unwrap().unwrap();
    assert_eq!(person.opted_out_at.unwrap().date_naive().to_string(), "2026-01-02");
    assert_eq!(person.tags, ["left", "new", "vip"]);
    assert_eq!(person.attributes, json!({ "city": "Berlin", "age": 40 }));
    let known = format!("contact_merges WHERE gone = '{}'", goes.as_uuid());
    assert_eq!(world.count(&known).await, 1);
}

/// Of three rows that become one, each step remembers who the person is now.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_merged_twice_is_still_found() {
    let world = World::new().await;
    let users = ["DE.4", "DE.5"].map(|user| Sighting {
        wa_id: None,
        user_id: Some(UserId::new(user)),
        ..world.person("")
    });
    for sighting in &users {
        resolve(world.db.database(), vec![sighting.clone()]).await;
    }
    for (number, user) in [("4915755512345", &users[0]), ("4915755512346", &users[1])] {
        let by_number = world.person(number);
        resolve(world.db.database(), vec![by_number.clone()]).await;
        resolve(world.db.database(), vec![Sighting { wa_id: by_number.wa_id, ..user.clone() }])
            .await;
    }
    // The second person's user moves to the first one's number.
    let moved = Sighting { user_id: users[1].user_id.clone(), ..world.person("4915755512345") };
    let person = resolve(world.db.database(), vec![moved]).await.remove(0);
    let found = format!("contact_merges WHERE kept = '{}'", person.id.as_uuid());
    assert_eq!((world.count("contacts").await, world.count(&found).await), (1, 3));
}

async fn write(world: &World, person: Resolved, count: i64) {
    let mut conn = world.conn().await;
    let growth = Growth {
        workspace_id: world.workspace,
        connection_id: world.connection,
        contact_id: person.id,
        messages: count,
        customer_wrote_at: Some(now()),
        campaign_message: None,
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
