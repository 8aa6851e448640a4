//! `simulator`: the fake Meta as a process of its own.

use std::net::SocketAddr;

use graph_simulator::{Simulator, SimulatorOptions, WebhookSettings};
use secrecy::ExposeSecret;
use serde_json::json;
use settings::Settings;
use url::Url;

use crate::command::told_to_stop;
use crate::exit::{Exit, Failure, OrFix};
use crate::screen::Screen;

/// Runs a fake Meta until a signal comes. Webhooks are signed with `meta.app_secret`, if it is set.
pub(crate) async fn simulator(
    screen: Screen,
    listen: SocketAddr,
    targets: Vec<Url>,
    seed: Option<u64>,
) -> Result<Exit, Failure> {
    let meta = Settings::load(&[])?.settings.meta;
    let mut webhook = WebhookSettings { targets, ..WebhookSettings::default() };
    match meta.app_secrets().first() {
        Some(secret) => webhook.app_secret = secret.expose_secret().to_owned(),
        None => screen.talk(&format!(
            "meta.app_secret is not set: webhooks are signed with `{}`",
            webhook.app_secret
        )),
    }
    let options = SimulatorOptions { listen, webhook, seed, ..SimulatorOptions::default() };
    let started = Simulator::start(options).await;
    let simulator = started.or_fix("give a free --listen address and an http --webhook-url")?;
    let (base, control) = (simulator.base_url(), simulator.control_url());
    if screen.is_json {
        let seed = simulator.seed();
        screen.json(&json!({ "base_url": base, "control_url": control, "seed": seed }));
    } else {
        screen.data(base.as_str());
        screen.talk(&format!("A fake Meta serves here (seed {}).", simulator.seed()));
        screen.talk(&format!("  Use it:      SWITCHYARD__META__BASE_URL={base}"));
        screen.talk(&format!("  Control it:  curl {control}stats"));
        screen.talk("Ctrl-C stops it.");
    }
    told_to_stop().await.or_fix("run it where signals can be received")?;
    simulator.stop().await;
    Ok(Exit::Done)
}
