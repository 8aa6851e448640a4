//! `demo`: the promise, shown in a terminal on private servers against a simulated Meta.
//!
//! Everything it makes - a database, queues, keys in Redis - is its own and is removed at the end.
//! What Meta received is counted on the simulator's side, not in our own tables.

mod campaign;
mod look;
mod once;
mod proof;
mod stage;
mod storm;

use std::time::Duration;

use anyhow::anyhow;
use secrecy::ExposeSecret;
use serde_json::json;
use service::Life;
use settings::{LogFormat, Settings};
use tokio::runtime::Runtime;

use self::proof::Proof;
use self::stage::Stage;
use crate::cli::{Demo, Talk};
use crate::command::told_to_stop;
use crate::exit::{Exit, Failure, OrFix};
use crate::screen::{Screen, Tone};

/// What is logged unless the command line says otherwise; the simulator's HTTP server would report each
/// connection that it was told to break.
const LOG: &str = "error,actix_http=off";
/// How long threads that block may hold up the end.
const BLOCKED: Duration = Duration::from_secs(1);

/// Tells the story; exit code 1 when a number is not as promised.
pub(crate) fn demo(screen: Screen, talk: Talk, options: Demo) -> Result<Exit, Failure> {
    let mut settings = Settings::load(&[])?.settings;
    require_servers(&settings)?;
    settings.telemetry.log_format = LogFormat::Pretty;
    talk.filter().unwrap_or(LOG).clone_into(&mut settings.telemetry.log);
    let _telemetry = service::observe("switchyard-demo", &settings.telemetry)
        .or_fix("correct telemetry.otlp_endpoint")?;
    let runtime = Runtime::new().or_fix("free memory or threads, then try again")?;
    let ended = runtime.block_on(perform(Teller { screen }, settings, options));
    runtime.shutdown_timeout(BLOCKED);
    ended
}

fn require_servers(settings: &Settings) -> Result<(), Failure> {
    let given = [&settings.database.url, &settings.redis.url, &settings.amqp.url];
    if given.iter().all(|url| url.is_some()) {
        return Ok(());
    }
    let missing = anyhow!("the demo needs PostgreSQL, Redis and RabbitMQ");
    let fix = "`make demo` starts private ones; or set SWITCHYARD__DATABASE__URL, \
               SWITCHYARD__REDIS__URL and SWITCHYARD__AMQP__URL";
    Err(Failure::new(missing, fix).with(Exit::Usage))
}

/// Tells the story: on stdout, or on stderr when stdout is for JSON.
#[derive(Clone, Copy)]
struct Teller {
    screen: Screen,
}

impl Teller {
    fn say(self, line: &str) {
        if self.screen.is_json { self.screen.talk(line) } else { self.screen.data(line) }
    }

    fn tint(self, tone: Tone, text: &str) -> String {
        if self.screen.is_json { text.to_owned() } else { self.screen.tint(tone, text) }
    }

    fn title(self, text: &str) {
        self.say("");
        self.say(&self.tint(Tone::Strong, text));
        self.say("");
    }
}

async fn perform(teller: Teller, settings: Settings, options: Demo) -> Result<Exit, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let head = teller.tint(Tone::Strong, &format!("Switchyard {version} demo"));
    teller.say(&format!("{head} - nothing leaves this machine."));
    teller.say("");
    let life = Life::default();
    let stage = tokio::select! {
        stage = Stage::set(teller, life.clone(), settings, options.port) => stage?,
        () = interrupted() => return Ok(Exit::Interrupted),
    };
    let ended = tokio::select! {
        ended = story(teller, &stage, options) => ended,
        () = interrupted() => Ok(Exit::Interrupted),
        () = life.stopping().cancelled_owned() => Err(Failure::new(
            anyhow!("a part of the process ended early"),
            "switchyard -v demo shows which; switchyard doctor looks at the servers",
        )),
    };
    let struck = stage.strike().await;
    teller.say("Stopped, and removed what was made.");
    let exit = ended?;
    struck?;
    Ok(exit)
}

/// Returns when the demo is to end before its story does.
async fn interrupted() {
    if told_to_stop().await.is_err() {
        // Without signals only the story's own end is left.
        std::future::pending::<()>().await;
    }
}

async fn story(teller: Teller, stage: &Stage, options: Demo) -> Result<Exit, Failure> {
    let once = once::tell(teller, stage).await?;
    let storm = storm::tell(teller, stage).await?;
    let campaign = campaign::tell(teller, stage).await?;
    if teller.screen.is_json {
        teller.screen.json(&json!({ "once": once, "storm": storm, "campaign": campaign }));
    }
    if let Some(wrong) = [&once, &storm, &campaign].into_iter().find_map(Proof::first_wrong) {
        let wrong =
            anyhow!("{}: expected {}, observed {}", wrong.name, wrong.expected, wrong.observed);
        return Err(Failure::new(wrong, "run it again with -v and report what it logs"));
    }
    if options.exit {
        return Ok(Exit::Done);
    }
    look_around(teller, stage);
    interrupted().await;
    Ok(Exit::Done)
}

fn look_around(teller: Teller, stage: &Stage) {
    let (api, simulator) = (stage.api(), stage.simulator.base_url());
    let key = stage.key.expose_secret();
    teller.title("It stays up: look around");
    for (what, command) in [
        ("a key", format!("export KEY={key}")),
        ("conversations", format!("curl -H \"Authorization: Bearer $KEY\" {api}/v1/conversations")),
        ("campaigns", format!("curl -H \"Authorization: Bearer $KEY\" {api}/v1/campaigns")),
        ("what happened", format!("curl -H \"Authorization: Bearer $KEY\" {api}/v1/events")),
        (
            "the bot's rules",
            format!("curl -H \"Authorization: Bearer $KEY\" {api}/v1/bots/{}/rules", stage.bot),
        ),
        ("write as Ada", format!("curl {simulator}_control/inbound -d '{}'", stage.ada("test"))),
        ("Meta's side", format!("curl '{simulator}_control/sent?recipient={}'", stage::ADA)),
        ("metrics", format!("curl {api}/metrics")),
        ("health", format!("curl {api}/readyz")),
    ] {
        teller.say(&format!("  {what:<16}  {command}"));
    }
    teller.say("");
    teller.say("Ctrl-C stops and removes everything.");
}
