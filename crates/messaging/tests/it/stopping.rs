//! Stopping: the batch in hand is finished, the rest goes back.

use std::time::Duration;

use messaging::ConsumerOptions;
use tokio::time::timeout;

use crate::stand::{FAMILY, Notes, PATIENCE, all_done, eventually, number, transient, with_stand};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_consumer_finishes_its_batch_and_gives_the_rest_back() {
    with_stand(async |stand| {
        stand.publish(0, 0..100).await;
        let (first, second) = (Notes::new(), Notes::new());
        let note = first.clone();
        let mut options = ConsumerOptions::new("first", FAMILY.queues());
        options.max_batch = 10;
        let stop = stand.consume_as(options, move |batch| {
            batch.iter().for_each(|delivery| note.add(number(delivery)));
            std::thread::sleep(Duration::from_millis(100));
            all_done(batch)
        });
        first.until_count(10).await;
        stop.cancel();
        // Whatever it handled is settled, and everything else waits again.
        let mut handled = 0;
        eventually("some are back", || first.all().len() >= 10).await;
        let until = tokio::time::Instant::now() + PATIENCE;
        while stand.depth(FAMILY.queue(0)).await + u32::try_from(handled).unwrap() != 100 {
            assert!(tokio::time::Instant::now() < until, "not all are back");
            tokio::time::sleep(Duration::from_millis(20)).await;
            handled = first.all().len();
        }
        let note = second.clone();
        stand.consume(move |batch| {
            batch.iter().for_each(|delivery| note.add(number(delivery)));
            all_done(batch)
        });
        second.until_count(100 - handled).await;
        let all: Vec<u32> = first.all().into_iter().chain(second.all()).collect();
        assert_eq!(all, (0..100).collect::<Vec<_>>(), "each once, in order");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_during_an_outage_takes_no_longer_and_loses_nothing() {
    with_stand(async |stand| {
        stand.publish(0, 0..5).await;
        let tries = Notes::new();
        let note = tries.clone();
        let stop = stand.consume(move |batch| {
            note.add(batch.len());
            Err(transient())
        });
        tries.until_count(6).await;
        stop.cancel();
        timeout(Duration::from_secs(5), stand.until_depth(FAMILY.queue(0), 5)).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_published_before_the_stop_is_confirmed_before_the_end() {
    with_stand(async |stand| {
        let publisher = stand.broker.publisher();
        let messages = (0..500).map(|n| crate::stand::numbered(FAMILY.routing_key(0), n));
        let publishing = publisher.publish_all(messages.collect());
        tokio::pin!(publishing);
        // Queued, then stopped.
        assert!(timeout(Duration::ZERO, &mut publishing).await.is_err());
        stand.stop.cancel();
        publishing.await.unwrap();
        stand.until_depth(FAMILY.queue(0), 500).await;
    })
    .await;
}
