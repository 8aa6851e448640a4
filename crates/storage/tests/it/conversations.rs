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
