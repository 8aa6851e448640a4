//! Delivers webhooks as Meta does: signed, in parallel, again and again until one is answered 200.
//!
//! Invariant: [`Courier::pending`] is 0 only when nothing is waiting, under way or about to be
//! delivered again.

mod pool;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep};
use tracing::debug;

use self::pool::Pool;
use crate::body::{Update, webhook};
use crate::dice::Dice;
use crate::fault::{Script, Span, StatusPlan};
use crate::inbound::Repeat;
use crate::options::WebhookSettings;
use crate::sign::Signer;
use crate::sync::{Tasks, lock};
use crate::wire::{Target, TargetError};

/// The longest pause between two redeliveries.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// What became of the webhooks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WebhookStats {
    /// POSTs to be delivered; a duplicate counts as one of its own.
    pub posts: u64,
    /// Attempts made, redeliveries included.
    pub attempts: u64,
    /// POSTs answered 200.
    pub acknowledged: u64,
    /// Attempts that were answered otherwise, by HTTP status.
    pub refused: BTreeMap<u16, u64>,
    /// Attempts without an answer: no connection, a broken one, a time-out.
    pub unreachable: u64,
    /// POSTs that were never answered 200 within the time they had.
    pub given_up: u64,
    /// POSTs dropped because no target was set.
    pub without_target: u64,
    /// POSTs and statuses still to come.
    pub pending: usize,
}

/// Delivers webhooks.
pub(crate) struct Courier {
    tasks: Tasks,
    script: Arc<Script>,
    seed: u64,
    route: Mutex<Arc<Route>>,
    permits: Semaphore,
    pool: Pool,
    turn: AtomicUsize,
    pending: watch::Sender<usize>,
    stats: Mutex<WebhookStats>,
    /// Statuses waiting for their POST to fill up.
    buffer: Mutex<Vec<(Update, Pending)>>,
}

/// The settings in force, ready for use.
struct Route {
    settings: WebhookSettings,
    targets: Vec<Target>,
    signer: Signer,
}

impl Route {
    fn new(settings: WebhookSettings) -> Result<Self, TargetError> {
        let targets = settings.targets.iter().map(Target::parse).collect::<Result<_, _>>()?;
        let signer = Signer::new(&settings.app_secret);
        Ok(Self { settings, targets, signer })
    }
}

/// Something that [`Courier::pending`] counts while it lives.
pub(crate) struct Pending(watch::Sender<usize>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.send_modify(|pending| *pending -= 1);
    }
}

/// A body and its signature.
struct Post {
    body: Vec<u8>,
    signature: String,
}

impl Courier {
    pub(crate) fn new(
        tasks: Tasks,
        script: Arc<Script>,
        seed: u64,
        settings: WebhookSettings,
        concurrency: usize,
    ) -> Result<Self, TargetError> {
        Ok(Self {
            tasks,
            script,
            seed,
            route: Mutex::new(Arc::new(Route::new(settings)?)),
            permits: Semaphore::new(concurrency.clamp(1, Semaphore::MAX_PERMITS)),
            pool: Pool::default(),
            turn: AtomicUsize::new(0),
            pending: watch::Sender::new(0),
            stats: Mutex::default(),
            buffer: Mutex::default(),
        })
    }

    pub(crate) fn settings(&self) -> WebhookSettings {
        self.route().settings.clone()
    }

    /// Changes where webhooks go; redeliveries under way follow.
    pub(crate) fn redirect(&self, settings: WebhookSettings) -> Result<(), TargetError> {
        *lock(&self.route) = Arc::new(Route::new(settings)?);
        Ok(())
    }

    pub(crate) fn has_targets(&self) -> bool {
        !self.route().targets.is_empty()
    }

    pub(crate) fn stats(&self) -> WebhookStats {
        WebhookStats { pending: *self.pending.borrow(), ..lock(&self.stats).clone() }
    }

    pub(crate) fn clear_stats(&self) {
        *lock(&self.stats) = WebhookStats::default();
    }

    /// Follows the number of things still to come.
    pub(crate) fn watch(&self) -> watch::Receiver<usize> {
        self.pending.subscribe()
    }

    /// Announces something to come.
    pub(crate) fn expect(&self) -> Pending {
        self.pending.send_modify(|pending| *pending += 1);
        Pending(self.pending.clone())
    }

