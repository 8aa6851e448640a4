//! The load generator: inbound messages by raw HTTP over keep-alive connections.
//!
//! Bodies are written by hand and signed before the clock starts, as far as `prepared` goes, since
//! the generator shares its machine with what it measures.

mod bodies;
mod report;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use url::Url;

use self::bodies::{Bodies, Signed};
pub use self::report::FloodReport;
use self::report::Tally;
use crate::options::Number;
use crate::sign::Signer;
use crate::wire::{Target, TargetError, Wire};

/// Pause after a failed connection, so that a dead target doesn't make the generator spin.
const AFTER_FAILURE: Duration = Duration::from_millis(20);

/// What to throw, where, and how hard.
#[derive(Clone)]
pub struct FloodOptions {
    /// `http` addresses; connections are spread over them.
    pub targets: Vec<Url>,
    /// Signs the bodies.
    pub app_secret: String,
    /// The numbers that are written to, in turn.
    pub numbers: Vec<Number>,
    /// How many different people write, in turn.
    pub persons: u64,
    /// Messages in one POST (1 to 1,000).
    pub per_post: u64,
    /// The text of every message.
    pub text: String,
    /// The pace.
    pub load: Load,
    /// The end.
    pub until: Until,
    /// POSTs built and signed before the clock starts; further ones are built under way.
    pub prepared: u64,
    /// How long a POST may wait for its answer.
    pub timeout: Duration,
}

/// The pace of a flood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// Each connection sends its next POST when the last was answered.
    Closed {
        /// Connections, so POSTs under way at most.
        connections: usize,
    },
    /// POSTs are due at even distances; latency counts from the time a POST was due, so a stall is
    /// seen in full.
    Rate {
        /// POSTs per second; 0 or less means as fast as the connections allow.
        per_second: f64,
        /// Connections, so POSTs under way at most.
        connections: usize,
    },
}

/// The end of a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// After so many POSTs.
    Posts(u64),
    /// After this time.
    Elapsed(Duration),
}

/// The flood could not begin.
#[derive(Debug, Error)]
pub enum FloodError {
    /// A target cannot be used.
    #[error("a flood target is refused")]
    Target(#[from] TargetError),
    /// There is nobody to write to.
    #[error("a flood needs a target, a phone number, a person and a connection")]
    Nothing,
}

/// Throws messages and tells how they were taken. Refused POSTs are not redelivered.
///
/// # Errors
/// When the options name no usable target, number, person or connection.
pub async fn flood(options: FloodOptions) -> Result<FloodReport, FloodError> {
    let targets: Vec<Target> =
        options.targets.iter().map(Target::parse).collect::<Result<_, _>>()?;
    let connections = match options.load {
        Load::Closed { connections } | Load::Rate { connections, .. } => connections,
    };
    if targets.is_empty() || options.numbers.is_empty() || options.persons == 0 || connections == 0
    {
        return Err(FloodError::Nothing);
    }
    let bodies = Bodies::new(&options);
    let prepared = (0..options.prepared).map(|post| bodies.build(post)).collect();
    let events_per_post = options.per_post.clamp(1, 1_000);
    let began = Instant::now();
    let shared = Arc::new(Shared { options, bodies, prepared, began, next: AtomicU64::new(0) });
    let mut workers = JoinSet::new();
    for target in targets.into_iter().cycle().take(connections) {
        workers.spawn(work(Arc::clone(&shared), target));
    }
    let mut total = Tally::default();
    while let Some(finished) = workers.join_next().await {
        // A worker cannot panic; a cancelled one has nothing to tell.
        total.add(finished.unwrap_or_default());
    }
    Ok(total.report(events_per_post, began.elapsed()))
}

struct Shared {
    options: FloodOptions,
    bodies: Bodies,
    prepared: Vec<Signed>,
    began: Instant,
    next: AtomicU64,
}

impl Shared {
    /// Takes the next POST and the time it is due; `None` when the flood is over.
    fn take(&self) -> Option<(u64, Instant)> {
        let post = self.next.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let due = match self.options.load {
            Load::Closed { .. } => now,
            Load::Rate { per_second, .. } => {
                self.began.checked_add(nth(post, per_second)).unwrap_or(now)
            }
        };
        let is_over = match self.options.until {
            Until::Posts(posts) => post >= posts,
            Until::Elapsed(time) => due.max(now).duration_since(self.began) >= time,
        };
        (!is_over).then_some((post, due))
    }

    fn write(&self, post: u64, target: &Target, request: &mut Vec<u8>) {
        match usize::try_from(post).ok().and_then(|post| self.prepared.get(post)) {
            Some(signed) => target.request(&signed.signature, signed.body.as_bytes(), request),
            None => {
                let signed = self.bodies.build(post);
                target.request(&signed.signature, signed.body.as_bytes(), request);
            }
        }
    }
}

/// When the `post`-th POST is due, from the start.
fn nth(post: u64, per_second: f64) -> Duration {
    let per_post = Duration::try_from_secs_f64(1.0 / per_second).unwrap_or_default();
    let nanos = per_post.as_nanos().saturating_mul(u128::from(post));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

async fn work(shared: Arc<Shared>, target: Target) -> Tally {
    let mut tally = Tally::default();
    let mut request = Vec::new();
    let mut wire = None;
    while let Some((post, due)) = shared.take() {
        shared.write(post, &target, &mut request);
        if due > Instant::now() {
            sleep_until(due).await;
        }
        match exchange(&mut wire, &target, &request, shared.options.timeout).await {
            Ok(status) => tally.answered(status, due.elapsed()),
            Err(_) => {
                tally.unreachable();
                sleep(AFTER_FAILURE).await;
            }
        }
    }
    tally
}

async fn exchange(
    kept: &mut Option<Wire>,
    target: &Target,
    request: &[u8],
    limit: Duration,
) -> io::Result<u16> {
    let mut wire = match kept.take() {
        Some(wire) => wire,
        None => Wire::connect(target).await?,
    };
    let reply = wire.exchange(request, limit).await?;
    *kept = reply.reusable.then_some(wire);
    Ok(reply.status)
}

impl Default for FloodOptions {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            app_secret: crate::options::WebhookSettings::default().app_secret,
            numbers: Vec::new(),
            persons: 1_000,
            per_post: 1,
            text: "Hi, do you still have a table for four tonight?".to_owned(),
            load: Load::Closed { connections: 8 },
            until: Until::Posts(1_000),
            prepared: 0,
            timeout: Duration::from_secs(10),
        }
    }
}

impl FloodOptions {
    /// What signs the bodies.
    fn signer(&self) -> Signer {
        Signer::new(&self.app_secret)
    }
}
