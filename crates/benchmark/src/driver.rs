//! One measured process of ours, or of a plain way to do the same; the peers' drivers have the same command line.

mod batch;
mod lanes;
mod limits;
mod line;
mod loops;
mod ours;
mod pooled;

pub(crate) use self::loops::{number, quantile};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use redis::aio::MultiplexedConnection;
use serde_json::Value;
use tokio::runtime::Builder;

use self::line::{Line, Part};
use self::ours::Ours;
use self::pooled::Pooled;

/// The shared line, and what only we have.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Options {
    #[command(flatten)]
    line: Line,
    /// How the same thing is done.
    #[arg(long, value_enum, default_value_t = Way::Ours)]
    way: Way,
    /// With a lock class that has a fence.
    #[arg(long)]
    fenced: bool,
    /// How many limits one question asks.
    #[arg(long, default_value_t = 1)]
    limits: usize,
    /// The one limit that is asked.
    #[arg(long, default_value_t = 5)]
    limit: u32,
    /// Its window.
    #[arg(long, default_value_t = 60_000)]
    per_ms: u64,
    /// When everybody begins, in milliseconds since 1970.
    #[arg(long, default_value_t = 0)]
    at_ms: i64,
}

/// How a thing is done; ours beside plainer ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    /// As the product does it.
    Ours,
    /// A connection of deadpool for each command.
    Pooled,
    /// Ours, one call after the other.
    OneByOne,
    /// Ours, all calls at once.
    Joined,
    /// The plain commands in a pipeline.
    Pipelined,
}

/// Runs the part and answers with what is to be printed.
pub(crate) fn run(options: &Options) -> anyhow::Result<Value> {
    // As many workers as rslock's driver has.
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(part(options))
}

async fn part(options: &Options) -> anyhow::Result<Value> {
    let line = &options.line;
    if options.way == Way::Pooled {
        return loops::run(line, &Pooled::new(line)?).await;
    }
    let redis = connection(&line.redis).await?;
    let ours = Ours::connect(options, redis).await?;
    match line.part {
        Part::Batch => batch::batch(options, &ours).await,
        Part::Renew => batch::renew(options, &ours).await,
        Part::LimitRate => limits::rate(options, &ours).await,
        Part::LimitAsk => limits::ask(options, &ours).await,
        Part::Lanes => lanes::lanes(options, &ours).await,
        Part::Adaptive => lanes::adaptive(options, &ours).await,
        _ => loops::run(line, &ours).await,
    }
}

/// A connection beside the measured ones.
async fn connection(url: &str) -> anyhow::Result<MultiplexedConnection> {
    let client = redis::Client::open(url)?;
    client.get_multiplexed_async_connection().await.context("Redis does not answer")
}
