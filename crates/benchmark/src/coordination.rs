//! Locks and limits beside the libraries that others use, in one run on one Redis.
//!
//! Invariants: every measured program is a process of its own with the same command line; all take
//! turns round by round, and a ratio is taken within its round. A peer that cannot be installed, or
//! fails, is a row that says so.

mod contest;
mod cycles;
mod faults;
mod lanes;
mod limits;
mod many;
mod server;
mod waiting;

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use tokio::runtime::Runtime;

use self::contest::Contest;
use self::server::Server;
use crate::report::Report;
use crate::{machine, print};

/// How locks and limits are measured.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Rounds in which all take their turn; three or more make a figure.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Length of one turn in seconds; where waiting is measured, four times as long.
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// One round of short turns: shows that everything works, gives no figures.
    #[arg(long)]
    quick: bool,
    /// Only these parts: cycles, waiting, many, limits, lanes, faults.
    #[arg(long, value_delimiter = ',', default_value = "cycles,waiting,many,limits,lanes,faults")]
    only: Vec<String>,
    /// Where the report goes, besides stdout.
    #[arg(long, default_value = "target/bench/coordination.md")]
    report: PathBuf,
    /// Where the peers are installed.
    #[arg(long, default_value = "target/bench/peers")]
    scratch: PathBuf,
    /// Where their sources are.
    #[arg(long, default_value = "crates/benchmark/peers")]
    sources: PathBuf,
}

/// Answers whether no limit of ours was exceeded.
pub(crate) fn run(mut options: Options) -> anyhow::Result<bool> {
    if options.quick {
        options = Options { rounds: 1, seconds: 0.3, ..options };
    }
    Runtime::new().context("starting")?.block_on(measure(&options))
}

async fn measure(options: &Options) -> anyhow::Result<bool> {
    let server = Server::start().await?;
    let mut contest = Contest::new(options, server).await?;
    let about = [vec![("Redis", contest.redis_version().await?)], contest.about()].concat();
    let mut report = Report::new(machine::describe(), about);
    let is_wanted = |part: &str| options.only.iter().any(|only| only == part);
    if is_wanted("cycles") {
        cycles::run(&mut contest, &mut report).await?;
    }
    if is_wanted("waiting") {
        waiting::run(&mut contest, &mut report).await?;
    }
    if is_wanted("many") {
        many::run(&mut contest, &mut report).await?;
    }
    if is_wanted("limits") {
        limits::run(&mut contest, &mut report).await?;
    }
    if is_wanted("lanes") {
        lanes::run(&mut contest, &mut report).await?;
    }
    if is_wanted("faults") {
        faults::run(&mut contest, &mut report).await?;
    }
    contest.failures().iter().for_each(|failure| report.note(failure));
    let how = format!(
        "{} rounds of {} s turns; medians, smallest and largest in brackets; every program on two \
         threads at most, PHP in as many processes as tasks",
        options.rounds, options.seconds
    );
    let text = report.text("Locks and limits beside their peers", "make bench-coordination", &how);
    if let Some(folder) = options.report.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&options.report, &text)?;
    print(&text);
    Ok(report.is_sound())
}
