//! `make bench`: what the product does per second and per event, beside what the machine can do;
//! `make bench-coordination`: its locks and limits beside the libraries others use.
//!
//! Invariants: a figure is never given alone, it stands beside a raw limit or a peer measured
//! seconds before on the same servers; every run of the product is followed by a count, and only a
//! lost or doubled row, or a limit that was exceeded, fails the program, never a missed target.

mod broker;
mod campaign;
mod contacts;
mod coordination;
mod cpu;
mod database;
mod driver;
mod end_to_end;
mod figures;
mod ingest;
mod installation;
mod latency;
mod load;
mod lock_cost;
mod machine;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser};
use tokio::runtime::Runtime;

use self::end_to_end::Staff;
use self::installation::Installation;
use self::report::Report;

/// What is measured.
#[derive(Debug, Parser)]
enum Command {
    /// The release build of `switchyard` that lies beside this program.
    Product(Options),
    /// Locks and limits beside their peers.
    Coordination(coordination::Options),
    /// One measured process of it, for `coordination` to run.
    Driver(driver::Options),
}

/// How the product is measured.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Pairs of a raw run and one of ours, in turn; five or more make a figure.
    #[arg(long, default_value_t = 5)]
    pairs: u32,
    /// Length of a run of ours in seconds; a raw one takes half of it.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Length of a latency run in seconds.
    #[arg(long, default_value_t = 15)]
    quiet_seconds: u64,
    /// One pair of short runs: shows that everything works, gives no figures.
    #[arg(long)]
    quick: bool,
    /// Decides what the simulated Meta draws.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these parts: ingest, committed, locks, everything, latency, campaign, contacts.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "ingest,committed,locks,everything,latency,campaign,contacts"
    )]
    only: Vec<String>,
    /// Contacts that are searched.
    #[arg(long, default_value_t = 5_000_000)]
    people: u64,
    /// Searches of each kind.
    #[arg(long, default_value_t = 300)]
    searches: u64,
    /// Where the report goes, besides stdout.
    #[arg(long, default_value = "target/bench/report.md")]
    report: PathBuf,
    /// Where a peer is installed.
    #[arg(long, default_value = "target/bench/peers")]
    scratch: PathBuf,
    /// Where its source is.
    #[arg(long, default_value = "crates/benchmark/peers")]
    sources: PathBuf,
    /// PostgreSQL, with the right to create databases.
    #[arg(long, env = "SWITCHYARD__DATABASE__URL", hide_env_values = true)]
    database_url: String,
    /// Redis.
    #[arg(long, env = "SWITCHYARD__REDIS__URL", hide_env_values = true)]
    redis_url: String,
    /// RabbitMQ.
    #[arg(long, env = "SWITCHYARD__AMQP__URL", hide_env_values = true)]
    amqp_url: String,
}

impl Options {
    fn run(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    fn raw_run(&self) -> Duration {
        self.run() / 2
    }

    fn quiet_run(&self) -> Duration {
        Duration::from_secs(self.quiet_seconds)
    }
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Product(options) => product(options),
        Command::Coordination(options) => coordination::run(options),
        Command::Driver(options) => driver::run(&options).map(|found| {
            print(&found.to_string());
            true
        }),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn product(mut options: Options) -> anyhow::Result<bool> {
    if options.quick {
        let (people, searches) = (200_000, 50);
        options = Options { pairs: 1, seconds: 2, quiet_seconds: 3, people, searches, ..options };
    }
    Runtime::new().context("starting")?.block_on(run(&options))
}

/// Answers whether nothing was lost or doubled.
async fn run(options: &Options) -> anyhow::Result<bool> {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        say("TLS was set up before");
    }
    let machine = machine::describe();
    let mut install = Installation::new(options).await?;
    let mut report = Report::new(machine, install.servers(options).await?);
    let measured = measure(options, &mut install, &mut report).await;
    let removed = install.remove().await;
    measured.and(removed)?;
    let how = format!(
        "{} pairs, raw {:?} and ours {:?} in turn; latency {:?}; seed {}",
        options.pairs,
        options.raw_run(),
        options.run(),
        options.quiet_run(),
        options.seed
    );
    let text = report.text("Benchmark", "make bench", &how);
    std::fs::write(&options.report, &text)?;
    print(&text);
    Ok(report.is_sound())
}

async fn measure(
    options: &Options,
    install: &mut Installation,
    report: &mut Report,
) -> anyhow::Result<()> {
    let is_wanted = |part: &str| options.only.iter().any(|only| only == part);
    let shapes = ingest::run(options, install, report, is_wanted("ingest")).await?;
    if is_wanted("committed") {
        end_to_end::run(options, install, report, &shapes, Staff::WithoutChatbot).await?;
    }
    if is_wanted("locks") {
        lock_cost::run(options, install, report).await?;
    }
    if is_wanted("everything") {
        end_to_end::run(options, install, report, &shapes, Staff::Everybody).await?;
    }
    if is_wanted("latency") {
        latency::run(options, install, report).await?;
    }
    if is_wanted("campaign") {
        campaign::run(options, install, report).await?;
    }
    if is_wanted("contacts") {
        contacts::run(options, install, report).await?;
    }
    report.count(install.db().doubled().await?, "messages stored twice");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the report is what this program is for")]
fn print(text: &str) {
    println!("{text}");
}

/// Tells how far it is.
#[expect(clippy::print_stderr, reason = "a run takes minutes, and stdout is the report's")]
pub(crate) fn say(what: &str) {
    eprintln!("[bench] {what}");
}
