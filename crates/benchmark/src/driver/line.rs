//! The command line that all drivers share; `peers/install` copies this file to the one of rslock.

use std::time::Duration;

use clap::{Parser, ValueEnum};

/// `DRIVER PART --name value …`; prints one line of JSON.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Line {
    pub(crate) part: Part,
    /// Where Redis is.
    #[arg(long)]
    pub(crate) redis: String,
    /// How many ask at the same time.
    #[arg(long, default_value_t = 1)]
    pub(crate) tasks: u32,
    /// How long is measured.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) seconds: f64,
    /// How long a holder works.
    #[arg(long, default_value_t = 0)]
    pub(crate) hold_ms: u64,
    /// What a lock lives without its holder.
    #[arg(long, default_value_t = 30_000)]
    pub(crate) ttl_ms: u64,
    /// How often something is done once.
    #[arg(long, default_value_t = 1)]
    pub(crate) rounds: u32,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Take and give back locks that nobody else wants.
    Cycle,
    /// From one's release to the waiter's owning.
    Wakeup,
    /// Everybody wants the same lock.
    Contend,
    /// A holder is cancelled: when can another hold?
    Cancel,
    /// A holder panics: when can another hold?
    Panic,
    /// The lock is lost to another: does the holder hear of it?
    Loss,
    /// Ask on while Redis freezes and comes back.
    Frozen,
    /// Take and give back many locks at once.
    Batch,
    /// Keep many locks.
    Renew,
    /// Ask limits that never bind.
    LimitRate,
    /// Ask one limit as fast as possible, or once, then again over its window's end.
    LimitAsk,
    /// Bulk and people share one connection's budget.
    Lanes,
    /// Follow a provider whose limit changes.
    Adaptive,
}

impl Line {
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub(crate) const fn hold(&self) -> Duration {
        Duration::from_millis(self.hold_ms)
    }

    pub(crate) const fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms)
    }
}
