//! One message, one open attempt, one acceptance.

use chrono::TimeDelta;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use kernel::ids::{CampaignId, ConversationId, MessageId};
use kernel::{WaId, Wamid};
use storage::campaigns::counts::{self, Changes};
use storage::campaigns::standing::Stop;
use storage::send_ledger::claim::{self, Claimed};
use storage::send_ledger::doubt::{self, OpenAttempt, Verdict};
use storage::send_ledger::settle::{self, Moved, Outcome, Settlement};
use storage::send_ledger::{self, NewOutbound, OnDoubt, Recipient, Source};
use storage::{Database, StorageError};

use crate::world::{World, now};

pub(crate) fn outbound(world: &World, key: &str, number: &str) -> NewOutbound {
    NewOutbound {
        id: MessageId::new(),
        workspace_id: world.workspace,
        connection_id: world.connection,
        conversation_id: ConversationId::new(),
        dedupe_key: key.into(),
        recipient: Recipient::Number(WaId::new(number)),
        source: Source::Bot,
        campaign_id: None,
        on_doubt: OnDoubt::Resend,
        resend_until: None,
        content: b"{}".to_vec(),
        traceparent: None,
    }
}

pub(crate) async fn enqueue(world: &World, rows: Vec<NewOutbound>) -> Vec<MessageId> {
    let ids = rows.iter().map(|row| row.id).collect();
    let mut conn = world.conn().await;
    send_ledger::enqueue(&mut conn, rows, now()).await.unwrap();
    ids
}

pub(crate) async fn claim_all(db: &Database) -> Vec<Claimed> {
    let mut conn = db.connection().await.unwrap();
    let mut claimed = Vec::new();
    for stream in claim::streams(&mut conn, &Source::ALL).await.unwrap() {
        let candidates = claim::peek(&mut conn, &stream, 1_000, now()).await.unwrap();
        let ids: Vec<MessageId> = candidates.iter().map(|candidate| candidate.id).collect();
        let deadline = now() + TimeDelta::seconds(10);
        let taken = claim::claim(&mut conn, &stream, &ids, "test", now(), deadline).await;
        claimed.extend(taken.unwrap());
    }
    claimed
}

pub(crate) async fn settle(world: &World, claimed: &Claimed, outcome: Outcome) -> Moved {
    settle_all(world, &[(claimed, outcome)], Vec::new()).await
}

pub(crate) async fn settle_all(
    world: &World,
    outcomes: &[(&Claimed, Outcome)],
    stops: Vec<(CampaignId, Stop)>,
) -> Moved {
    let rows: Vec<Settlement> = outcomes
        .iter()
        .map(|(claimed, outcome)| Settlement {
            attempt_id: claimed.attempt_id,
            message_id: claimed.message_id,
            campaign_id: claimed.campaign_id,
            epoch: claimed.epoch,
            outcome: outcome.clone(),
        })
        .collect();
    let mut conn = world.conn().await;
    (*conn)
        .transaction(async |tx| {
            Ok::<_, StorageError>(settle::settle(tx, rows, stops, now()).await?)
        })
        .await
        .unwrap()
}

/// Closes doubts and counts what that means, as the resolver does.
pub(crate) async fn close(
    tx: &mut AsyncPgConnection,
    open: &[OpenAttempt],
    verdict: Verdict,
) -> Result<Vec<MessageId>, StorageError> {
    let mut changes = Changes::default();
    let moved = doubt::close(tx, open, verdict, &mut changes, now()).await?;
    counts::apply(tx, changes, now()).await?;
    Ok(moved)
}

