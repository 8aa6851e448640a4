//! Limits: questions a second, and whether the limit holds.

use anyhow::Context;
use futures_util::future::join_all;
use kernel::{Clock, SystemClock};
use serde_json::Value;

use super::contest::{Contest, Entry};
use crate::figures::{Series, Target};
use crate::report::Report;
use crate::say;

/// Paced limits that no task alone comes near, and an exact one.
const WIDE: &str = "--limit 6000000 --per-ms 60000";
const EXACT: &str = "--limit 1000 --per-ms 20";
/// Processes that ask at the same moment.
const PROCESSES: usize = 16;
const FEW: usize = 5;
/// How long sixteen processes need to be ready.
const READY_MS: i64 = 1_500;
/// Asked twice around the end of a fixed window.
const BURST: usize = 100;
const WINDOW_MS: f64 = 3_000.0;
/// What the clocks of two askers differ by.
const SKEW: &str = "+61s";
/// The clock here is the asker's, and answers take a moment.
const SLACK: f64 = 0.99;

/// Who has limits, and the argument that chooses one.
const SUBJECTS: [(&str, &str, &str); 3] = [
    ("ours", "**ours**", ""),
    ("laravel", "Laravel RateLimiter", "--way rate-limiter"),
    ("laravel", "Laravel Redis::throttle", "--way throttle"),
];

/// Rate and exactness.
pub(crate) async fn run(contest: &mut Contest, report: &mut Report) -> anyhow::Result<()> {
    for tasks in [1, 16, 64] {
        rate(contest, report, tasks).await?;
    }
    exactness(contest, report).await
}

async fn rate(contest: &mut Contest, report: &mut Report, tasks: u32) -> anyhow::Result<()> {
    let turn = format!("--tasks {tasks} --seconds {}", contest.seconds());
    let line = format!("{turn} {WIDE}");
    let three = format!("{line} --limits 3");
    let mut entries = vec![
        Entry::new("ours", "**ours, 1 limit, paced**", &line).wanted(Target::AtLeast(0.75)),
        Entry::new("ours", "ours, 3 limits in one question", &three),
        Entry::new("ours", "ours, 3 limits in 3 questions", &format!("{three} --way one-by-one"))
            .wanted(Target::AtLeast(2.2)),
        Entry::new("ours", "ours, 1 limit, exact", &format!("{turn} {EXACT}")),
    ];
    if tasks == 1 {
        let laravel = SUBJECTS.iter().filter(|(driver, ..)| *driver == "laravel");
        entries.extend(
            laravel.map(|(driver, label, way)| Entry::new(driver, label, &format!("{turn} {way}"))),
        );
    }
    let turns = contest.play("limit-rate", entries).await?;
    report.table(
        &format!("Limits that do not bind, {tasks} tasks"),
        &[
            "",
            "questions a second",
            "p50, ms",
            "p99, ms",
            "client µs",
            "Redis µs",
            "3 limits in one / it",
            "target",
            "",
        ],
    );
    let Some(three) = turns.get(1) else { return Ok(()) };
    for one in &turns {
        let is_three = std::ptr::eq(one, three);
        let judged = if is_three { Default::default() } else { one.judged(&three.by(one, "rate")) };
        let cells = [
            one.series("rate").to_string(),
            one.series("acquire_p50_ms").short(),
            one.series("acquire_p99_ms").short(),
            one.series("client_us").short(),
            one.series("server_us").short(),
        ];
        report.cells(&[[one.label()].as_slice(), &cells, &judged].concat());
    }
    Ok(())
}

/// What may be admitted, and what was, in three ways of asking.
async fn exactness(contest: &mut Contest, report: &mut Report) -> anyhow::Result<()> {
    report.table(
        "Exactness: the most that was admitted in one window",
        &[
            "",
            "16 processes at once, limit 5",
            "both sides of a window's end, limit 100",
            "two clocks 61 s apart, limit 100",
            "target",
            "",
        ],
    );
    for (driver, label, way) in SUBJECTS {
        let [mut crowd, mut burst, mut skew] = [const { Series::empty() }; 3];
        for round in 1..=contest.rounds() {
            let found = [
                at_once(contest, driver, way).await,
                around_an_end(contest, driver, way).await,
                skewed(contest, driver, way).await,
            ];
            let limits = [FEW, BURST, BURST];
            let series = [&mut crowd, &mut burst, &mut skew];
            for ((found, limit), series) in found.into_iter().zip(limits).zip(series) {
                let Some(found) = contest.noted(label, found) else { continue };
                series.push(crate::driver::number(found));
                if driver == "ours" {
                    let excess = u64::try_from(found.saturating_sub(limit))?;
                    report.count(excess, "admissions beyond a limit of ours");
                }
            }
            say(&format!("exactness {round}: {label} {crowd}, {burst}, {skew}"));
        }
        let is_exact = [(&crowd, FEW), (&burst, BURST), (&skew, BURST)]
            .map(|(series, limit)| series.is_all(crate::driver::number(limit)));
        let verdict = match (driver, is_exact) {
            ("ours", [true, true, true]) => "ok",
            ("ours", _) => "**missed**",
            _ => "",
        };
        report.cells(&[
            label,
            &crowd.to_string(),
            &burst.to_string(),
            &skew.to_string(),
            "5, 100, 100",
            verdict,
        ]);
    }
    Ok(())
}

async fn at_once(contest: &mut Contest, driver: &str, way: &str) -> anyhow::Result<usize> {
    contest.flush().await?;
    let at = SystemClock.now().timestamp_millis() + READY_MS;
    let line = format!("--limit {FEW} --per-ms 60000 --at-ms {at} --seconds 0.3 {way}");
    let all: Vec<_> = (0..PROCESSES)
        .map(|_| contest.start(driver, "limit-ask", &line))
        .collect::<anyhow::Result<_>>()?;
    let all: Vec<Value> = join_all(all).await.into_iter().collect::<anyhow::Result<_>>()?;
    let admitted: anyhow::Result<Vec<Vec<f64>>> = all.iter().map(admitted).collect();
    Ok(admitted?.iter().map(Vec::len).sum())
}

async fn around_an_end(contest: &mut Contest, driver: &str, way: &str) -> anyhow::Result<usize> {
    contest.flush().await?;
    let line = format!("--limit {BURST} --per-ms {WINDOW_MS} --hold-ms 1900 --seconds 1.5 {way}");
    let found = contest.start(driver, "limit-ask", &line)?.await?;
    let times = admitted(&found)?;
    let within = |from: f64| {
        let inside = times.iter().filter(|time| (from..from + WINDOW_MS * SLACK).contains(*time));
        inside.count()
    };
    Ok(times.iter().map(|from| within(*from)).max().unwrap_or(0))
}

async fn skewed(contest: &mut Contest, driver: &str, way: &str) -> anyhow::Result<usize> {
    contest.flush().await?;
    let line = format!("--limit {BURST} --per-ms 60000 --seconds 1 {way}");
    let right = contest.start(driver, "limit-ask", &line)?;
    let ahead = contest.start_under(&["faketime", "-f", SKEW], driver, "limit-ask", &line)?;
    let (right, ahead) = tokio::join!(right, ahead);
    Ok(admitted(&right?)?.len() + admitted(&ahead?)?.len())
}

fn admitted(found: &Value) -> anyhow::Result<Vec<f64>> {
    let times = found.get("admitted_at_ms").and_then(Value::as_array);
    let times = times.context("no moments of admission")?;
    Ok(times.iter().filter_map(Value::as_f64).collect())
}
