//! Limits: how many questions a second, and whether the answers are right.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use coordination::{Decision, Limit, LimitName, Limiter};
use kernel::ids::Id;
use kernel::{Clock, SystemClock, WaId};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use super::loops::{cpu_us, ms, number, quantile, sorted};
use super::ours::Ours;
use super::{Options, Way};

/// The warm-up, as a share of the measured time.
const WARM_UP: f64 = 0.1;

/// Everybody asks limits that never bind, each those of a connection of its own.
pub(crate) async fn rate(options: &Options, ours: &Ours) -> anyhow::Result<Value> {
    let warm = questions(options, ours, options.line.time().mul_f64(WARM_UP)).await?;
    let cpu = cpu_us();
    let begun = Instant::now();
    let asked = questions(options, ours, options.line.time()).await?;
    let elapsed = begun.elapsed().as_secs_f64();
    let count = number(asked.len());
    let cpu = cpu_us() - cpu;
    let all = warm.len() + asked.len();
    let asked = sorted(asked.into_iter());
    Ok(json!({
        "rate": count / elapsed,
        "all": all,
        "client_us": cpu / count,
        "acquire_p50_ms": quantile(&asked, 50),
        "acquire_p99_ms": quantile(&asked, 99),
    }))
}

async fn questions(
    options: &Options,
    ours: &Ours,
    time: Duration,
) -> anyhow::Result<Vec<Duration>> {
    let until = Instant::now() + time;
    let mut tasks = JoinSet::new();
    for task in 0..options.line.tasks {
        let limiter = ours.coordination.limiter().clone();
        let limits = limits(options, task);
        let at_once = if options.way == Way::OneByOne { 1 } else { limits.len().max(1) };
        tasks.spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < until {
                let begun = Instant::now();
                for limits in limits.chunks(at_once) {
                    admitted(&limiter, limits).await?;
                }
                times.push(begun.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let all: anyhow::Result<Vec<Vec<Duration>>> = tasks.join_all().await.into_iter().collect();
    Ok(all?.into_iter().flatten().collect())
}

async fn admitted(limiter: &Limiter, limits: &[Limit]) -> anyhow::Result<()> {
    let decision = limiter.check(limits, 1).await;
    ensure!(matches!(decision, Decision::Go(_)), "a limit binds that should not: {decision:?}");
    Ok(())
}

/// Those of a connection and a person of this task's own.
fn limits(options: &Options, task: u32) -> Vec<Limit> {
    let connection = Id::from_uuid(Uuid::from_u128(task.into()));
    let person = WaId::new(format!("4915{task:09}"));
    let names = [
        LimitName::Pair(connection, person),
        LimitName::WhatsAppApi(connection),
        LimitName::TemplateSync(connection),
    ];
    let per = Duration::from_millis(options.per_ms);
    let wide = names.into_iter().map(|name| Limit::of(name).at_most(options.limit).per(per));
    wide.take(options.limits).collect()
}

/// Asks one limit as fast as it can: from one moment on, or once, then again after `--hold-ms`.
pub(crate) async fn ask(options: &Options, ours: &Ours) -> anyhow::Result<Value> {
    let limiter = ours.coordination.limiter();
    let name = LimitName::Bot(Id::from_uuid(Uuid::nil()));
    let per = Duration::from_millis(options.per_ms);
    let limit = [Limit::of(name).at_most(options.limit).per(per)];
    let wait = options.at_ms - SystemClock.now().timestamp_millis();
    sleep(Duration::from_millis(u64::try_from(wait).unwrap_or(0))).await;
    let begun = Instant::now();
    let mut admitted = Vec::new();
    let mut ask = async || {
        if matches!(limiter.check(&limit, 1).await, Decision::Go(_)) {
            admitted.push(begun.elapsed());
        }
    };
    if !options.line.hold().is_zero() {
        ask().await;
        sleep(options.line.hold()).await;
    }
    let until = Instant::now().checked_add(options.line.time()).context("too long")?;
    while Instant::now() < until {
        ask().await;
    }
    let admitted: Vec<f64> = admitted.into_iter().map(ms).collect();
    Ok(json!({ "admitted_at_ms": admitted }))
}
