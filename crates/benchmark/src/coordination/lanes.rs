//! One connection's budget: bulk beside people, and a provider whose limit changes.

use anyhow::Context;
use futures_util::future::join_all;
use serde_json::Value;

use super::contest::{Contest, Entry};
use crate::driver::quantile;
use crate::figures::{Series, Target};
use crate::report::{Report, Row};
use crate::say;

/// What the connection may send in a second.
const BUDGET: f64 = 80.0;
const PROCESSES: u32 = 4;
/// Together 64 bulk senders and 8 people a second.
const SHARE: &str = "--tasks 16 --rounds 2";

/// One way of sending.
#[derive(Default)]
struct Lanes {
    bulk: Series,
    used: Series,
    p50: Series,
    p99: Series,
    calls: Series,
}

/// Lanes, then the provider.
pub(crate) async fn run(contest: &mut Contest, report: &mut Report) -> anyhow::Result<()> {
    let ways = [
        ("**ours: lanes, paced**", "ours"),
        ("ours without lanes: each asks, and sleeps as told", "one-by-one"),
    ];
    let mut all = [Lanes::default(), Lanes::default()];
    for round in 1..=contest.rounds() {
        for ((label, way), lanes) in ways.into_iter().zip(&mut all) {
            let found = lanes.measure(contest, way).await;
            contest.noted(label, found);
            say(&format!("lanes {round}: {label}: p99 {} ms", lanes.p99));
        }
    }
    report.table(
        "64 bulk senders in 4 processes, 8 people a second, 80 messages a second allowed",
        &["", "bulk a second", "budget used", "people wait p50, ms", "p99, ms", "calls a message"],
    );
    for ((label, _), lanes) in ways.into_iter().zip(&all) {
        let series = [&lanes.bulk, &lanes.used, &lanes.p50, &lanes.p99, &lanes.calls];
        let cells = series.map(ToString::to_string);
        report.cells(&[[label.to_owned()].as_slice(), &cells].concat());
    }
    let [ours, _] = all;
    report.section("Lanes of ours");
    let row = |what: &str, series: Series, target| Row::new(what, series).wanted(target);
    report.row(row("people's wait p99, ms", ours.p99, Target::AtMost(10.0)));
    report.row(row("budget used", ours.used, Target::AtLeast(0.98)));
    report.row(row("Redis calls a message", ours.calls, Target::AtMost(0.5)));
    adaptive(contest, report).await
}

impl Lanes {
    async fn measure(&mut self, contest: &mut Contest, way: &str) -> anyhow::Result<()> {
        contest.flush().await?;
        let seconds = contest.seconds() * 6.0;
        let line = format!("{SHARE} --seconds {seconds} --way {way}");
        let before = contest.script_calls().await?;
        let all = (0..PROCESSES).map(|_| contest.start("ours", "lanes", &line));
        let all: Vec<_> = all.collect::<anyhow::Result<_>>()?;
        let all: Vec<Value> = join_all(all).await.into_iter().collect::<anyhow::Result<_>>()?;
        let calls = contest.script_calls().await? - before;
        let sum = |field: &str| all.iter().filter_map(|one| one.get(field)?.as_f64()).sum::<f64>();
        let (bulk, people) = (sum("bulk"), sum("people"));
        let waits = all.iter().filter_map(|one| one.get("waits_ms")?.as_array()).flatten();
        let mut waits: Vec<f64> = waits.filter_map(Value::as_f64).collect();
        waits.sort_by(f64::total_cmp);
        waits.first().context("nobody waited")?;
        self.bulk.push(bulk / seconds);
        self.used.push((bulk + people) / seconds / BUDGET);
        self.p50.push(quantile(&waits, 50));
        self.p99.push(quantile(&waits, 99));
        // The second before the measured time makes calls and sends as well.
        self.calls.push(calls / ((bulk + people) * (seconds + 1.0) / seconds));
        Ok(())
    }
}

async fn adaptive(contest: &mut Contest, report: &mut Report) -> anyhow::Result<()> {
    // A minute each, as the target means it, when a turn is 1.5 s.
    let seconds = contest.seconds() * 40.0;
    let line = |way: &str| format!("--tasks 64 --seconds {seconds} --way {way}");
    let entries = vec![
        Entry::new("ours", "**ours**", &line("ours")),
        Entry::new("ours", "always 80 a second", &line("one-by-one")),
    ];
    let turns = contest.play_once("adaptive", entries).await?;
    report.table(
        &format!("A provider that takes 80, 20, then 80 a second, {seconds} s each; once"),
        &["", "taken / what could be", "refused / sent"],
    );
    for one in &turns {
        let cells = ["goodput", "refused"].map(|field| one.series(field).to_string());
        report.cells(&[[one.label()].as_slice(), &cells].concat());
    }
    if let Some(ours) = turns.first() {
        report.section("Following a provider");
        let goodput = Row::new("taken / what could be", ours.series("goodput"));
        report.row(goodput.wanted(Target::AtLeast(0.93)));
        let refused = Row::new("refused / sent", ours.series("refused"));
        report.row(refused.wanted(Target::AtMost(0.005)));
    }
    Ok(())
}
