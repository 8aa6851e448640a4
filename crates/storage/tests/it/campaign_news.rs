//! What is heard of a campaign's messages after they were sent: answers, silence, and second thoughts.

use chrono::{DateTime, TimeDelta, Utc};
use diesel_async::AsyncConnection;
use kernel::ids::{AttemptId, MessageId};
use storage::StorageError;
use storage::campaigns::counts::{self, Changes};
use storage::campaigns::expiry::expire;
use storage::campaigns::standing;
use storage::send_ledger::claim::Claimed;
use storage::statuses::{self, StatusUpdate};

use crate::campaigns::{Campaign, by_hand, claim_some, failed};
use crate::send_ledger::{accepted, settle};
use crate::statuses::{apply, status};
use crate::world::{World, now};

/// The person behind `message` writes, at this moment.
async fn writes(world: &World, message: MessageId, at: DateTime<Utc>) {
    let mut conn = world.conn().await;
    (*conn)
        .transaction(async |tx| {
            Ok::<_, StorageError>(statuses::apply(tx, Vec::new(), &[message], at).await?)
        })
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_answers_is_counted_once_and_nobody_who_wrote_before() {
    let world = World::new().await;
    let campaign = Campaign::running(&world, 3, 0).await;
    let claimed = claim_some(&world, &campaign, 3).await;
    let first = claimed[0].message_id;
    writes(&world, first, now()).await;
    assert_eq!(campaign.numbers(&world).await.replied, 0, "Meta has not taken it yet");
    for (n, claimed) in claimed.iter().enumerate() {
        settle(&world, claimed, accepted(&format!("wamid.{n}"))).await;
    }
    for _ in 0..2 {
        writes(&world, first, now()).await;
    }
    writes(&world, claimed[1].message_id, now() + TimeDelta::days(31)).await;
    let numbers = campaign.numbers(&world).await;
    assert_eq!((numbers.accepted, numbers.replied), (3, 1));
    apply(&world, vec![status(&world, "wamid.0", "read", None)]).await;
    assert_eq!(campaign.numbers(&world).await.replied, 1);
}

async fn give_up(world: &World, campaign: &Campaign, before: DateTime<Utc>) -> usize {
    let mut conn = world.conn().await;
    (*conn)
        .transaction(async |tx| {
            let mut changes = Changes::default();
            let expired = expire(tx, campaign.id, (0, 100), before, &mut changes).await?;
            counts::apply(tx, changes, now()).await?;
            Ok::<_, StorageError>(expired)
        })
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reached_no_phone_in_its_time_has_expired_until_a_phone_says_otherwise() {
    let world = World::new().await;
    let campaign = Campaign::running(&world, 6, 0).await;
    let claimed = claim_some(&world, &campaign, 5).await;
    settle(&world, &claimed[4], failed(131_026)).await;
    for (n, claimed) in claimed.iter().take(4).enumerate() {
        settle(&world, claimed, accepted(&format!("wamid.{n}"))).await;
    }
    apply(&world, vec![status(&world, "wamid.0", "delivered", None)]).await;
    assert_eq!(give_up(&world, &campaign, now() - TimeDelta::hours(1)).await, 0, "too early");
    let later = now() + TimeDelta::seconds(1);
    assert_eq!(give_up(&world, &campaign, later).await, 3);
    assert_eq!(give_up(&world, &campaign, later).await, 0, "twice is once");
    let numbers = campaign.numbers(&world).await;
    assert_eq!((numbers.accepted, numbers.expired, numbers.failed()), (1, 3, 1));
    assert_eq!(numbers.pending(), 1);

    let late = |n: usize, word: &str| status(&world, &format!("wamid.{n}"), word, None);
    apply(&world, vec![late(1, "sent"), late(2, "failed"), late(3, "read")]).await;
    let numbers = campaign.numbers(&world).await;
    assert_eq!((numbers.accepted, numbers.expired, numbers.failed()), (2, 1, 2));
    assert_eq!((numbers.sent, numbers.delivered, numbers.read), (3, 2, 1));
    apply(&world, vec![late(1, "delivered"), late(3, "sent"), late(2, "delivered")]).await;
    assert_eq!(give_up(&world, &campaign, later).await, 0, "no state goes back");
    let numbers = campaign.numbers(&world).await;
    assert_eq!((numbers.accepted, numbers.expired, numbers.failed()), (4, 0, 1));
}

/// A campaign of one whose message was taken, then failed, then was given another try.
async fn tried_again(world: &World) -> (Campaign, Claimed) {
    let campaign = Campaign::running(world, 1, 0).await;
    let first = claim_some(world, &campaign, 1).await.remove(0);
    settle(world, &first, accepted(&wamid(&campaign, "old"))).await;
    let failure = status(world, &wamid(&campaign, "old"), "failed", Some(first.attempt_id));
    apply(world, vec![StatusUpdate { error_code: Some(131_057), ..failure }]).await;
    let mut conn = world.conn().await;
    let again = (*conn)
        .transaction(async |tx| {
            let by = by_hand();
            standing::retry_failed(tx, world.workspace, campaign.id, &[131_057], 10, &by, now())
                .await
        })
        .await
        .unwrap();
    assert_eq!(again.unwrap().recipients, 1);
    (campaign, first)
}

fn wamid(campaign: &Campaign, which: &str) -> String {
    format!("wamid.{which}.{}", campaign.id)
}

async fn arrives(world: &World, campaign: &Campaign, attempt: AttemptId, which: &str) {
    let news = ["sent", "delivered", "failed"]
        .map(|word| status(world, &wamid(campaign, which), word, Some(attempt)));
    apply(world, news.to_vec()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_arrived_although_meta_said_it_failed_is_not_sent_again() {
    let world = World::new().await;
    let (campaign, first) = tried_again(&world).await;
    arrives(&world, &campaign, first.attempt_id, "old").await;
    let numbers = campaign.numbers(&world).await;
    assert_eq!((numbers.accepted, numbers.delivered, numbers.pending()), (1, 1, 0));
    assert!(claim_some(&world, &campaign, 1).await.is_empty());
    assert_eq!(world.count("duplicate_incidents").await, 0);
    assert_eq!(world.count("parked_statuses").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_arrival_of_the_first_try_is_an_incident_once_the_second_was_taken() {
    let world = World::new().await;
    for is_late in [false, true] {
        let (campaign, first) = tried_again(&world).await;
        let second = claim_some(&world, &campaign, 1).await.remove(0);
        // The first try's news comes while the second is on its way, or after it was taken.
        if !is_late {
            arrives(&world, &campaign, first.attempt_id, "old").await;
            assert_eq!(campaign.numbers(&world).await.delivered, 1);
        }
        settle(&world, &second, accepted(&wamid(&campaign, "new"))).await;
        if is_late {
            arrives(&world, &campaign, first.attempt_id, "old").await;
        }
        let numbers = campaign.numbers(&world).await;
        assert_eq!((numbers.accepted, numbers.in_flight, numbers.failed()), (1, 0, 0));
        let incident =
            format!("duplicate_incidents WHERE message_id = '{}'", campaign.messages[0].as_uuid());
        assert_eq!(world.count(&incident).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_arrival_of_the_first_try_mends_the_failure_of_the_second() {
    let world = World::new().await;
    for is_taken in [false, true] {
        let (campaign, first) = tried_again(&world).await;
        let second = claim_some(&world, &campaign, 1).await.remove(0);
        if is_taken {
            settle(&world, &second, accepted(&wamid(&campaign, "new"))).await;
            let failure =
                status(&world, &wamid(&campaign, "new"), "failed", Some(second.attempt_id));
            apply(&world, vec![failure]).await;
        } else {
            settle(&world, &second, failed(131_026)).await;
        }
        assert_eq!(campaign.numbers(&world).await.failed(), 1);
        arrives(&world, &campaign, first.attempt_id, "old").await;
        let numbers = campaign.numbers(&world).await;
        assert_eq!((numbers.accepted, numbers.failed(), numbers.delivered), (1, 0, 1));
    }
    assert_eq!(world.count("duplicate_incidents").await, 0, "one of the two arrived");
}
