//! The `webhook-ingest` process.

use std::process::ExitCode;

use settings::Settings;

fn main() -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&[])?.settings;
    let _telemetry = service::observe("webhook-ingest", &settings.telemetry)?;
    Ok(service::run("webhook-ingest", async |life| {
        webhook_ingest::run_alone(&life, settings).await
    }))
}
