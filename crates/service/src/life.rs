//! Starts a process, and stops it without dropping what it has in hand.
//!
//! First SIGTERM or SIGINT: [`Life::stopping`], take no new work, finish the rest. Second signal, or
//! the grace period over: the process leaves, and the broker redelivers what was unsettled.

use std::future::Future;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

/// How long a stopping process may finish its work; below Kubernetes' 30 s kill.
const GRACE: Duration = Duration::from_secs(25);
/// How long leaving waits for threads that block.
const BLOCKED: Duration = Duration::from_secs(1);

/// What a service needs to know about its own end. Clones are the same life.
#[derive(Clone, Debug, Default)]
pub struct Life {
    stop: CancellationToken,
    crash: CancellationToken,
    tasks: TaskTracker,
}

impl Life {
    /// Cancelled when the process should take no new work.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Asks the process to stop, as a signal does.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Shutdown waits for what is spawned here.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Spawns a part the process cannot live without.
    ///
    /// However it ends before [`Life::stopping`] - error, panic or return - the process stops too,
    /// with exit code 1.
    pub fn spawn_vital(
        &self,
        name: &'static str,
        part: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let life = self.clone();
        self.tasks.spawn(async move {
            // Both fire when this task ends by a panic, too.
            let _stop = life.stop.clone().drop_guard();
            let crash = life.crash.clone().drop_guard();
            match part.await {
                Ok(()) if life.stop.is_cancelled() => drop(crash.disarm()),
                Ok(()) => error!(part = name, "vital part ended early"),
                Err(error) => {
                    error!(part = name, error = format!("{error:#}"), "vital part failed");
                }
            }
        });
    }
}

/// Runs the process `name` from start to exit code. `start` connects, spawns the parts and returns.
pub fn run(name: &'static str, start: impl AsyncFnOnce(Life) -> anyhow::Result<()>) -> ExitCode {
    // Clients of any server panic without one; an error says that somebody has chosen already.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::trace!("a TLS provider is there already");
    }
    let life = Life::default();
    let lived = Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| {
        let lived = runtime.block_on(live(&life, start));
        runtime.shutdown_timeout(BLOCKED);
        lived
    });
    match lived {
        Ok(()) if !life.crash.is_cancelled() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            error!(process = name, error = format!("{error:#}"), "process failed to start");
            ExitCode::FAILURE
        }
    }
}

async fn live(
    life: &Life,
    start: impl AsyncFnOnce(Life) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut signals = Signals::install()?;
    tokio::select! {
        started = start(life.clone()) => started?,
        () = signals.next() => {
            info!("signal received while starting, leaving");
            return Ok(());
        }
    }
    tokio::select! {
        () = life.stop.cancelled() => warn!("stop was asked for or a vital part ended, stopping"),
        () = signals.next() => info!("signal received, stopping"),
    }
    life.stop.cancel();
    life.tasks.close();
    tokio::select! {
        () = life.tasks.wait() => info!("stopped with nothing in hand"),
        () = signals.next() => warn!("second signal, leaving work to redelivery"),
        () = sleep(GRACE) => warn!("grace period over, leaving work to redelivery"),
    }
    Ok(())
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }
}
