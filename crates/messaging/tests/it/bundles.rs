//! Messages that travel together: in order, once, and each at fault for itself only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use messaging::{Delivery, Queue, Raw, Verdict};

use crate::failing::{holds, return_unacknowledged};
use crate::stand::{FAMILY, Notes, Stand, all_done, number, numbered, transient, with_stand};

/// Publishes the numbers of `range` to lane 0, in bundles.
async fn publish(stand: &Stand, range: std::ops::Range<u32>) {
    let message = |n| numbered(FAMILY.routing_key(0), n).bundled();
    stand.broker.publisher().publish_all(range.map(message).collect()).await.unwrap();
}

/// Publishes the hundred numbers from `first` in ten calls.
async fn publish_hundred(stand: &Stand, first: u32) {
    for tens in 0..10 {
        let from = first + tens * 10;
        publish(stand, from..from + 10).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_many_callers_publish_at_once_travels_together_in_order() {
    with_stand(async |stand| {
        // Ten callers, each with a hundred numbers of its own.
        let callers = (0..10).map(|caller| publish_hundred(&stand, caller * 100));
        join_all(callers).await;
        let at_the_broker = stand.depth(FAMILY.queue(0)).await;
        assert!((16..500).contains(&at_the_broker), "{at_the_broker} for 1,000 messages");

        let (done, ids) = (Notes::new(), Notes::new());
        let (note, id) = (done.clone(), ids.clone());
        let stop = stand.consume(move |batch| {
            batch.iter().for_each(|delivery| {
                note.add(number(delivery));
                id.add((u128::from(number(delivery)), delivery.message_id().as_u128()));
            });
            all_done(batch)
        });
        let done = done.until_count(1_000).await;
        for caller in 0..10 {
            let own: Vec<u32> = done.iter().copied().filter(|n| n / 100 == caller).collect();
            assert!(own.iter().copied().eq(caller * 100..caller * 100 + 100), "{caller}: {own:?}");
        }
        assert!(ids.all().iter().all(|(number, id)| number == id), "each keeps its identity");
        stop.cancel();
        stand.until_all_is_settled().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_panics_its_handler_falls_out_of_its_bundle_alone() {
    with_stand(async |stand| {
        publish(&stand, 0..100).await;
        let done = Notes::new();
        let note = done.clone();
        let stop = stand.consume(move |batch| {
            assert!(!holds(batch, 42), "poison");
            batch.iter().for_each(|delivery| note.add(number(delivery)));
            all_done(batch)
        });
        assert_eq!(stand.take(Queue::Parking).await.data, b"42");
        let done = done.until_count(99).await;
        assert!(done.into_iter().eq((0..100).filter(|n| *n != 42)), "once each, in order");
        stop.cancel();
        stand.until_all_is_settled().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_a_bundle_that_has_to_wait_comes_back_alone() {
    with_stand(async |stand| {
        publish(&stand, 0..5).await;
        let seen = Notes::new();
        let note = seen.clone();
        let stop = stand.consume(move |batch| {
            batch.iter().for_each(|delivery| note.add((batch.len(), number(delivery))));
            let waits = |delivery: &Delivery<Raw>| batch.len() > 1 && number(delivery) == 3;
            let wait = std::time::Duration::ZERO;
            let verdict = |delivery| match waits(delivery) {
                true => Verdict::Park { wait },
                false => Verdict::Done,
            };
            Ok(batch.iter().map(verdict).collect())
        });
        let seen = seen.until_count(6).await;
        assert_eq!(seen, [(5, 0), (5, 1), (5, 2), (5, 3), (5, 4), (1, 3)]);
        stop.cancel();
        stand.until_all_is_settled().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_charges_no_message_of_a_bundle() {
    with_stand(async |stand| {
        publish(&stand, 0..20).await;
        let (calls, done) = (Notes::new(), Notes::new());
        let is_away = Arc::new(AtomicBool::new(true));
        let (call, note, away) = (calls.clone(), done.clone(), Arc::clone(&is_away));
        let stop = stand.consume(move |batch| {
            call.add(batch.len());
            if away.load(Ordering::SeqCst) {
                return Err(transient());
            }
            batch.iter().for_each(|delivery| note.add((number(delivery), delivery.attempt())));
            all_done(batch)
        });
        calls.until_count(12).await;
        is_away.store(false, Ordering::SeqCst);
        let done = done.until_count(20).await;
        assert!(done.into_iter().eq((0..20).map(|n| (n, 0))), "once each, first attempt");
        stop.cancel();
        stand.until_all_is_settled().await;
    })
    .await;
}

/// One of its messages may have killed two processes: the next death must count against that one
/// only, not against its companions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_that_came_back_twice_is_taken_apart() {
    with_stand(async |stand| {
        publish(&stand, 0..5).await;
        for _ in 0..2 {
            return_unacknowledged(&stand, 1).await;
        }
        let done = Notes::new();
        let note = done.clone();
        let stop = stand.consume(move |batch| {
            batch.iter().for_each(|delivery| {
                assert!(!delivery.is_redelivered(), "a message of its own, with a clean slate");
                note.add(number(delivery));
            });
            all_done(batch)
        });
        assert_eq!(done.until_count(5).await, [0, 1, 2, 3, 4]);
        stop.cancel();
        stand.until_all_is_settled().await;
    })
    .await;
}
