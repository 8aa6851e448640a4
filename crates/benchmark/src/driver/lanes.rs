//! Messages of one connection: bulk beside people, and a provider whose limit changes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use coordination::{Decision, Feedback, Lane, Limit, LimitName, Limiter, Pacer, Share};
use kernel::ids::{ConnectionId, Id};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::loops::{ms, number};
use super::ours::Ours;
use super::{Options, Way};

const MINUTE: Duration = Duration::from_mins(1);
/// What Meta gives a connection in a second by default.
const FULL: u32 = 80;
/// What the changing provider gives in its second phase.
const CUT: u32 = 20;
/// Meta's code for too fast.
const TOO_FAST: i32 = 130_429;

/// Who sends, and how slots are had.
#[derive(Clone)]
struct Sender {
    limiter: Limiter,
    pacer: Pacer,
    way: Way,
}

impl Sender {
    fn new(options: &Options, ours: &Ours) -> Self {
        let limiter = ours.coordination.limiter().clone();
        let pacer = Pacer::new(limiter.clone(), TaskTracker::new());
        Self { limiter, pacer, way: options.way }
    }

    /// Waits until a message of this lane may be sent.
    async fn slot(&self, lane: Lane) {
        let limit = Limit::of(LimitName::WhatsAppApi(connection())).at_most(FULL * 60).per(MINUTE);
        loop {
            let wait = match self.way {
                Way::Ours => self.paced(&limit.clone().lane(lane)).await,
                // Everybody alike, each for himself.
                _ => self.asked(&limit).await,
            };
            match wait {
                Some(wait) => sleep(wait).await,
                None => return,
            }
        }
    }

    /// How long to wait before the next try; `None` once a slot was used.
    async fn paced(&self, limit: &Limit) -> Option<Duration> {
        match self.pacer.slot(limit, None, Share::NONE).await {
            Ok(slot) => (!slot.spend().await).then_some(Duration::ZERO),
            Err(parked) => Some(parked.after),
        }
    }

    async fn asked(&self, limit: &Limit) -> Option<Duration> {
        match self.limiter.check(std::slice::from_ref(limit), 1).await {
            Decision::Go(_) => None,
            Decision::Wait { after, .. } => Some(after),
        }
    }
}

fn connection() -> ConnectionId {
    Id::from_uuid(Uuid::nil())
}

/// `--tasks` bulk senders that never rest, and `--rounds` people a second.
pub(crate) async fn lanes(options: &Options, ours: &Ours) -> anyhow::Result<Value> {
    let line = &options.line;
    let sender = Sender::new(options, ours);
    // What the limit lets through at once in the beginning is not what is measured.
    timeout(Duration::from_secs(1), async {
        loop {
            sender.slot(Lane::Campaign).await;
        }
    })
    .await
    .unwrap_or(());
    let begun = Instant::now();
    let mut bulk = JoinSet::new();
    for _ in 0..line.tasks {
        let (sender, time) = (sender.clone(), line.time());
        bulk.spawn(async move {
            let mut sent = 0_u32;
            while let Some(left) = time.checked_sub(begun.elapsed()) {
                sent += u32::from(timeout(left, sender.slot(Lane::Campaign)).await.is_ok());
            }
            sent
        });
    }
    let mut people = JoinSet::new();
    let mut ticks = interval(Duration::from_secs(1) / line.rounds.max(1));
    while begun.elapsed() + Duration::from_millis(500) < line.time() {
        ticks.tick().await;
        let sender = sender.clone();
        people.spawn(async move {
            let asked = Instant::now();
            sender.slot(Lane::Agent).await;
            ms(asked.elapsed())
        });
    }
    let waits = people.join_all().await;
    let bulk: u32 = bulk.join_all().await.into_iter().sum();
    let elapsed = line.time().as_secs_f64();
    Ok(json!({ "bulk": bulk, "people": waits.len(), "waits_ms": waits, "seconds": elapsed }))
}

/// A provider that takes a number of messages in any second.
#[derive(Default)]
struct Provider {
    taken: VecDeque<Instant>,
    refused: u32,
    accepted: u32,
}

impl Provider {
    fn takes(&mut self, most: u32) -> bool {
        let now = Instant::now();
        let is_old = |at: &Instant| now - *at >= Duration::from_secs(1);
        while self.taken.front().is_some_and(is_old) {
            self.taken.pop_front();
        }
        let is_taken = number(self.taken.len()) < f64::from(most);
        if is_taken {
            self.taken.push_back(now);
            self.accepted += 1;
        } else {
            self.refused += 1;
        }
        is_taken
    }
}

/// `--tasks` senders and a provider that takes 80, then 20, then 80 a second, `--seconds` each.
pub(crate) async fn adaptive(options: &Options, ours: &Ours) -> anyhow::Result<Value> {
    let line = &options.line;
    let sender = Sender::new(options, ours);
    let provider = Arc::new(Mutex::new(Provider::default()));
    let (begun, phase) = (Instant::now(), line.time());
    let mut tasks = JoinSet::new();
    for _ in 0..line.tasks {
        let (sender, provider) = (sender.clone(), Arc::clone(&provider));
        tasks.spawn(async move {
            while let Some(left) = (phase * 3).checked_sub(begun.elapsed()) {
                if timeout(left, sender.slot(Lane::Campaign)).await.is_err() {
                    return;
                }
                let is_cut = (phase..phase * 2).contains(&begun.elapsed());
                let most = if is_cut { CUT } else { FULL };
                let is_taken = provider.lock().unwrap_or_else(PoisonError::into_inner).takes(most);
                if !is_taken && sender.way == Way::Ours {
                    let slower = Feedback::Throttled { code: TOO_FAST, retry_after: None };
                    sender.limiter.feedback(connection(), slower).await;
                }
            }
        });
    }
    tasks.join_all().await;
    let provider = provider.lock().unwrap_or_else(PoisonError::into_inner);
    let possible = f64::from(2 * FULL + CUT) * phase.as_secs_f64();
    let asked = f64::from(provider.accepted + provider.refused);
    Ok(json!({
        "goodput": f64::from(provider.accepted) / possible,
        "refused": f64::from(provider.refused) / asked,
    }))
}
