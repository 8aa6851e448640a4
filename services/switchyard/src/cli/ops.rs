//! What may be typed about locks and limits.

use std::time::Duration;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Locks {
    /// The registry's locks, or those that are held
    Ls {
        /// Only those that somebody holds, with who
        #[arg(long)]
        held: bool,
        /// Only locks of this class, e.g. `campaign_send`
        #[arg(long)]
        class: Option<String>,
        /// Show phone numbers and message ids in full
        #[arg(long)]
        unmask: bool,
    },
    /// Who holds a lock, and what a release would do; exit code 4 when nobody does
    Show {
        /// The lock's name, masked or in full
        name: String,
        /// Show phone numbers and message ids in full
        #[arg(long)]
        unmask: bool,
    },
    /// Take a lock from its holder and give it to the next
    Release(TakeLock),
}

/// Which lock is taken away, and why.
#[derive(Debug, Args)]
pub(crate) struct TakeLock {
    /// The lock's name, masked or in full
    pub(crate) name: String,
    /// Why; it is kept in the audit log
    #[arg(long)]
    pub(crate) reason: String,
    /// Only from this owner: the token that `locks show` prints
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// The lock's name again, when its holder may be at work
    #[arg(long)]
    pub(crate) confirm: Option<String>,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

/// Who acts, and whether anything happens.
#[derive(Debug, Args)]
pub(crate) struct Acting {
    /// Say what would happen, and change nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Who you are, for the audit log
    #[arg(long, env = "USER", default_value = "somebody", hide_env_values = true)]
    pub(crate) by: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Limits {
    /// The registry's limits, or those that are used most
    Ls {
        /// Only those that are used now, the fullest first
        #[arg(long)]
        hot: bool,
        /// How many of each policy
        #[arg(long, default_value_t = 10, requires = "hot")]
        top: usize,
        /// Show phone numbers in full
        #[arg(long, requires = "hot")]
        unmask: bool,
    },
    /// What a limit is, what happens over it, and how much of one thing's is used
    Show {
        /// The limit's name, e.g. `whatsapp_api`
        policy: String,
        /// Whose: cnx_…, cnv_…, ctc_…, or cnx_…:15551234567
        key: Option<String>,
        /// Show phone numbers in full
        #[arg(long)]
        unmask: bool,
    },
    /// Change a limit for everybody or for one thing, while everything runs
    Set(SetLimit),
}

/// Which limit becomes what, and why.
#[derive(Debug, Args)]
pub(crate) struct SetLimit {
    /// The limit's name, e.g. `whatsapp_api`
    pub(crate) policy: String,
    /// E.g. 2000/min, 80/s or 5/30s; `default` ends an earlier change
    pub(crate) limit: String,
    /// Only this connection's
    #[arg(long, conflicts_with = "key")]
    pub(crate) connection: Option<String>,
    /// Only this thing's: cnx_…, cnv_…, ctc_…, or cnx_…:15551234567
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// It ends by itself after this long, e.g. 2h
    #[arg(long = "for", value_parser = duration)]
    pub(crate) lasts: Option<Duration>,
    /// Why; it is kept in the audit log
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    let read = settings::duration(text).filter(|lasts| !lasts.is_zero());
    read.ok_or("a time is a number and a unit: 30s, 15m, 2h, 7d")
}
