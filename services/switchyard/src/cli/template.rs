//! What may be typed about templates.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::campaign::{Reach, every};

/// Templates, over the HTTP API.
#[derive(Debug, Args)]
pub(crate) struct Template {
    #[command(flatten)]
    pub(crate) reach: Reach,
    #[command(subcommand)]
    pub(crate) asked: Asked,
}

/// What is done with templates.
#[derive(Debug, Subcommand)]
pub(crate) enum Asked {
    /// List them
    Ls {
        /// Only those of this connection's account
        #[arg(long)]
        connection: Option<String>,
        /// Only those in this state, e.g. `APPROVED`; may be repeated
        #[arg(long)]
        status: Vec<String>,
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// How one stands, and what has to be given when it is sent
    Show {
        /// Id
        template: String,
    },
    /// Fetch a connection's templates from Meta
    Sync(Sync),
}

/// Which connection is synced, and whether it is followed.
#[derive(Debug, Args)]
pub(crate) struct Sync {
    /// Id of the connection; may be left out when there is one
    pub(crate) connection: Option<String>,
    /// Follow it to its end; one that is running already is followed, too. Ctrl-C leaves it running
    #[arg(long)]
    pub(crate) watch: bool,
    /// How often to look
    #[arg(long, default_value = "1s", value_parser = every)]
    pub(crate) every: Duration,
}
