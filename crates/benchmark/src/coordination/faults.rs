//! Holders that end badly, locks that are lost, a Redis that freezes.

use std::time::Duration;

use super::contest::{Contest, Entry, Turns};
use crate::figures::{Series, Target};
use crate::report::{Report, Row};

/// Short enough to wait for.
const TTL_MS: u32 = 2_000;
const CALLERS: u32 = 32;
const FROZEN: Duration = Duration::from_secs(2);

/// Cancel, panic, loss, freeze.
pub(crate) async fn run(contest: &mut Contest, report: &mut Report) -> anyhow::Result<()> {
    abandon(contest, report).await?;
    lose(contest, report).await?;
    freeze(contest, report).await
}

async fn abandon(contest: &mut Contest, report: &mut Report) -> anyhow::Result<()> {
    let often = if contest.rounds() == 1 { 5 } else { 50 };
    let ours = format!("--ttl-ms {TTL_MS} --rounds {often}");
    let theirs = format!("--ttl-ms {TTL_MS} --rounds 1");
    let cancelled = vec![
        Entry::new("ours", "**ours**", &ours),
        Entry::new("rslock", "rslock", &theirs),
        Entry::new("redis-py", "redis-py asyncio, `async with`", &theirs),
    ];
    let panicked =
        vec![Entry::new("ours", "**ours**", &ours), Entry::new("rslock", "rslock", &theirs)];
    for (part, what, entries) in [("cancel", "cancelled", cancelled), ("panic", "panics", panicked)]
    {
        let turns = contest.play(part, entries).await?;
        report.table(
            &format!("The holder is {what}, TTL {TTL_MS} ms: when the next one holds")
                .replace("is panics", "panics"),
            &["", "median, ms", "worst, ms", "target", ""],
        );
        for one in &turns {
            let worst = one.series("worst_ms");
            let target =
                if one.entry.driver == "ours" { Target::AtMost(10.0) } else { Target::None };
            let (target, verdict) = target.judge(&worst);
            let median = one.series("median_ms").to_string();
            report.cells(&[one.label(), median, worst.to_string(), target, verdict.to_owned()]);
        }
    }
    Ok(())
}

async fn lose(contest: &mut Contest, report: &mut Report) -> anyhow::Result<()> {
    let columns = ["", "told so", "work went on for, ms", "target", ""];
    let cases = [
        (format!("--ttl-ms {} --hold-ms 400", 2 * TTL_MS), "soon before the work ends", 4_000.0),
        (format!("--ttl-ms {TTL_MS} --hold-ms {}", 3 * TTL_MS), "in long work", 2_000.0),
    ];
    for (line, when, ttl) in cases {
        let all = [
            ("ours", "**ours**"),
            ("rslock", "rslock `using`"),
            ("node-redlock", "node redlock `using`"),
            ("redis-py", "redis-py asyncio"),
            ("laravel", "Laravel, by the answer of `release`"),
        ];
        let entries = all.map(|(driver, label)| Entry::new(driver, label, &line));
        let turns = contest.play("loss", entries.into()).await?;
        report.table(&format!("The lock becomes another's {when}"), &columns);
        for one in &turns {
            let after = one.series("after_ms");
            let is_ours = one.entry.driver == "ours";
            let (_, verdict) = Target::AtMost(ttl).judge(&after);
            let is_told = one.told("is_told") == format!("{0} of {0}", contest.rounds());
            let judged = match (is_ours, is_told) {
                (true, true) => ("always, within the TTL", verdict),
                (true, false) => ("always, within the TTL", "**missed**"),
                _ => ("", ""),
            };
            report.cells(&[
                one.label(),
                one.told("is_told"),
                after.to_string(),
                judged.0.to_owned(),
                judged.1.to_owned(),
            ]);
        }
    }
    Ok(())
}

async fn freeze(contest: &mut Contest, report: &mut Report) -> anyhow::Result<()> {
    let line = format!("--tasks {CALLERS} --seconds 4");
    let entries = [
        Entry::new("ours", "**ours**", &line),
        Entry::new("ours", "deadpool, 16 connections", &format!("{line} --way pooled")),
        Entry::new("rslock", "rslock", &line),
        Entry::new("node-redlock", "node redlock", &line),
        Entry::new("redis-py", "redis-py asyncio", &line),
    ];
    let mut all: Vec<Turns> = Vec::new();
    for entry in entries {
        all.push(contest.freeze_during("frozen", entry, FROZEN).await?);
    }
    report.table(
        &format!("Redis freezes for {FROZEN:?} under {CALLERS} callers"),
        &["", "slowest answer, ms", "refused", "refused at once: p50, ms", "p99, ms"],
    );
    for one in &all {
        let fields = ["slowest_ms", "refused", "refused_p50_ms", "refused_p99_ms"];
        let cells = fields.map(|field| one.series(field).to_string());
        report.cells(&[[one.label()].as_slice(), &cells].concat());
    }
    if let Some(ours) = all.first() {
        let row =
            |what: &str, series: Series, most| Row::new(what, series).wanted(Target::AtMost(most));
        report.section("A frozen Redis and ours");
        report.row(row("slowest answer, ms", ours.series("slowest_ms"), 150.0));
        report.row(row("p99 once it is known, ms", ours.series("refused_p99_ms"), 1.0));
    }
    Ok(())
}