    /// Puts a status into the next POST, which leaves when it is full or has waited long enough.
    pub(crate) fn offer(self: &Arc<Self>, update: Update, plan: &StatusPlan) {
        let waiting = {
            let mut buffer = lock(&self.buffer);
            buffer.push((update, self.expect()));
            buffer.len()
        };
        if waiting >= plan.batch {
            self.flush(plan.batch);
        } else if waiting == 1 {
            let (courier, batch) = (Arc::clone(self), plan.batch);
            let linger = Duration::from_millis(plan.linger_ms);
            self.tasks.spawn(async move {
                sleep(linger).await;
                courier.flush(batch);
            });
        }
    }

    fn flush(self: &Arc<Self>, batch: usize) {
        let (updates, _pending): (Vec<Update>, Vec<Pending>) =
            std::mem::take(&mut *lock(&self.buffer)).into_iter().unzip();
        for chunk in updates.chunks(batch.max(1)) {
            self.post(webhook(chunk).into_bytes(), Repeat::ONCE);
        }
    }

    /// Delivers `body` as it is, as often as `repeat` says, through the faults of the script.
    pub(crate) fn post(self: &Arc<Self>, body: Vec<u8>, repeat: Repeat) {
        let route = self.route();
        if route.targets.is_empty() {
            lock(&self.stats).without_target += 1;
            return;
        }
        let faults = &self.script.current().webhooks;
        let signature = route.signer.sign(&body);
        let post = Arc::new(Post { body, signature });
        for copy in 0..repeat.copies {
            let mut dice = Dice::new(self.seed, "webhook", self.counted());
            let delay = Duration::from_millis(dice.between(faults.delay_ms));
            let jitter = Duration::from_millis(dice.between(Span(0, faults.reorder_ms)));
            let after =
                repeat.gap.saturating_mul(copy).saturating_add(delay).saturating_add(jitter);
            self.deliver(Arc::clone(&post), after);
            if dice.chance(faults.duplicate) {
                self.counted();
                let again = after.saturating_add(Duration::from_millis(faults.duplicate_gap_ms));
                self.deliver(Arc::clone(&post), again);
            }
        }
    }

    /// Counts a POST and gives its ordinal.
    fn counted(&self) -> u64 {
        let mut stats = lock(&self.stats);
        stats.posts += 1;
        stats.posts
    }

    fn deliver(self: &Arc<Self>, post: Arc<Post>, after: Duration) {
        let (courier, pending) = (Arc::clone(self), self.expect());
        self.tasks.spawn(async move {
            let _pending = pending;
            if !after.is_zero() {
                sleep(after).await;
            }
            courier.insist(&post).await;
        });
    }

    /// Makes attempts until one is answered 200 or the time is up.
    async fn insist(&self, post: &Post) {
        let began = Instant::now();
        let mut pause = Duration::from_millis(self.route().settings.first_retry_ms);
        while !self.attempt(post).await {
            let settings = &self.route().settings;
            if began.elapsed().saturating_add(pause)
                > Duration::from_millis(settings.give_up_after_ms)
            {
                lock(&self.stats).given_up += 1;
                return;
            }
            sleep(pause).await;
            pause = longer(pause, settings.retry_factor);
        }
        lock(&self.stats).acknowledged += 1;
    }

    async fn attempt(&self, post: &Post) -> bool {
        let Ok(_permit) = self.permits.acquire().await else { return false };
        let route = self.route();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let Some(target) = turn.checked_rem(route.targets.len()).and_then(|n| route.targets.get(n))
        else {
            return false;
        };
        lock(&self.stats).attempts += 1;
        let limit = Duration::from_millis(route.settings.timeout_ms);
        let mut request = Vec::with_capacity(post.body.len() + 320);
        target.request(&post.signature, &post.body, &mut request);
        match self.pool.exchange(target, &request, limit).await {
            Ok(200) => true,
            Ok(status) => {
                *lock(&self.stats).refused.entry(status).or_default() += 1;
                false
            }
            Err(error) => {
                lock(&self.stats).unreachable += 1;
                debug!(error = %kernel::chain(&error), "webhook attempt without an answer");
                false
            }
        }
    }

    fn route(&self) -> Arc<Route> {
        Arc::clone(&lock(&self.route))
    }
}

/// The next pause; a factor that makes no sense keeps the pause as it is.
fn longer(pause: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(pause.as_secs_f64() * factor).unwrap_or(pause).min(MAX_PAUSE)
}
