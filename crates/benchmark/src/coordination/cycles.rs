//! Locks that nobody else wants.

use super::contest::{Contest, Entry, Turns};
use crate::figures::{Series, Target};
use crate::report::{Report, Row};

/// As many PHP workers as a host of this size runs at most.
const PHP_WORKERS: u32 = 16;

/// Takes and gives back, with 1, 16, 64 and 256 tasks.
pub(crate) async fn run(contest: &mut Contest, report: &mut Report) -> anyhow::Result<()> {
    for tasks in [1, 16, 64, 256] {
        let turns = contest.play("cycle", entries(tasks, contest.seconds())).await?;
        report.table(
            &format!("Uncontended cycle, {tasks} tasks"),
            &[
                "",
                "cycles a second",
                "acquire p50 / p99, ms",
                "release p50 / p99, ms",
                "client µs",
                "Redis µs",
                "ours / it",
                "target",
                "",
            ],
        );
        let Some(ours) = turns.first() else { continue };
        for one in &turns {
            let pair = |what: &str| {
                let median = |quantile: &str| one.series(&format!("{what}_{quantile}_ms")).short();
                format!("{} / {}", median("p50"), median("p99"))
            };
            let cells = [
                one.label(),
                one.series("rate").to_string(),
                pair("acquire"),
                pair("release"),
                one.series("client_us").short(),
                one.series("server_us").short(),
            ];
            let is_ours = std::ptr::eq(one, ours);
            let ratio = if is_ours { Series::default() } else { ours.by(one, "rate") };
            let judged = if is_ours { Default::default() } else { one.judged(&ratio) };
            report.cells(&[cells.as_slice(), judged.as_slice()].concat());
        }
        if tasks == 64 {
            rest(report, ours, turns.get(1));
        }
    }
    Ok(())
}

/// What is wanted of ours alone at 64 tasks.
fn rest(report: &mut Report, ours: &Turns, fenced: Option<&Turns>) {
    report.section("At 64 tasks");
    let row = |what: &str, series: Series, target| Row::new(what, series).wanted(target);
    report.row(row("acquire p99, ms", ours.series("acquire_p99_ms"), Target::AtMost(5.0)));
    report.row(row("release p50, ms", ours.series("release_p50_ms"), Target::AtMost(1.0)));
    report.row(row("release p99, ms", ours.series("release_p99_ms"), Target::AtMost(1.0)));
    if let Some(fenced) = fenced {
        let ratio = fenced.by(ours, "rate");
        report.row(row("fenced / plain, round by round", ratio, Target::AtLeast(0.5)));
    }
}

fn entries(tasks: u32, seconds: f64) -> Vec<Entry> {
    let line = format!("--tasks {tasks} --seconds {seconds}");
    let (workers, few) = (tasks.min(PHP_WORKERS), tasks == 1);
    let at_64 = |least| if tasks == 64 { Target::AtLeast(least) } else { Target::None };
    vec![
        Entry::new("ours", "**ours**", &line),
        Entry::new("ours", "ours, fenced", &format!("{line} --fenced")),
        Entry::new("ours", "deadpool, 16 connections", &format!("{line} --way pooled"))
            .wanted(at_64(4.0)),
        Entry::new("rslock", "rslock", &line).wanted(Target::AtLeast(if few { 0.9 } else { 1.0 })),
        Entry::new("node-redlock", "node redlock", &line).wanted(at_64(3.0)),
        Entry::new("redis-py", "redis-py asyncio", &line).wanted(at_64(15.0)),
        Entry::new(
            "laravel",
            &format!("Laravel, {workers} processes"),
            &format!("--tasks {workers} --seconds {seconds}"),
        )
        .wanted(at_64(4.0)),
    ]
}
