//! Locks that somebody else holds.

use super::contest::{Contest, Entry};
use crate::figures::{Series, Target};
use crate::report::{Report, Row};

const WAITERS: u32 = 64;
const HOLD_MS: u32 = 2;
const PHP_WORKERS: u32 = 16;
/// A starving waiter needs time to show.
const LONGER: f64 = 4.0;

/// Wake-up and contention.
pub(crate) async fn run(contest: &mut Contest, report: &mut Report) -> anyhow::Result<()> {
    wakeup(contest, report).await?;
    contend(contest, report).await
}

async fn wakeup(contest: &mut Contest, report: &mut Report) -> anyhow::Result<()> {
    let line = if contest.rounds() == 1 { "--rounds 2" } else { "--rounds 8" };
    let entries = vec![
        Entry::new("ours", "**ours**", line),
        Entry::new("rslock", "rslock", line).wanted(Target::AtMost(0.01)),
        Entry::new("node-redlock", "node redlock", line).wanted(Target::AtMost(0.01)),
        Entry::new("redis-py", "redis-py asyncio", line).wanted(Target::AtMost(0.01)),
        Entry::new("laravel", "Laravel", line).wanted(Target::AtMost(0.01)),
    ];
    let turns = contest.play("wakeup", entries).await?;
    report.table(
        "Wake-up: from a release to the waiter's owning, ms",
        &["", "p50", "p90", "p99", "ours / it, p50", "target", ""],
    );
    let Some(ours) = turns.first() else { return Ok(()) };
    for one in &turns {
        let ratio = ours.by(one, "p50_ms");
        let cells = [one.label()];
        let quantiles = ["p50_ms", "p90_ms", "p99_ms"].map(|field| one.series(field).to_string());
        let judged = if std::ptr::eq(one, ours) { Default::default() } else { one.judged(&ratio) };
        report.cells(&[cells.as_slice(), &quantiles, &judged].concat());
    }
    report.section("Wake-up of ours");
    report.row(Row::new("p50, ms", ours.series("p50_ms")).wanted(Target::AtMost(0.5)));
    report.row(Row::new("p99, ms", ours.series("p99_ms")).wanted(Target::AtMost(5.0)));
    Ok(())
}

async fn contend(contest: &mut Contest, report: &mut Report) -> anyhow::Result<()> {
    let seconds = contest.seconds() * LONGER;
    let line = |tasks: u32| format!("--tasks {tasks} --seconds {seconds} --hold-ms {HOLD_MS}");
    let entries = vec![
        Entry::new("ours", "**ours**", &line(WAITERS)),
        Entry::new("rslock", "rslock", &line(WAITERS)).wanted(Target::AtMost(0.1)),
        Entry::new("node-redlock", "node redlock", &line(WAITERS)),
        Entry::new("redis-py", "redis-py asyncio", &line(WAITERS)),
        Entry::new("laravel", "Laravel, 16 processes", &line(PHP_WORKERS)),
    ];
    let turns = contest.play("contend", entries).await?;
    report.table(
        &format!("{WAITERS} waiters on one key, held {HOLD_MS} ms, for {seconds} s"),
        &[
            "",
            "cycles a second",
            "turns of the least lucky",
            "of the luckiest",
            "worst wait, ms",
            "ours / it, worst wait",
            "target",
            "",
        ],
    );
    let Some(ours) = turns.first() else { return Ok(()) };
    for one in &turns {
        let ratio = ours.by(one, "worst_wait_ms");
        let judged = if std::ptr::eq(one, ours) { Default::default() } else { one.judged(&ratio) };
        let fields = ["rate", "least", "most", "worst_wait_ms"];
        let cells = fields.map(|field| one.series(field).to_string());
        report.cells(&[[one.label()].as_slice(), &cells, &judged].concat());
    }
    report.note(
        "A waiter that never had its turn has waited as long as the run; so a worst wait near the \
         length of the run means: at least that.",
    );
    report.section("Fairness of ours");
    let most = ours.over("most", |value| value("least"));
    report.row(Row::new("turns, luckiest / least lucky", most).wanted(Target::AtMost(1.1)));
    let turn: Series =
        ours.over("worst_wait_ms", |value| Some(f64::from(WAITERS) * 1e3 / value("rate")?));
    report.row(Row::new("worst wait / one turn of everybody", turn).wanted(Target::AtMost(2.0)));
    Ok(())
}
