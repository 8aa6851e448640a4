//! A campaign's messages: claimed only while it runs, counted once whatever is told in which order.

use std::time::Duration;

use chrono::TimeDelta;
use diesel_async::{AsyncConnection, SimpleAsyncConnection};
use kernel::ids::{CampaignId, MessageId};
use storage::StorageError;
use storage::campaigns::standing::{self, By, Dropped, Moved, Resolution, Status, Stop};
use storage::campaigns::{self, Numbers};
use storage::send_ledger::claim::{self, Claimed, Stream};
use storage::send_ledger::doubt::{self, Verdict};
use storage::send_ledger::settle::Outcome;
use storage::send_ledger::{NewOutbound, OnDoubt, Source};

use crate::send_ledger::{accepted, claim_all, close, enqueue, outbound, settle, settle_all};
use crate::statuses::{apply, status};
use crate::world::{World, now};

/// A campaign that runs, its recipients given to the ledger, all but those of a chunk that waits.
pub(crate) struct Campaign {
    pub(crate) id: CampaignId,
    pub(crate) messages: Vec<MessageId>,
}

impl Campaign {
    pub(crate) async fn running(world: &World, fed: usize, waiting: usize) -> Self {
        Self::with(world, fed, waiting, OnDoubt::Hold).await
    }

    pub(crate) async fn with(world: &World, fed: usize, waiting: usize, on_doubt: OnDoubt) -> Self {
        let id = CampaignId::new();
        let messages: Vec<MessageId> = (0..fed + waiting).map(|_| MessageId::new()).collect();
        let uuid = id.as_uuid();
        let mut sql = format!(
            "INSERT INTO campaigns (id, workspace_id, connection_id, name, status, template, audience, \
             on_uncertain, prepared_at, total, created_by, created_at, updated_at) VALUES ('{uuid}', \
             '{}', '{}', 'Spring', 'running', '{{}}', '{{}}', 'hold', now(), {}, 'key_x', now(), now()); \
             INSERT INTO campaign_chunks VALUES ('{uuid}', 1, {fed}, 'UTC', NULL, 'fed'), \
             ('{uuid}', 2, {waiting}, 'UTC', NULL, 'waiting');",
            world.workspace.as_uuid(),
            world.connection.as_uuid(),
            messages.len(),
        );
        for (n, message) in messages.iter().enumerate() {
            let chunk = if n < fed { 1 } else { 2 };
            sql.push_str(&format!(
                "INSERT INTO campaign_recipients VALUES ('{uuid}', {}, '{}', {chunk}, \
                 gen_random_uuid(), 'number', '1', '[]', NULL);",
                n + 1,
                message.as_uuid(),
            ));
        }
        world.run(&sql).await;
        let rows = messages.iter().take(fed).map(|message| NewOutbound {
            id: *message,
            source: Source::Campaign,
            campaign_id: Some(id),
            on_doubt,
            ..outbound(world, &format!("c:{message}"), &message.to_string())
        });
        enqueue(world, rows.collect()).await;
        Self { id, messages }
    }

    pub(crate) fn stream(&self, world: &World) -> Stream {
        Stream {
            connection_id: world.connection,
            source: Source::Campaign,
            campaign_id: Some(self.id),
        }
    }

    /// The numbers as kept, which are those of a recount.
    pub(crate) async fn numbers(&self, world: &World) -> Numbers {
        let mut conn = world.conn().await;
        let (kept, counted) = (*conn)
            .transaction(async |tx| {
                tx.batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
                let mut kept = campaigns::numbers(tx, &[self.id]).await?;
                let counted = campaigns::recount(tx, self.id).await?;
                Ok::<_, StorageError>((kept.remove(&self.id).unwrap(), counted))
            })
            .await
            .unwrap();
        assert!(kept.agrees_with(&counted), "kept {kept:?}, counted {counted:?}");
        assert!(kept.pending() >= 0, "{kept:?}");
        kept
    }
}

pub(crate) fn by_hand() -> By {
    By { actor: "key_x".into(), code: Some("by_hand".into()), reason: None }
}

/// Runs an action in a transaction of its own.
macro_rules! act {
    ($world:expr, $action:ident($($argument:expr),*)) => {{
        let mut conn = $world.conn().await;
        (*conn)
            .transaction(async |tx| {
                Ok::<_, StorageError>(
                    standing::$action(tx, $world.workspace, $($argument,)* &by_hand(), now()).await?,
                )
            })
            .await
            .unwrap()
            .unwrap()
    }};
}

