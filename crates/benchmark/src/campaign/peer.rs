//! django-meta-whatsapp's campaign, sent to the same simulated Meta.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::driver::number;
use crate::installation::{Installation, PHONE};
use crate::{Options, say};

const NAME: &str = "django-meta-whatsapp";
/// It posts one message after the other.
const RECIPIENTS: usize = 100;

/// The peer, installed.
pub(super) struct Peer {
    program: PathBuf,
}

impl Peer {
    /// Installs it into the scratch folder; the error says why it cannot be measured.
    pub(super) async fn install(options: &Options) -> anyhow::Result<Self> {
        say(&format!("installing {NAME}"));
        std::fs::create_dir_all(&options.scratch)?;
        let scratch = options.scratch.canonicalize()?;
        let install = options.sources.join("install");
        let output = Command::new(&install).arg(&scratch).arg(NAME).output().await;
        let output = output.with_context(|| install.display().to_string())?;
        let reason = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}", reason.trim().lines().last().unwrap_or_default());
        Ok(Self { program: scratch.join(NAME).join("run") })
    }

    /// Messages per second of one campaign.
    pub(super) async fn run(&self, install: &Installation) -> anyhow::Result<f64> {
        let recipients = RECIPIENTS.to_string();
        let output = Command::new(&self.program)
            .args(["--graph", install.meta().base_url().as_str()])
            .args(["--phone-number-id", PHONE, "--recipients", &recipients])
            .output()
            .await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let ended: Value = serde_json::from_slice(&output.stdout)?;
        let sent = ended.get("sent").and_then(Value::as_u64).context("it sent nothing")?;
        let seconds = ended.get("seconds").and_then(Value::as_f64).context("it took no time")?;
        Ok(number(sent) / seconds)
    }
}