pub(crate) fn accepted(wamid: &str) -> Outcome {
    Outcome::Accepted { wamid: Wamid::new(wamid) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dedupe_key_makes_one_row_however_often_it_is_enqueued() {
    let world = World::new().await;
    let mut conn = world.conn().await;
    let rows = vec![outbound(&world, "b:1", "1"), outbound(&world, "b:2", "2")];
    assert_eq!(send_ledger::enqueue(&mut conn, rows, now()).await.unwrap().len(), 2);
    let again = vec![outbound(&world, "b:1", "1"), outbound(&world, "b:3", "3")];
    assert_eq!(send_ledger::enqueue(&mut conn, again, now()).await.unwrap().len(), 1);
    assert_eq!(world.count("outbound_messages").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_senders_claim_each_message_once() {
    let world = World::new().await;
    let rows = (0..200).map(|n| outbound(&world, &format!("k{n}"), &format!("{n}"))).collect();
    enqueue(&world, rows).await;
    let senders = (0..5).map(|_| {
        let database = world.db.database().clone();
        tokio::task::spawn(async move { claim_all(&database).await.len() })
    });
    let mut claimed = 0;
    for sender in senders.collect::<Vec<_>>() {
        claimed += sender.await.unwrap();
    }
    claimed += claim_all(world.db.database()).await.len();
    assert_eq!((claimed, world.count("send_attempts").await), (200, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_to_one_person_leave_one_after_the_other_in_order() {
    let world = World::new().await;
    let rows = (0..3).map(|n| outbound(&world, &format!("k{n}"), "4915755512345")).collect();
    let ids = enqueue(&world, rows).await;
    for (n, id) in ids.into_iter().enumerate() {
        let claimed = claim_all(world.db.database()).await;
        assert_eq!(claimed.iter().map(|c| c.message_id).collect::<Vec<_>>(), [id]);
        assert!(claim_all(world.db.database()).await.is_empty(), "the next left too early");
        settle(&world, &claimed[0], accepted(&format!("wamid.{n}"))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certainly_not_sent_is_claimed_again_in_doubt_is_not() {
    let world = World::new().await;
    enqueue(&world, vec![outbound(&world, "a", "1"), outbound(&world, "b", "2")]).await;
    let claimed = claim_all(world.db.database()).await;
    let not_sent = Outcome::NotSent { not_before: now(), code: None };
    settle(&world, &claimed[0], not_sent).await;
    settle(&world, &claimed[1], Outcome::Doubt { http_status: None, code: None }).await;
    let again = claim_all(world.db.database()).await;
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].message_id, again[0].epoch), (claimed[0].message_id, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_try_never_moves_a_newer_one() {
    let world = World::new().await;
    enqueue(&world, vec![outbound(&world, "a", "1")]).await;
    let first = claim_all(world.db.database()).await.remove(0);
    let not_sent = Outcome::NotSent { not_before: now(), code: None };
    settle(&world, &first, not_sent).await;
    let second = claim_all(world.db.database()).await.remove(0);
    let late = Outcome::Failed { code: 131_026, http_status: 400 };
    assert_eq!(settle(&world, &first, late).await, Moved::default());
    assert_eq!(settle(&world, &second, accepted("wamid.A")).await.accepted.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_acceptances_of_one_message_are_recorded_never_hidden() {
    let world = World::new().await;
    enqueue(&world, vec![outbound(&world, "a", "1")]).await;
    let claimed = claim_all(world.db.database()).await.remove(0);
    assert_eq!(settle(&world, &claimed, accepted("wamid.A")).await.accepted.len(), 1);
    let again = settle(&world, &claimed, accepted("wamid.A")).await;
    assert_eq!(again, Moved::default(), "the same news twice is no duplicate");
    assert_eq!(settle(&world, &claimed, accepted("wamid.B")).await.duplicates, 1);
    assert_eq!(world.count("duplicate_incidents").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_is_closed_once_and_never_overrules_an_acceptance() {
    let world = World::new().await;
    enqueue(&world, vec![outbound(&world, "a", "1"), outbound(&world, "b", "2")]).await;
    let claimed = claim_all(world.db.database()).await;
    settle(&world, &claimed[0], accepted("wamid.A")).await;
    let mut conn = world.conn().await;
    let later = now() + TimeDelta::minutes(1);
    let closed = (*conn)
        .transaction(async |tx| {
            let open = doubt::expired(tx, later, 20, 10).await?;
            assert_eq!(open.len(), 1);
            assert!(!open[0].is_watermark_past, "the neighbour's status is missing");
            Ok::<_, StorageError>(close(tx, &open, Verdict::Resend).await?)
        })
        .await
        .unwrap();
    assert_eq!(closed, [claimed[1].message_id]);
    let again = claim_all(world.db.database()).await;
    assert_eq!((again.len(), again[0].epoch), (1, 2));
    assert_eq!(settle(&world, &claimed[1], accepted("wamid.B")).await.accepted.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postponed_message_is_left_alone_until_its_moment_and_lets_others_pass() {
    let world = World::new().await;
    let rows = vec![outbound(&world, "a", "1"), outbound(&world, "b", "2")];
    let ids = enqueue(&world, rows).await;
    let mut conn = world.conn().await;
    let until = now() + TimeDelta::seconds(30);
    claim::postpone(&mut conn, &[(ids[0], until)]).await.unwrap();
    let stream = claim::streams(&mut conn, &[Source::Bot]).await.unwrap()[0];
    let found = claim::peek(&mut conn, &stream, 10, until - TimeDelta::seconds(1)).await.unwrap();
    assert_eq!(found.iter().map(|candidate| candidate.id).collect::<Vec<_>>(), [ids[1]]);
    assert_eq!((found[0].recipient.as_str(), stream.source), ("2", Source::Bot));
    // An earlier moment brings nothing forward, and what was claimed is not touched.
    claim::postpone(&mut conn, &[(ids[0], now())]).await.unwrap();
    assert_eq!(claim_all(world.db.database()).await.len(), 1);
    claim::postpone(&mut conn, &[(ids[1], until)]).await.unwrap();
    assert_eq!(world.count("outbound_messages WHERE not_before IS NOT NULL").await, 1);
    let found = claim::peek(&mut conn, &stream, 10, until).await.unwrap();
    assert_eq!(found.iter().map(|candidate| candidate.id).collect::<Vec<_>>(), [ids[0]]);
}