pub(crate) async fn claim_some(world: &World, campaign: &Campaign, most: usize) -> Vec<Claimed> {
    let mut conn = world.conn().await;
    let stream = campaign.stream(world);
    let found = claim::peek(&mut conn, &stream, i64::try_from(most).unwrap(), now()).await.unwrap();
    let ids: Vec<MessageId> = found.iter().map(|candidate| candidate.id).collect();
    let deadline = now() + TimeDelta::seconds(10);
    claim::claim(&mut conn, &stream, &ids, "test", now(), deadline).await.unwrap()
}

fn not_sent() -> Outcome {
    Outcome::NotSent { not_before: now(), code: Some(132_015) }
}

pub(crate) fn failed(code: i32) -> Outcome {
    Outcome::Failed { code, http_status: 400 }
}

const DOUBT: Outcome = Outcome::Doubt { http_status: None, code: None };

#[tokio::test(flavor = "multi_thread")]
async fn each_stream_is_found_once_however_much_waits_in_it() {
    let world = World::new().await;
    enqueue(&world, (0..5).map(|n| outbound(&world, &format!("b{n}"), &n.to_string())).collect())
        .await;
    let (one, two) = (Campaign::running(&world, 7, 0).await, Campaign::running(&world, 3, 0).await);
    let test_send = NewOutbound { source: Source::Campaign, ..outbound(&world, "t:1", "777") };
    enqueue(&world, vec![test_send]).await;
    let mut conn = world.conn().await;
    let mut found = claim::streams(&mut conn, &Source::ALL).await.unwrap();
    let bot = Stream { connection_id: world.connection, source: Source::Bot, campaign_id: None };
    let test = Stream { source: Source::Campaign, ..bot };
    let mut expected = vec![bot, test, one.stream(&world), two.stream(&world)];
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(claim::streams(&mut conn, &[Source::Bot]).await.unwrap(), [bot]);
    assert_eq!(claim::peek(&mut conn, &test, 10, now()).await.unwrap().len(), 1);
    assert_eq!(claim::peek(&mut conn, &one.stream(&world), 5, now()).await.unwrap().len(), 5);
    drop(conn);
    assert_eq!(claim_all(world.db.database()).await.len(), 16);
    let mut conn = world.conn().await;
    assert!(claim::streams(&mut conn, &Source::ALL).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_meets_a_pause_waits_for_it_and_takes_nothing() {
    let world = World::new().await;
    let campaign = Campaign::running(&world, 10, 0).await;
    let mut pausing = world.conn().await;
    let claimed = (*pausing)
        .transaction(async |tx| {
            standing::pause(tx, world.workspace, campaign.id, &by_hand(), now()).await?;
            let claim = claim_some(&world, &campaign, 10);
            tokio::pin!(claim);
            // The claim has looked before the pause is committed, so only its lock can stop it.
            let early = tokio::time::timeout(Duration::from_millis(300), &mut claim).await;
            assert!(early.is_err(), "the claim did not wait for the pause");
            Ok::<_, StorageError>(())
        })
        .await
        .map(|()| claim_some(&world, &campaign, 10))
        .unwrap()
        .await;
    assert!(claimed.is_empty());
    assert_eq!(world.count("outbound_messages WHERE state = 'held'").await, 10);
    let mut conn = world.conn().await;
    assert!(claim::streams(&mut conn, &Source::ALL).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_pause_was_answered_nothing_is_claimed_and_its_answer_counts_what_was() {
    for seed in 0..12 {
        let world = World::new().await;
        let campaign = Campaign::running(&world, 60, 0).await;
        let mut claimers = Vec::new();
        let stream = campaign.stream(&world);
        for part in campaign.messages.chunks(3) {
            let (db, part) = (world.db.database().clone(), part.to_vec());
            claimers.push(tokio::task::spawn(async move {
                let mut conn = db.connection().await.unwrap();
                let deadline = now() + TimeDelta::seconds(10);
                claim::claim(&mut conn, &stream, &part, "test", now(), deadline)
                    .await
                    .unwrap()
                    .len()
            }));
        }
        tokio::time::sleep(Duration::from_millis(seed)).await;
        let paused: Moved = act!(world, pause(campaign.id));
        let at_answer = paused.in_flight;
        let mut claimed = 0;
        for claimer in claimers {
            claimed += claimer.await.unwrap();
        }
        assert_eq!(i64::try_from(claimed).unwrap(), at_answer, "claimed after the answer");
        assert_eq!(paused.recipients + at_answer, 60);
        assert_eq!(campaign.numbers(&world).await.in_flight, at_answer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_done_twice_change_nothing_and_tell_so() {
    let world = World::new().await;
    let campaign = Campaign::running(&world, 4, 6).await;
    let flight = claim_some(&world, &campaign, 1).await;
    let paused = act!(world, pause(campaign.id));
    assert_eq!(
        paused,
        Moved { before: Status::Running, status: Status::Paused, in_flight: 1, recipients: 3 }
    );
    let again = act!(world, pause(campaign.id));
    assert!(!again.is_news() && again.status == Status::Paused && again.recipients == 0);
    let resumed = act!(world, resume(campaign.id));
    assert_eq!((resumed.status, resumed.recipients), (Status::Running, 3));
    assert!(!act!(world, resume(campaign.id)).is_news());
    let cancelled = act!(world, cancel(campaign.id));
    assert_eq!((cancelled.status, cancelled.recipients), (Status::Cancelled, 9));
    assert!(!act!(world, cancel(campaign.id)).is_news());
    assert_eq!(act!(world, resume(campaign.id)).status, Status::Cancelled, "final");
    settle(&world, &flight[0], not_sent()).await;
    let numbers = campaign.numbers(&world).await;
    assert_eq!((numbers.pending(), numbers.in_flight, numbers.skipped()), (0, 0, 10));
    assert_eq!(world.count("campaign_log").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_workspace_has_no_such_campaign() {
    let world = World::new().await;
    let campaign = Campaign::running(&world, 1, 0).await;
    let other = kernel::ids::WorkspaceId::new();
    let mut conn = world.conn().await;
    let paused = (*conn)
        .transaction(async |tx| {
            Ok::<_, StorageError>(standing::pause(tx, other, campaign.id, &by_hand(), now()).await?)
        })
        .await
        .unwrap();
    assert_eq!(paused, None);
    assert_eq!(world.count("campaigns WHERE status = 'running'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_unsent_becomes_what_its_campaign_says() {
    let world = World::new().await;
    let campaign = Campaign::running(&world, 4, 0).await;
    let claimed = claim_some(&world, &campaign, 3).await;
    settle(&world, &claimed[0], not_sent()).await;
    assert_eq!(world.count("outbound_messages WHERE state = 'ready'").await, 2);
    let stop = Stop { code: "template_paused", reason: "Meta paused the template.".into() };
    let moved =
        settle_all(&world, &[(&claimed[1], not_sent())], vec![(campaign.id, stop.clone())]).await;
    assert_eq!(moved.stopped.len(), 1);
    assert_eq!(world.count("outbound_messages WHERE state = 'held'").await, 3);
    let moved = settle_all(&world, &[(&claimed[2], not_sent())], vec![(campaign.id, stop)]).await;
    assert!(moved.stopped.is_empty(), "it had stopped already");
    assert_eq!(world.count("campaign_log WHERE action = 'paused'").await, 1);
    assert_eq!(
        world.count("campaigns WHERE status = 'paused' AND reason_code = 'template_paused'").await,
        1
    );
    let numbers = campaign.numbers(&world).await;
    assert_eq!((numbers.pending(), numbers.in_flight), (4, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acceptance_learnt_twice_is_counted_once() {
    let world = World::new().await;
    let campaign = Campaign::running(&world, 1, 0).await;
    let claimed = claim_some(&world, &campaign, 1).await.remove(0);
    settle(&world, &claimed, DOUBT).await;
    assert_eq!(campaign.numbers(&world).await.in_flight, 1);
    let echo = || status(&world, "wamid.A", "delivered", Some(claimed.attempt_id));
    apply(&world, vec![echo(), status(&world, "wamid.A", "sent", None), echo()]).await;
    settle(&world, &claimed, accepted("wamid.A")).await;
    apply(&world, vec![status(&world, "wamid.A", "read", None), echo()]).await;
    let numbers = campaign.numbers(&world).await;
    assert_eq!((numbers.accepted, numbers.in_flight, numbers.ended()), (1, 0, 1));
    assert_eq!((numbers.sent, numbers.delivered, numbers.read), (1, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_told_late_moves_the_number_and_a_phone_moves_it_back() {
    let world = World::new().await;
    let campaign = Campaign::running(&world, 2, 0).await;
    let claimed = claim_some(&world, &campaign, 2).await;
    settle(&world, &claimed[0], accepted("wamid.A")).await;
    settle(&world, &claimed[1], failed(131_026)).await;
    apply(&world, vec![status(&world, "wamid.A", "failed", None)]).await;
    let numbers = campaign.numbers(&world).await;
    assert_eq!((numbers.accepted, numbers.failed()), (0, 2));
    apply(&world, vec![status(&world, "wamid.A", "read", None)]).await;
    let numbers = campaign.numbers(&world).await;
    assert_eq!((numbers.accepted, numbers.failed[&131_026], numbers.sent), (1, 1, 1));
}

async fn close_doubts(world: &World, verdict: Verdict) -> usize {
    let mut conn = world.conn().await;
    let later = now() + TimeDelta::minutes(1);
    (*conn)
        .transaction(async |tx| {
            let open = doubt::expired(tx, later, 20, 1_000).await?;
            Ok::<_, StorageError>(close(tx, &open, verdict).await?.len())
        })
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_assumed_to_be_sent_is_counted_once_when_a_status_proves_it() {
    let world = World::new().await;
    let campaign = Campaign::with(&world, 3, 0, OnDoubt::AssumeSent).await;
    let claimed = claim_some(&world, &campaign, 3).await;
    assert_eq!(close_doubts(&world, Verdict::AssumeSent).await, 3);
    assert_eq!(campaign.numbers(&world).await.accepted, 3);
    assert_eq!(world.count("send_attempts WHERE state = 'presumed'").await, 3);
    apply(&world, vec![status(&world, "wamid.A", "sent", Some(claimed[0].attempt_id))]).await;
    let moved = settle(&world, &claimed[1], accepted("wamid.B")).await;
    assert!(moved.accepted.is_empty(), "it was told when it was assumed");
    settle(&world, &claimed[2], failed(131_026)).await;
    let numbers = campaign.numbers(&world).await;
    assert_eq!((numbers.accepted, numbers.failed(), numbers.sent), (2, 1, 1));
    assert_eq!(world.count("outbound_messages WHERE wamid IS NOT NULL").await, 2);
    assert_eq!(world.count("duplicate_incidents").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_presumed_unsent_is_not_sent_again_by_a_campaign_that_stopped() {
    let world = World::new().await;
    let campaign = Campaign::with(&world, 2, 0, OnDoubt::Resend).await;
    claim_some(&world, &campaign, 1).await;
    act!(world, pause(campaign.id));
    assert_eq!(close_doubts(&world, Verdict::Resend).await, 1);
    assert_eq!(world.count("outbound_messages WHERE state = 'held'").await, 2);
    act!(world, resume(campaign.id));
    assert_eq!(claim_some(&world, &campaign, 5).await.len(), 2);
    act!(world, cancel(campaign.id));
    assert_eq!(close_doubts(&world, Verdict::Resend).await, 2);
    assert_eq!(campaign.numbers(&world).await.skipped["cancelled"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_failures_of_the_codes_given_are_tried_again_and_old_news_of_them_is_no_duplicate() {
    let world = World::new().await;
    let campaign = Campaign::running(&world, 4, 0).await;
    let claimed = claim_some(&world, &campaign, 4).await;
    settle(&world, &claimed[0], failed(131_026)).await;
    settle(&world, &claimed[1], failed(131_057)).await;
    settle(&world, &claimed[2], accepted("wamid.C")).await;
    settle(&world, &claimed[3], DOUBT).await;
    let late = || {
        let failure = status(&world, "wamid.C", "failed", Some(claimed[2].attempt_id));
        storage::statuses::StatusUpdate { error_code: Some(131_057), ..failure }
    };
    apply(&world, vec![late()]).await;
    world.run("UPDATE campaigns SET status = 'completed_with_issues'").await;
    let again = act!(world, retry_failed(campaign.id, &[131_057], 10));
    assert_eq!((again.status, again.recipients), (Status::Running, 2));
    assert_eq!(act!(world, retry_failed(campaign.id, &[131_057], 10)).recipients, 0);
    apply(&world, vec![late()]).await;
    let numbers = campaign.numbers(&world).await;
    assert_eq!((numbers.pending(), numbers.in_flight, numbers.failed()), (2, 1, 1));
    for (n, claimed) in claim_some(&world, &campaign, 5).await.iter().enumerate() {
        settle(&world, claimed, accepted(&format!("wamid.again{n}"))).await;
    }
    apply(&world, vec![late()]).await;
    assert_eq!(world.count("duplicate_incidents").await, 0);
    assert_eq!(campaign.numbers(&world).await.accepted, 2);
}

/// A message whose attempt was presumed unsent cannot be retried; it must not hide those that can.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_moves_as_many_as_it_may_whatever_lies_in_front_of_them() {
    let world = World::new().await;
    let campaign = Campaign::running(&world, 3, 0).await;
    let mut claimed = claim_some(&world, &campaign, 3).await;
    claimed.sort_by_key(|claimed| claimed.message_id);
    for claimed in &claimed {
        settle(&world, claimed, failed(131_057)).await;
    }
    let first = claimed[0].message_id.as_uuid();
    world
        .run(&format!("UPDATE outbound_messages SET wamid = 'wamid.A' WHERE id = '{first}'"))
        .await;
    assert_eq!(act!(world, retry_failed(campaign.id, &[131_057], 2)).recipients, 2);
    assert_eq!(act!(world, retry_failed(campaign.id, &[131_057], 2)).recipients, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_decides_about_the_uncertain_and_meta_overrules_it() {
    let world = World::new().await;
    let campaign = Campaign::running(&world, 3, 0).await;
    let claimed = claim_some(&world, &campaign, 3).await;
    close_doubts(&world, Verdict::Uncertain).await;
    assert_eq!(campaign.numbers(&world).await.uncertain, 3);
    let ids = claimed.iter().map(|claimed| claimed.message_id).collect::<Vec<_>>();
    let one = |n: usize| Some(&ids[n..=n]);
    assert_eq!(act!(world, resolve(campaign.id, one(0), Resolution::Sent, 10)).recipients, 1);
    assert_eq!(act!(world, resolve(campaign.id, one(1), Resolution::NotSent, 10)).recipients, 1);
    assert_eq!(act!(world, resolve(campaign.id, None, Resolution::Resend, 10)).recipients, 1);
    let numbers = campaign.numbers(&world).await;
    assert_eq!((numbers.accepted, numbers.failed(), numbers.pending()), (1, 1, 1));
    let proof = status(&world, "wamid.B", "delivered", Some(claimed[1].attempt_id));
    apply(&world, vec![proof]).await;
    assert_eq!(campaign.numbers(&world).await.accepted, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bots_reply_passes_a_message_that_waits_for_its_campaigns_turn_and_no_other() {
    let world = World::new().await;
    let campaign = Campaign::running(&world, 1, 0).await;
    let person = campaign.messages[0].to_string();
    enqueue(&world, vec![outbound(&world, "b:1", &person), outbound(&world, "b:2", &person)]).await;
    let bot = Stream { connection_id: world.connection, source: Source::Bot, campaign_id: None };
    let mut conn = world.conn().await;
    assert_eq!(claim::peek(&mut conn, &bot, 10, now()).await.unwrap().len(), 1);
    assert_eq!(claim_some(&world, &campaign, 1).await.len(), 1);
    assert!(claim::peek(&mut conn, &bot, 10, now()).await.unwrap().is_empty(), "one at a time");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_begun_after_the_campaigns_end() {
    let world = World::new().await;
    let campaign = Campaign::running(&world, 2, 3).await;
    world.run("UPDATE campaigns SET ends_at = now() - interval '1 s'").await;
    assert!(claim_some(&world, &campaign, 2).await.is_empty());
    let mut conn = world.conn().await;
    let mut changes = campaigns::counts::Changes::default();
    (*conn)
        .transaction(async |tx| {
            standing::drop_rest(tx, campaign.id, Dropped::TooLate, &mut changes).await?;
            campaigns::counts::apply(tx, changes, now()).await
        })
        .await
        .unwrap();
    assert_eq!(campaign.numbers(&world).await.skipped["too_late"], 5);
}
