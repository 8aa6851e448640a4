//! What may be typed about campaigns.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use url::Url;

/// Campaigns, over the HTTP API.
#[derive(Debug, Args)]
pub(crate) struct Campaign {
    #[command(flatten)]
    pub(crate) reach: Reach,
    #[command(subcommand)]
    pub(crate) asked: Asked,
}

/// Where the API is, and as whom it is called.
#[derive(Debug, Args)]
pub(crate) struct Reach {
    /// Where the API is served
    #[arg(long, global = true, env = "SWITCHYARD_URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) url: Url,
    /// A file that holds the API key, and nothing else
    #[arg(long, global = true, env = "SWITCHYARD_API_KEY_FILE")]
    pub(crate) api_key_file: Option<PathBuf>,
}

/// What is done with campaigns. A campaign is named by its id or by its exact name.
#[derive(Debug, Subcommand)]
pub(crate) enum Asked {
    /// List them, newest first
    Ls {
        /// Only those in this state, e.g. `running`; may be repeated
        #[arg(long)]
        status: Vec<String>,
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// How one stands, why it waits, and what may be done
    Show {
        /// Id or name
        campaign: String,
    },
    /// Follow one until it ends; Ctrl-C leaves it running
    Watch(Watch),
    /// Freeze its audience, then send
    Start(Act),
    /// Begin no more messages; what is in flight is finished
    Pause(Act),
    /// Go on after a pause
    Resume(Act),
    /// End it for good: who has no message yet gets none
    Cancel {
        #[command(flatten)]
        act: Act,
        /// Its name: it cannot be undone
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
    },
    /// Send again what failed and may go well another time
    RetryFailed(Act),
    /// Its recipients in the order of sending
    Recipients(Recipients),
}

/// Which campaign is acted upon.
#[derive(Debug, Args)]
pub(crate) struct Act {
    /// Id or name
    pub(crate) campaign: String,
    /// Say what would happen, and change nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

/// Which campaign is followed, and how.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Id or name
    pub(crate) campaign: String,
    /// How progress is shown; `auto` is a bar on a terminal and plain lines elsewhere
    #[arg(long, value_enum, default_value_t = Progress::Auto)]
    pub(crate) progress: Progress,
    /// How often to look
    #[arg(long, default_value = "1s", value_parser = every)]
    pub(crate) every: Duration,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// A bar on a terminal, plain lines elsewhere.
    Auto,
    /// A bar that is redrawn.
    Bar,
    /// A line now and then.
    Plain,
    /// Only how it ended.
    None,
}

/// Which recipients are listed.
#[derive(Debug, Args)]
pub(crate) struct Recipients {
    /// Id or name of the campaign
    pub(crate) campaign: String,
    /// Only those who are so, e.g. `uncertain`; may be repeated
    #[arg(long, alias = "state")]
    pub(crate) status: Vec<String>,
    /// Only those who failed with this code of Meta's; may be repeated
    #[arg(long)]
    pub(crate) error_code: Vec<i32>,
    /// How many
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: usize,
    /// All of them as CSV
    #[arg(long, conflicts_with = "limit")]
    pub(crate) csv: bool,
}

pub(super) fn every(text: &str) -> Result<Duration, &'static str> {
    let read = settings::duration(text).filter(|every| !every.is_zero());
    read.ok_or("a time is a number and a unit: 500ms, 1s, 5s")
}
