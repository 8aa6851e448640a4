//! `run`: services until a signal comes.

use service::Life;
use settings::Settings;

use crate::cli::{Talk, Which};
use crate::exit::{Exit, Failure};
use crate::parts::Parts;
use crate::services;

/// Runs `which` services. The first signal lets them finish what they have in hand, a second one ends
/// the process at once.
pub(crate) fn run(which: Which, talk: Talk) -> Result<Exit, Failure> {
    let mut settings = Settings::load(&[])?.settings;
    if let Some(filter) = talk.filter() {
        filter.clone_into(&mut settings.telemetry.log);
    }
    let name = which.service();
    let _telemetry = service::observe(name, &settings.telemetry).map_err(|error| {
        Failure::new(error, "correct telemetry.log or telemetry.otlp_endpoint").with(Exit::Usage)
    })?;
    let mut failure = None;
    let ended = service::run(name, async |life| match start(&life, settings, which).await {
        Ok(()) => Ok(()),
        Err(failed) => {
            let reported = anyhow::anyhow!("{failed}");
            failure = Some(failed);
            Err(reported)
        }
    });
    match failure {
        Some(failure) => Err(failure),
        None if ended == std::process::ExitCode::SUCCESS => Ok(Exit::Done),
        None => {
            let ended = anyhow::anyhow!("a vital part ended; the log above says which and why");
            Err(Failure::new(ended, "switchyard doctor"))
        }
    }
}

async fn start(life: &Life, settings: Settings, which: Which) -> Result<(), Failure> {
    let parts = Parts::build(life, settings).await?;
    services::start(life, parts, which).await.map(|_address| ())
}
