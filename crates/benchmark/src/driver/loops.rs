//! The same loops for every lock written in Rust; `peers/install` copies this file to the driver of rslock.
//!
//! Invariant: nothing here knows whose locks it measures.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::line::{Line, Part};

/// Pairs of a holder and a waiter that take turns at the same time.
const PAIRS: u32 = 8;
/// The warm-up, as a share of the measured time.
const WARM_UP: f64 = 0.1;
/// How long a freed lock may take to be had.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The body ran, and its lock was never lost, says the library.
    Ran,
    /// The lock could not be had; rslock fails instead.
    Refused,
    /// The holder was told that it lost the lock; rslock fails instead.
    Lost,
}

/// A library of locks.
pub(crate) trait Locker: Clone + Send + Sync + 'static {
    /// Waits for lock `key`, runs `body` while holding it, gives it back.
    fn hold(
        &self,
        key: u32,
        body: impl Future<Output = ()> + Send,
    ) -> impl Future<Output = anyhow::Result<Ended>> + Send;

    /// Makes every lock somebody else's, behind the holder's back.
    fn steal(&self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Runs the part that the line names.
pub(crate) async fn run(line: &Line, locker: &impl Locker) -> anyhow::Result<Value> {
    match line.part {
        Part::Cycle => cycle(line, locker).await,
        Part::Wakeup => wakeup(line, locker).await,
        Part::Contend => contend(line, locker).await,
        Part::Cancel | Part::Panic => abandon(line, locker).await,
        Part::Loss => loss(line, locker).await,
        Part::Frozen => frozen(line, locker).await,
        other => anyhow::bail!("{other:?} is not for this driver"),
    }
}

/// Times of one cycle.
#[derive(Clone, Copy)]
struct Cycle {
    acquire: Duration,
    release: Duration,
}

async fn cycle(line: &Line, locker: &impl Locker) -> anyhow::Result<Value> {
    let warm = cycles(line, locker, line.time().mul_f64(WARM_UP)).await?;
    let cpu = cpu_us();
    let begun = Instant::now();
    let cycles = cycles(line, locker, line.time()).await?;
    let elapsed = begun.elapsed().as_secs_f64();
    let cpu = cpu_us() - cpu;
    let acquire = sorted(cycles.iter().map(|cycle| cycle.acquire));
    let release = sorted(cycles.iter().map(|cycle| cycle.release));
    let count = number(cycles.len());
    Ok(json!({
        "rate": count / elapsed,
        "all": warm.len() + cycles.len(),
        "client_us": cpu / count,
        "acquire_p50_ms": quantile(&acquire, 50),
        "acquire_p99_ms": quantile(&acquire, 99),
        "release_p50_ms": quantile(&release, 50),
        "release_p99_ms": quantile(&release, 99),
    }))
}

async fn cycles(line: &Line, locker: &impl Locker, time: Duration) -> anyhow::Result<Vec<Cycle>> {
    let mut tasks = JoinSet::new();
    let until = Instant::now() + time;
    for key in 0..line.tasks {
        let locker = locker.clone();
        tasks.spawn(async move {
            let mut cycles = Vec::new();
            while Instant::now() < until {
                let asked = Instant::now();
                let mut had = asked;
                let ended = locker.hold(key, async { had = Instant::now() }).await?;
                ensure!(ended == Ended::Ran, "a lock that nobody else wants: {ended:?}");
                cycles.push(Cycle { acquire: had - asked, release: had.elapsed() });
            }
            Ok(cycles)
        });
    }
    let all: anyhow::Result<Vec<Vec<Cycle>>> = tasks.join_all().await.into_iter().collect();
    Ok(all?.into_iter().flatten().collect())
}

async fn wakeup(line: &Line, locker: &impl Locker) -> anyhow::Result<Value> {
    let mut pairs = JoinSet::new();
    for key in 0..PAIRS {
        let (locker, rounds) = (locker.clone(), line.rounds);
        pairs.spawn(async move {
            let mut latencies = Vec::new();
            for round in 0..rounds {
                // Spread over a poller's period, so that no phase is preferred.
                let hold = 50 + u64::from((round * PAIRS + key) * 97 % 250);
                latencies.push(turn(&locker, key, Duration::from_millis(hold)).await?);
            }
            Ok(latencies)
        });
    }
    let all: anyhow::Result<Vec<Vec<Duration>>> = pairs.join_all().await.into_iter().collect();
    let latencies = sorted(all?.into_iter().flatten());
    Ok(json!({
        "p50_ms": quantile(&latencies, 50),
        "p90_ms": quantile(&latencies, 90),
        "p99_ms": quantile(&latencies, 99),
    }))
}

/// From the moment a holder lets go to the moment its waiter owns.
async fn turn(locker: &impl Locker, key: u32, hold: Duration) -> anyhow::Result<Duration> {
    let (held, is_held) = oneshot::channel();
    let holder = async {
        let mut released = None;
        let body = async {
            held.send(()).ok();
            sleep(hold).await;
            released = Some(Instant::now());
        };
        let ended = locker.hold(key, body).await?;
        ensure!(ended == Ended::Ran, "the holder's lock: {ended:?}");
        released.context("the body did not end")
    };
    let waiter = async {
        is_held.await.context("the lock was not had")?;
        let mut owned = None;
        let ended = locker.hold(key, async { owned = Some(Instant::now()) }).await?;
        ensure!(ended == Ended::Ran, "the waiter's lock: {ended:?}");
        owned.context("the waiter did not get its turn")
    };
    let (released, owned) = tokio::try_join!(holder, waiter)?;
    Ok(owned.saturating_duration_since(released))
}

async fn contend(line: &Line, locker: &impl Locker) -> anyhow::Result<Value> {
    let mut tasks = JoinSet::new();
    let begun = Instant::now();
    let until = begun + line.time();
    for _ in 0..line.tasks {
        let (locker, hold) = (locker.clone(), line.hold());
        tasks.spawn(async move {
            let (mut turns, mut worst) = (0_u32, Duration::ZERO);
            while let Some(left) = until.checked_duration_since(Instant::now()) {
                let asked = Instant::now();
                let mut had = None;
                let body = async {
                    had = Some(Instant::now());
                    pause(hold).await;
                };
                // Who still waits in the end has waited so long, too.
                let ended = timeout(left, locker.hold(0, body)).await.ok().transpose()?;
                worst = worst.max(had.map_or_else(|| asked.elapsed(), |had| had - asked));
                turns += u32::from(ended == Some(Ended::Ran));
            }
            anyhow::Ok((turns, worst))
        });
    }
    let all: anyhow::Result<Vec<(u32, Duration)>> = tasks.join_all().await.into_iter().collect();
    let all = all?;
    let turns = || all.iter().map(|(turns, _)| *turns);
    Ok(json!({
        "rate": f64::from(turns().sum::<u32>()) / begun.elapsed().as_secs_f64(),
        "least": turns().min(),
        "most": turns().max(),
        "worst_wait_ms": all.iter().map(|(_, worst)| ms(*worst)).fold(0.0, f64::max),
    }))
}

/// Longer than a tick, or not at all.
async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

async fn abandon(line: &Line, locker: &impl Locker) -> anyhow::Result<Value> {
    let panics = line.part == Part::Panic;
    let mut free_after = Vec::new();
    for key in 0..line.rounds {
        let (held, is_held) = oneshot::channel();
        let (end, is_end) = oneshot::channel::<()>();
        let mut tasks = JoinSet::new();
        let theirs = locker.clone();
        tasks.spawn(async move {
            let body = async {
                held.send(()).ok();
                is_end.await.ok();
                // Its message would only be noise here.
                std::panic::resume_unwind(Box::new("as wanted"));
            };
            theirs.hold(key, body).await
        });
        is_held.await.context("the lock was not had")?;
        let left = Instant::now();
        if panics {
            end.send(()).ok();
        } else {
            tasks.abort_all();
        }
        let mut had = None;
        let next = locker.hold(key, async { had = Some(Instant::now()) });
        timeout(PATIENCE, next).await.context("the lock stays taken")??;
        free_after.push(had.context("the lock was refused")? - left);
    }
    let free_after = sorted(free_after.into_iter());
    Ok(json!({ "median_ms": quantile(&free_after, 50), "worst_ms": quantile(&free_after, 100) }))
}

async fn loss(line: &Line, locker: &impl Locker) -> anyhow::Result<Value> {
    let (held, is_held) = oneshot::channel();
    let holder = async {
        let body = async {
            held.send(()).ok();
            sleep(line.hold()).await;
        };
        let ended = locker.hold(0, body).await;
        (ended, Instant::now())
    };
    let thief = async {
        is_held.await.context("the lock was not had")?;
        sleep(line.ttl().min(line.hold()) / 4).await;
        locker.steal().await?;
        anyhow::Ok(Instant::now())
    };
    let ((ended, returned), stolen) = tokio::join!(holder, thief);
    let after = returned.saturating_duration_since(stolen?);
    let is_told = !matches!(ended, Ok(Ended::Ran));
    Ok(json!({ "is_told": is_told, "after_ms": ms(after) }))
}

/// One hold while Redis may be frozen.
struct Asked {
    begun: Instant,
    took: Duration,
    is_refused: bool,
}

async fn frozen(line: &Line, locker: &impl Locker) -> anyhow::Result<Value> {
    let mut tasks = JoinSet::new();
    let until = Instant::now() + line.time();
    for key in 0..line.tasks {
        let locker = locker.clone();
        tasks.spawn(async move {
            let mut all = Vec::new();
            while Instant::now() < until {
                let begun = Instant::now();
                let ended = locker.hold(key, async {}).await;
                let is_refused = !matches!(ended, Ok(Ended::Ran));
                all.push(Asked { begun, took: begun.elapsed(), is_refused });
                sleep(Duration::from_millis(1)).await;
            }
            all
        });
    }
    let all: Vec<Asked> = tasks.join_all().await.into_iter().flatten().collect();
    let refused = || all.iter().filter(|asked| asked.is_refused);
    let first = refused().map(|asked| asked.begun + asked.took).min();
    let later = refused().filter(|asked| first.is_some_and(|first| asked.begun > first));
    let later = sorted(later.map(|asked| asked.took));
    Ok(json!({
        "slowest_ms": all.iter().map(|asked| ms(asked.took)).fold(0.0, f64::max),
        "refused": refused().count(),
        "refused_p50_ms": later.first().map(|_| quantile(&later, 50)),
        "refused_p99_ms": later.first().map(|_| quantile(&later, 99)),
    }))
}

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Sorted milliseconds.
pub(crate) fn sorted(times: impl Iterator<Item = Duration>) -> Vec<f64> {
    let mut times: Vec<f64> = times.map(ms).collect();
    times.sort_by(f64::total_cmp);
    times
}

/// The smallest value that `percent` of the sorted values do not exceed; 0 if there are none.
pub(crate) fn quantile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or(0.0)
}

/// A count to reckon with; exact up to 2^32, far beyond what a run makes.
pub(crate) fn number(count: impl TryInto<u32>) -> f64 {
    f64::from(count.try_into().unwrap_or(u32::MAX))
}

/// CPU time of this process so far, in microseconds.
pub(crate) fn cpu_us() -> f64 {
    /// Linux counts in hundredths of a second on every architecture we run on.
    const US_PER_TICK: f64 = 10_000.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name may hold anything, blanks and brackets too.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
    let ticks = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() * US_PER_TICK
}
