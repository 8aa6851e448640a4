//! Meta's news in every order, doubled, early and foreign.

use chrono::{TimeDelta, Utc};
use diesel_async::AsyncConnection;
use kernel::Wamid;
use kernel::ids::{AttemptId, ConnectionId};
use storage::StorageError;
use storage::send_ledger::settle::Outcome;
use storage::statuses::{self, Applied, Status, StatusUpdate};
use uuid::Uuid;

use crate::send_ledger::{accepted, claim_all, enqueue, outbound, settle};
use crate::world::{World, now};

pub(crate) fn status(
    world: &World,
    wamid: &str,
    word: &str,
    attempt: Option<AttemptId>,
) -> StatusUpdate {
    StatusUpdate {
        event_id: Uuid::new_v4(),
        connection_id: world.connection,
        wamid: Wamid::new(wamid),
        status: Status::read(word),
        happened_at: chrono::DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(20_000),
        error_code: None,
        attempt_id: attempt,
    }
}

pub(crate) async fn apply(world: &World, updates: Vec<StatusUpdate>) -> Applied {
    let mut conn = world.conn().await;
    (*conn)
        .transaction(async |tx| {
            Ok::<_, StorageError>(statuses::apply(tx, updates, &[], now()).await?)
        })
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_whose_answer_was_lost_is_proved_by_the_status_that_echoes_it() {
    let world = World::new().await;
    enqueue(&world, vec![outbound(&world, "a", "1")]).await;
    let claimed = claim_all(world.db.database()).await.remove(0);
    settle(&world, &claimed, Outcome::Doubt { http_status: None, code: None }).await;
    let applied =
        apply(&world, vec![status(&world, "wamid.A", "sent", Some(claimed.attempt_id))]).await;
    assert_eq!(applied.steps.len(), 1);
    assert_eq!(
        world.count("outbound_messages WHERE state = 'accepted' AND wamid = 'wamid.A'").await,
        1
    );
    assert_eq!(world.count("send_attempts WHERE resolved_by = 'webhook' AND hooked").await, 1);
    let late = settle(&world, &claimed, accepted("wamid.A")).await;
    assert_eq!((late.accepted.len(), late.duplicates), (0, 0), "the late answer is no news");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_overtakes_the_answer_is_parked_and_merged_later() {
    let world = World::new().await;
    enqueue(&world, vec![outbound(&world, "a", "1")]).await;
    let claimed = claim_all(world.db.database()).await.remove(0);
    let early = vec![status(&world, "wamid.A", "delivered", None)];
    assert_eq!(apply(&world, early).await.parked, 1);
    settle(&world, &claimed, accepted("wamid.A")).await;
    let mut conn = world.conn().await;
    let applied = (*conn)
        .transaction(async |tx| {
            let parked = statuses::take_parked(tx, 10).await?;
            Ok::<_, StorageError>(statuses::apply(tx, parked, &[], now()).await?)
        })
        .await
        .unwrap();
    assert_eq!(applied.steps.len(), 1);
    assert_eq!(world.count("parked_statuses").await, 0);
    assert_eq!(world.count("outbound_messages WHERE delivered_at IS NOT NULL").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn doubled_and_disordered_news_is_told_once() {
    let world = World::new().await;
    enqueue(&world, vec![outbound(&world, "a", "1")]).await;
    let claimed = claim_all(world.db.database()).await.remove(0);
    settle(&world, &claimed, accepted("wamid.A")).await;
    let words = ["read", "sent", "read", "delivered", "sent"];
    let news = words.map(|word| status(&world, "wamid.A", word, None)).to_vec();
    let steps = apply(&world, news).await.steps;
    assert_eq!(steps.iter().map(|step| step.status.as_str()).collect::<Vec<_>>(), ["read"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_connections_echo_proves_nothing() {
    let world = World::new().await;
    enqueue(&world, vec![outbound(&world, "a", "1")]).await;
    let claimed = claim_all(world.db.database()).await.remove(0);
    let foreign = StatusUpdate {
        connection_id: ConnectionId::new(),
        ..status(&world, "wamid.X", "read", Some(claimed.attempt_id))
    };
    assert_eq!(apply(&world, vec![foreign]).await.parked, 1);
    assert_eq!(world.count("outbound_messages WHERE state = 'sending'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_of_a_second_acceptance_is_an_incident() {
    let world = World::new().await;
    enqueue(&world, vec![outbound(&world, "a", "1")]).await;
    let claimed = claim_all(world.db.database()).await.remove(0);
    settle(&world, &claimed, accepted("wamid.A")).await;
    let second = status(&world, "wamid.B", "sent", Some(claimed.attempt_id));
    assert_eq!(apply(&world, vec![second]).await.duplicates, 1);
    assert_eq!(world.count("duplicate_incidents").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_without_an_echo_is_a_sign_of_life_too() {
    let world = World::new().await;
    enqueue(&world, vec![outbound(&world, "a", "1")]).await;
    let claimed = claim_all(world.db.database()).await.remove(0);
    settle(&world, &claimed, accepted("wamid.A")).await;
    assert_eq!(world.count("send_attempts WHERE hooked").await, 0);
    apply(&world, vec![status(&world, "wamid.A", "failed", None)]).await;
    assert_eq!(world.count("send_attempts WHERE hooked").await, 1);
    assert_eq!(world.count("outbound_messages WHERE state = 'failed'").await, 1);
}
