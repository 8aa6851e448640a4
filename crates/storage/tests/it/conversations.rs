//! Places in a thread are given out once, without gaps, whoever asks at once.

use kernel::ids::ContactId;
use storage::conversations::{self, Growth};

use crate::world::{World, now};

#[tokio::test(flavor = "multi_thread")]
async fn places_are_given_out_once_under_concurrency() {
    let world = World::new().await;
    let contacts: Vec<ContactId> = (0..20).map(|_| ContactId::new()).collect();
    let tasks = (0..6).map(|shift| {
        let database = world.db.database().clone();
        let mut growths: Vec<Growth> = contacts
            .iter()
            .map(|contact| Growth {
                workspace_id: world.workspace,
                connection_id: world.connection,
                contact_id: *contact,
                messages: 2,
                customer_wrote_at: Some(now()),
                campaign_message: None,
            })
            .collect();
        growths.rotate_left(shift);
        tokio::task::spawn(async move {
            let mut conn = database.connection().await.unwrap();
            conversations::grow(&mut conn, growths, now()).await.unwrap()
        })
    });
    let mut opened = 0;
    let mut places: Vec<(ContactId, i64)> = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        for grown in task.await.unwrap() {
            opened += usize::from(grown.is_new);
            places.push((grown.contact_id, grown.last_sequence));
        }
    }
    places.sort_unstable();
    places.dedup();
    assert_eq!((opened, places.len()), (20, 120));
    assert_eq!(world.count("conversations WHERE last_sequence = 12").await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_is_switched_on_later_has_to_answer_only_what_comes_after() {
    let world = World::new().await;
    let mut conn = world.conn().await;
    let contact = ContactId::new();
    let mut waits = async || {
        let growth = Growth {
            workspace_id: world.workspace,
            connection_id: world.connection,
            contact_id: contact,
            messages: 2,
            customer_wrote_at: None,
            campaign_message: None,
        };
        conversations::grow(&mut conn, vec![growth], now()).await.unwrap().remove(0).waits_for_bot
    };
    assert!(!waits().await, "no bot");
    let (workspace, connection) = (world.workspace.as_uuid(), world.connection.as_uuid());
    world
        .run(&format!(
            "INSERT INTO bots (id, workspace_id, name, is_enabled, created_at, updated_at) \
             VALUES (gen_random_uuid(), '{workspace}', 'Echo', false, now(), now()); \
             INSERT INTO bot_connections SELECT '{connection}', id FROM bots"
        ))
        .await;
    assert!(!waits().await, "a bot that is switched off");
    world.run("UPDATE bots SET is_enabled = true").await;
    assert!(waits().await && waits().await);
    assert_eq!(world.count("conversations WHERE bot_sequence = 4 AND last_sequence = 8").await, 1);
}
