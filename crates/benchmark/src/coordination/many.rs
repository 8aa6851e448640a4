//! Many locks at once, and many locks kept.

use super::contest::{Contest, Entry, Turns};
use crate::figures::{Series, Target};
use crate::report::{Report, Row};

const BATCH: u32 = 64;
const KEPT: u32 = 10_000;
/// Renewed after a third of it.
const TTL_MS: u32 = 6_000;

/// Batches and renewals.
pub(crate) async fn run(contest: &mut Contest, report: &mut Report) -> anyhow::Result<()> {
    let line = |way: &str| format!("--tasks {BATCH} --seconds {} --way {way}", contest.seconds());
    let entries = vec![
        Entry::new("ours", "**ours, `lock_many`**", &line("ours")),
        Entry::new("ours", "ours, one by one", &line("one-by-one")).wanted(Target::AtLeast(12.0)),
        Entry::new("ours", "ours, all at once", &line("joined")),
        Entry::new("ours", "plain commands, pipelined", &line("pipelined"))
            .wanted(Target::AtLeast(1.5)),
    ];
    let turns = contest.play("batch", entries).await?;
    report.table(
        &format!("{BATCH} locks taken and given back, one task"),
        &["", "batches a second", "p50, ms", "p99, ms", "ours / it", "target", ""],
    );
    write(report, &turns, ["rate", "p50_ms", "p99_ms"], |ours, one| ours.by(one, "rate"));

    let line = |way: &str| format!("--tasks {KEPT} --ttl-ms {TTL_MS} --way {way}");
    let entries = vec![
        Entry::new("ours", "**ours**", &line("ours")),
        Entry::new("ours", "plain scripts, one by one", &line("one-by-one"))
            .wanted(Target::AtLeast(15.0)),
    ];
    let turns = contest.play("renew", entries).await?;
    report.table(
        &format!("{KEPT} renewals"),
        &["", "took, ms", "calls", "Redis, ms", "it / ours", "target", ""],
    );
    write(report, &turns, ["took_ms", "calls", "server_ms"], |ours, one| one.by(ours, "took_ms"));
    if let Some(ours) = turns.first() {
        report.section("Renewals of ours");
        let took = Row::new("10,000 took, ms", ours.series("took_ms"));
        report.row(took.wanted(Target::AtMost(50.0)));
    }
    Ok(())
}

fn write(
    report: &mut Report,
    turns: &[Turns],
    fields: [&str; 3],
    ratio: impl Fn(&Turns, &Turns) -> Series,
) {
    let Some(ours) = turns.first() else { return };
    for one in turns {
        let is_ours = std::ptr::eq(one, ours);
        let judged = if is_ours { Default::default() } else { one.judged(&ratio(ours, one)) };
        let cells = fields.map(|field| one.series(field).to_string());
        report.cells(&[[one.label()].as_slice(), &cells, &judged].concat());
    }
}
