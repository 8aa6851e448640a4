//! Everything that moves a campaign's messages at once: the numbers stay those of a recount.

use chrono::TimeDelta;
use diesel_async::AsyncConnection;
use kernel::Wamid;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use storage::campaigns::standing::{self, Resolution, Stop};
use storage::send_ledger::OnDoubt;
use storage::send_ledger::claim::{self, Claimed};
use storage::send_ledger::doubt::{self, Verdict};
use storage::send_ledger::settle::{self, Outcome, Settlement};
use storage::statuses::{self, StatusUpdate};
use storage::{AsyncPgConnection, StorageError};

use crate::campaigns::{Campaign, by_hand};
use crate::send_ledger::close;
use crate::statuses::status;
use crate::world::{World, now};

/// One of those who move a campaign's messages, with what it has claimed.
struct Hand<'w> {
    world: &'w World,
    campaign: &'w Campaign,
    dice: StdRng,
    claimed: Vec<Claimed>,
}

impl Hand<'_> {
    async fn work(&mut self, steps: usize) {
        for _ in 0..steps {
            let kind = self.dice.random_range(0..10);
            // A deadlock that PostgreSQL breaks would be retried: it must not happen at all here.
            self.step(kind).await.unwrap();
        }
    }

    async fn step(&mut self, kind: u32) -> Result<(), StorageError> {
        let mut conn = self.world.conn().await;
        match kind {
            0..=2 => return self.claim(&mut conn).await,
            3..=5 => {
                let (rows, stops) = self.outcomes();
                (*conn)
                    .transaction(async |tx| settle::settle(tx, rows, stops, now()).await)
                    .await?;
            }
            6 | 7 => {
                let news = self.news();
                (*conn).transaction(async |tx| statuses::apply(tx, news, &[], now()).await).await?;
            }
            8 => {
                let verdict = *[Verdict::Resend, Verdict::AssumeSent, Verdict::Uncertain]
                    .choose(&mut self.dice)
                    .unwrap();
                let later = now() + TimeDelta::minutes(1);
                (*conn)
                    .transaction(async |tx| {
                        let open = doubt::expired(tx, later, 1, 3).await?;
                        close(tx, &open, verdict).await
                    })
                    .await?;
            }
            _ => return self.act(&mut conn).await,
        }
        Ok(())
    }

    async fn claim(&mut self, conn: &mut AsyncPgConnection) -> Result<(), StorageError> {
        let stream = self.campaign.stream(self.world);
        let found = claim::peek(conn, &stream, 4, now()).await?;
        let ids: Vec<_> = found.iter().map(|candidate| candidate.id).collect();
        let deadline = now() + TimeDelta::seconds(10);
        self.claimed.extend(claim::claim(conn, &stream, &ids, "test", now(), deadline).await?);
        Ok(())
    }

    /// Of up to four attempts, old ones included: an outcome each.
    fn outcomes(&mut self) -> (Vec<Settlement>, Vec<(kernel::ids::CampaignId, Stop)>) {
        let some: Vec<Claimed> = self.claimed.sample(&mut self.dice, 4).cloned().collect();
        let mut rows = Vec::new();
        for claimed in some {
            let outcome = match self.dice.random_range(0..6) {
                0..=2 => Outcome::Accepted { wamid: wamid(&claimed) },
                3 => Outcome::Failed { code: self.dice.random_range(1..4), http_status: 400 },
                4 => Outcome::NotSent { not_before: now(), code: Some(1) },
                _ => Outcome::Doubt { http_status: None, code: None },
            };
            rows.push(Settlement {
                attempt_id: claimed.attempt_id,
                message_id: claimed.message_id,
                campaign_id: claimed.campaign_id,
                epoch: claimed.epoch,
                outcome,
            });
        }
        let stop = Stop { code: "auth", reason: "Renew the token.".into() };
        let stops = self.dice.random_bool(0.1).then_some((self.campaign.id, stop));
        (rows, stops.into_iter().collect())
    }

    fn news(&mut self) -> Vec<StatusUpdate> {
        let some: Vec<Claimed> = self.claimed.sample(&mut self.dice, 4).cloned().collect();
        some.iter()
            .map(|claimed| {
                let word = ["sent", "delivered", "read", "failed"].choose(&mut self.dice).unwrap();
                let echo = self.dice.random_bool(0.7).then_some(claimed.attempt_id);
                StatusUpdate {
                    error_code: (*word == "failed").then(|| self.dice.random_range(1..4)),
                    ..status(self.world, wamid(claimed).as_str(), word, echo)
                }
            })
            .collect()
    }

    async fn act(&mut self, conn: &mut AsyncPgConnection) -> Result<(), StorageError> {
        let (workspace, id, by) = (self.world.workspace, self.campaign.id, by_hand());
        let which = self.dice.random_range(0..20);
        conn.transaction(async |tx| {
            let is_known = match which {
                0..=4 => standing::pause(tx, workspace, id, &by, now()).await?.is_some(),
                5..=13 => standing::resume(tx, workspace, id, &by, now()).await?.is_some(),
                14..=16 => {
                    let retry = standing::retry_failed(tx, workspace, id, &[1, 2], 3, &by, now());
                    retry.await?.is_some()
                }
                17 => standing::cancel(tx, workspace, id, &by, now()).await?.is_some(),
                _ => {
                    let verdict = if which == 18 { Resolution::Sent } else { Resolution::Resend };
                    let resolve =
                        standing::resolve(tx, workspace, id, None, verdict, 3, &by, now());
                    resolve.await?.is_some()
                }
            };
            assert!(is_known);
            Ok(())
        })
        .await
    }
}

/// Each acceptance of an attempt has an id of its own, as at Meta.
fn wamid(claimed: &Claimed) -> Wamid {
    Wamid::new(format!("wamid.{}", claimed.attempt_id.as_uuid().simple()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_are_those_of_a_recount_after_any_mix_of_news() {
    let world = World::new().await;
    for seed in 0..40 {
        let on_doubt = [OnDoubt::Hold, OnDoubt::AssumeSent, OnDoubt::Resend][seed % 3];
        let campaign = Campaign::with(&world, 12, 4, on_doubt).await;
        let dice = StdRng::seed_from_u64(u64::try_from(seed).unwrap());
        let mut hand = Hand { world: &world, campaign: &campaign, dice, claimed: Vec::new() };
        for _ in 0..15 {
            hand.work(4).await;
            campaign.numbers(&world).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_numbers_are_those_of_a_recount_while_five_hands_work_at_once() {
    let world = World::new().await;
    for seed in 0..6_u64 {
        let campaign = Campaign::with(&world, 40, 10, OnDoubt::Resend).await;
        let hands = (0..5).map(|hand| {
            let dice = StdRng::seed_from_u64(seed * 100 + hand);
            let (world, campaign) = (&world, &campaign);
            async move {
                let mut hand = Hand { world, campaign, dice, claimed: Vec::new() };
                hand.work(40).await;
            }
        });
        let looks = async {
            for _ in 0..20 {
                campaign.numbers(&world).await;
            }
        };
        futures_util::future::join(futures_util::future::join_all(hands), looks).await;
        campaign.numbers(&world).await;
    }
}
