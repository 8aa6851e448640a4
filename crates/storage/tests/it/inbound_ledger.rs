//! An event takes effect once, however many copies arrive at once.

use storage::inbound_ledger;
use uuid::Uuid;

use crate::world::{World, now};

#[tokio::test(flavor = "multi_thread")]
async fn of_many_copies_at_once_one_is_first() {
    let world = World::new().await;
    let ids: Vec<Uuid> = (0..50).map(|_| Uuid::new_v4()).collect();
    let claims = (0..5).map(|shift| {
        let (database, mut ids) = (world.db.database().clone(), ids.clone());
        ids.rotate_left(shift * 7); // another order in each: a deadlock if it mattered
        tokio::task::spawn(async move {
            let mut conn = database.connection().await.unwrap();
            inbound_ledger::claim(&mut conn, ids, now()).await.unwrap().len()
        })
    });
    let mut first = 0;
    for claim in claims.collect::<Vec<_>>() {
        first += claim.await.unwrap();
    }
    assert_eq!(first, 50);
    assert_eq!(world.count("inbound_ledger WHERE copies = 5").await, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_within_one_batch_takes_no_effect_and_is_counted() {
    let world = World::new().await;
    let id = Uuid::new_v4();
    let mut conn = world.conn().await;
    let first = inbound_ledger::claim(&mut conn, vec![id, id], now()).await.unwrap();
    assert_eq!(first.len(), 1);
    assert_eq!(world.count("inbound_ledger WHERE copies = 2").await, 1, "both were counted");
    let again = inbound_ledger::claim(&mut conn, vec![id], now()).await.unwrap();
    assert!(again.is_empty());
    let far = now() + chrono::TimeDelta::days(1);
    assert_eq!(inbound_ledger::forget(&mut conn, far, 10).await.unwrap(), 1);
}
