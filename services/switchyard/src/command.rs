//! One module per command.

pub(crate) mod campaign;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod locks;
pub(crate) mod migrate;
mod ops;
pub(crate) mod run;
pub(crate) mod simulator;
pub(crate) mod template;
pub(crate) mod transfer;

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Returns at the first Ctrl-C or SIGTERM.
///
/// # Errors
///
/// When signals cannot be received.
async fn told_to_stop() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt,
        _ = terminate.recv() => Ok(()),
    }
}
