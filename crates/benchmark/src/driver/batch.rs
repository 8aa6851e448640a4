//! Many locks at once, and many locks kept.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use coordination::{Hold, Patience};
use futures_util::future::join_all;
use redis::{Script, pipe};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::loops::{Ended, Locker, ms, number, quantile, sorted};
use super::ours::Ours;
use super::{Options, Way};

const RELEASE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end";
const RENEW: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) else return 0 end";
/// How often Redis is asked what it has done.
const GLANCE: Duration = Duration::from_micros(250);

/// Takes and gives back `--tasks` locks, again and again.
pub(crate) async fn batch(options: &Options, ours: &Ours) -> anyhow::Result<Value> {
    let keys = 0..options.line.tasks;
    let once = async || match options.way {
        Way::OneByOne => {
            for key in keys.clone() {
                ensure!(ours.hold(key, async {}).await? == Ended::Ran, "a lock was taken");
            }
            Ok(())
        }
        Way::Joined => {
            let all = join_all(keys.clone().map(|key| ours.hold(key, async {}))).await;
            ensure!(all.iter().all(|one| matches!(one, Ok(Ended::Ran))), "a lock was taken");
            Ok(())
        }
        Way::Pipelined | Way::Pooled => pipelined(ours, options.line.tasks).await,
        Way::Ours => {
            let names = keys.clone().map(|key| ours.name(key));
            let guard = ours.locks().lock_many(names, Patience::None).await?;
            ensure!(guard.busy().is_empty(), "a lock was taken");
            ensure!(guard.release().await == Hold::Kept, "a lock was lost");
            Ok(())
        }
    };
    repeat(options, once).await
}

async fn repeat<F: Future<Output = anyhow::Result<()>>>(
    options: &Options,
    once: impl Fn() -> F,
) -> anyhow::Result<Value> {
    once().await?;
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < options.line.time() {
        let one = Instant::now();
        once().await?;
        times.push(one.elapsed());
    }
    let rate = number(times.len()) / begun.elapsed().as_secs_f64();
    let times = sorted(times.into_iter());
    Ok(json!({ "rate": rate, "p50_ms": quantile(&times, 50), "p99_ms": quantile(&times, 99) }))
}

async fn pipelined(ours: &Ours, count: u32) -> anyhow::Result<()> {
    let mut redis = ours.redis();
    let release = Script::new(RELEASE);
    let (mut take, mut give) = (pipe(), pipe());
    give.load_script(&release).ignore();
    for key in 0..count {
        let key = format!("plain:{key}");
        take.cmd("SET").arg(&key).arg("token").arg("NX").arg("PX").arg(30_000);
        give.invoke_script(release.key(&key).arg("token"));
    }
    let taken: Vec<bool> = take.query_async(&mut redis).await?;
    let given: Vec<bool> = give.query_async(&mut redis).await?;
    ensure!(taken.into_iter().chain(given).all(|done| done), "a lock was taken");
    Ok(())
}

/// What Redis has spent on scripts.
#[derive(Clone, Copy, Default, PartialEq)]
struct Scripts {
    calls: u64,
    us: u64,
}

/// Keeps `--tasks` locks until each was renewed once.
pub(crate) async fn renew(options: &Options, ours: &Ours) -> anyhow::Result<Value> {
    let count = options.line.tasks;
    if options.way == Way::OneByOne {
        return renew_one_by_one(ours, count).await;
    }
    let mut holders = JoinSet::new();
    let (held, mut all_held) = tokio::sync::mpsc::channel(1024);
    for key in 0..count {
        let (ours, held) = (ours.clone(), held.clone());
        holders.spawn(async move {
            let body = async {
                held.send(()).await.ok();
                std::future::pending::<()>().await;
            };
            ours.hold(key, body).await
        });
    }
    for _ in 0..count {
        all_held.recv().await.context("a holder has ended")?;
    }
    let watched = watch(ours, options.line.ttl() * 3 / 5).await?;
    ensure!(holders.try_join_next().is_none(), "a lock was lost");
    Ok(watched)
}

/// Adds up the moments in which Redis ran scripts, until `time` is over.
async fn watch(ours: &Ours, time: Duration) -> anyhow::Result<Value> {
    let begun = Instant::now();
    let first = scripts(ours).await?;
    let (mut last, mut glance, mut busy) = (first, Instant::now(), Duration::ZERO);
    while begun.elapsed() < time {
        sleep(GLANCE).await;
        let now = scripts(ours).await?;
        if now != last {
            busy += glance.elapsed();
        }
        (last, glance) = (now, Instant::now());
    }
    Ok(json!({
        "took_ms": ms(busy),
        "calls": last.calls - first.calls,
        "server_ms": ms(Duration::from_micros(last.us - first.us)),
    }))
}

async fn renew_one_by_one(ours: &Ours, count: u32) -> anyhow::Result<Value> {
    let mut redis = ours.redis();
    let mut take = pipe();
    let keys: Vec<String> = (0..count).map(|key| format!("plain:{key}")).collect();
    for key in &keys {
        take.cmd("SET").arg(key).arg("token").arg("PX").arg(30_000).ignore();
    }
    take.exec_async(&mut redis).await?;
    let renew = Script::new(RENEW);
    let first = scripts(ours).await?;
    let begun = Instant::now();
    for key in &keys {
        let renewed: bool =
            renew.key(key).arg("token").arg(30_000).invoke_async(&mut redis).await?;
        ensure!(renewed, "a lock was lost");
    }
    let took = begun.elapsed();
    let last = scripts(ours).await?;
    Ok(json!({
        "took_ms": ms(took),
        "calls": last.calls - first.calls,
        "server_ms": ms(Duration::from_micros(last.us - first.us)),
    }))
}

async fn scripts(ours: &Ours) -> anyhow::Result<Scripts> {
    let mut redis = ours.redis();
    let info: String = redis::cmd("INFO").arg("commandstats").query_async(&mut redis).await?;
    let mut sum = Scripts::default();
    for line in info.lines().filter(|line| line.starts_with("cmdstat_eval")) {
        let field = |name: &str| {
            let (_, rest) = line.split_once(name)?;
            rest.split(',').next()?.parse::<u64>().ok()
        };
        sum.calls += field("calls=").unwrap_or_default();
        sum.us += field("usec=").unwrap_or_default();
    }
    Ok(sum)
}
