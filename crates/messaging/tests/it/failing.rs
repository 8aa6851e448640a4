//! Failures: who is at fault, and what becomes of the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use contracts::names::header;
use futures_util::StreamExt;
use lapin::options::BasicConsumeOptions;
use messaging::{Delivery, Fault, Queue, Raw};
use tokio::time::sleep;

use crate::stand::{FAMILY, Notes, all_done, eventually, number, transient, with_stand};

pub(crate) fn holds(batch: &[Delivery<Raw>], n: u32) -> bool {
    batch.iter().any(|delivery| number(delivery) == n)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_panics_its_handler_is_the_only_dead_letter() {
    with_stand(async |stand| {
        stand.publish(0, 0..100).await;
        let done = Notes::new();
        let note = done.clone();
        let stop = stand.consume(move |batch| {
            assert!(!holds(batch, 42), "poison");
            batch.iter().for_each(|delivery| note.add(number(delivery)));
            all_done(batch)
        });
        assert_eq!(stand.take(Queue::Parking).await.data, b"42");
        let mut done = done.until_count(99).await;
        done.sort_unstable();
        assert!(done.into_iter().eq((0..100).filter(|n| *n != 42)), "once each");
        stop.cancel();
        stand.until_all_is_settled().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_a_dependency_holds_the_batch_and_costs_nobody_an_attempt() {
    with_stand(async |stand| {
        stand.publish(0, 0..20).await;
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
        // The batch twice, three singles, then at least two more rounds after pauses.
        calls.until_count(12).await;
        // What arrives meanwhile joins.
        stand.publish(1, 20..25).await;
        is_away.store(false, Ordering::SeqCst);
        let mut done = done.until_count(25).await;
        done.sort_unstable();
        assert!(done.into_iter().eq((0..25).map(|n| (n, 0))), "once each, first attempt");
        stop.cancel();
        stand.until_all_is_settled().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_fail_while_others_succeed_fall_out_alone() {
    with_stand(async |stand| {
        stand.publish(0, 0..60).await;
        let (done, retried) = (Notes::new(), Notes::new());
        let (note, retry) = (done.clone(), retried.clone());
        // Five in a row look like an outage at first; the ones behind them must not wait for it.
        let stop = stand.consume(move |batch| {
            if let Some(bad) = batch.iter().find(|delivery| (10..15).contains(&number(delivery))) {
                retry.add((number(bad), bad.attempt()));
                return Err(transient());
            }
            batch.iter().for_each(|delivery| note.add(number(delivery)));
            all_done(batch)
        });
        let mut done = done.until_count(55).await;
        done.sort_unstable();
        assert!(done.into_iter().eq((0..60).filter(|n| !(10..15).contains(n))), "once each");
        // With nobody left to compare with, they are held; a success of another one is enough.
        eventually("retries", || retried.all().iter().any(|(_, attempt)| *attempt > 0)).await;
        stop.cancel();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_message_in_an_outage_is_held_until_another_one_succeeds() {
    with_stand(async |stand| {
        let (tries, done) = (Notes::new(), Notes::new());
        let (attempt, note) = (tries.clone(), done.clone());
        stand.consume(move |batch| {
            if holds(batch, 1) {
                attempt.add(batch[0].attempt());
                return Err(transient());
            }
            batch.iter().for_each(|delivery| note.add(number(delivery)));
            all_done(batch)
        });
        stand.publish(0, 1..2).await;
        assert!(tries.until_count(8).await.iter().all(|attempt| *attempt == 0), "held in place");
        // Now there is evidence that the dependency works, each time the bad one is back.
        for n in 2..60 {
            if stand.depth(Queue::Parking).await > 0 {
                break;
            }
            stand.publish(1, n..n + 1).await;
            done.until_count(usize::try_from(n).unwrap() - 1).await;
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(stand.take(Queue::Parking).await.data, b"1");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permanent_fault_of_a_batch_is_charged_to_no_innocent() {
    with_stand(async |stand| {
        stand.publish(0, 0..10).await;
        let done = Notes::new();
        let note = done.clone();
        // Together they fail, alone they work, as with two rows that conflict in one statement.
        let stop = stand.consume(move |batch| {
            if batch.len() > 1 {
                return Err(Fault::Permanent("two rows conflict".into()));
            }
            batch.iter().for_each(|delivery| note.add(number(delivery)));
            all_done(batch)
        });
        assert_eq!(done.until_count(10).await, (0..10).collect::<Vec<_>>());
        stop.cancel();
        stand.until_all_is_settled().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_came_back_twice_is_handled_alone() {
    with_stand(async |stand| {
        stand.publish(0, 0..5).await;
        for _ in 0..2 {
            return_unacknowledged(&stand, 5).await;
        }
        let sizes = Notes::new();
        let note = sizes.clone();
        stand.consume(move |batch| {
            batch.iter().for_each(|delivery| assert!(delivery.is_redelivered()));
            note.add(batch.len());
            all_done(batch)
        });
        assert_eq!(sizes.until_count(5).await, [1; 5]);
        stand.until_all_is_settled().await;
    })
    .await;
}

/// Takes `count` messages and dies with them.
pub(crate) async fn return_unacknowledged(stand: &crate::stand::Stand, count: u32) {
    let connection =
        lapin::Connection::connect(&crate::stand::url(), Default::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let name = stand.name(FAMILY.queue(0)).into();
    let options = BasicConsumeOptions::default();
    let consumer = channel.basic_consume(name, "dies".into(), options, Default::default());
    consumer.await.unwrap().take(count.try_into().unwrap()).collect::<Vec<_>>().await;
    connection.close(200, "OK".into()).await.unwrap();
    stand.until_depth(FAMILY.queue(0), count).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_that_can_not_be_collected_waits_and_keeps_its_story() {
    with_stand(async |stand| {
        stand.publish(0, 3..4).await;
        stand.consume(|_| Err(Fault::Permanent("no".into())));
        let seen = Notes::new();
        let note = seen.clone();
        let options = messaging::ConsumerOptions::new("parker", [Queue::Parking]);
        stand.consume_as(options, move |batch| {
            let delivery = &batch[0];
            let origin = delivery.header(header::ORIGIN).map(str::to_owned);
            note.add((number(delivery), delivery.attempt(), origin));
            // It died once when it comes here, and a second time here.
            let is_first = delivery.attempt() < 2;
            if is_first { Err(Fault::Permanent("full".into())) } else { all_done(batch) }
        });
        let origin = Some(stand.name(FAMILY.queue(0)));
        eventually("it is back", || seen.all().iter().any(|(_, attempt, _)| *attempt == 2)).await;
        assert!(seen.all().iter().all(|(n, _, from)| *n == 3 && *from == origin));
        stand.until_depth(Queue::Parking, 0).await;
    })
    .await;
}
