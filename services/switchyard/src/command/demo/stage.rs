//! The stage: a database, queues and a Meta of the demo's own, with every service on it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use diesel::QueryableByName;
use diesel::sql_types::Bool;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use graph_simulator::{Number, Simulator, SimulatorOptions, WebhookSettings};
use messaging::{Broker, BrokerOptions};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use service::{Life, Role};
use settings::{ServerUrl, Settings};
use storage::{AsyncPgConnection, Database, DatabaseOptions, Pooled, migrations};
use url::Url;

use super::Teller;
use crate::cli::Which;
use crate::command::keys;
use crate::exit::{BROKER_AWAY, DATABASE_AWAY, Exit, Failure, OrFix};
use crate::parts::{self, Parts};
use crate::screen::Tone;
use crate::services;

/// The business number of the demo.
pub(super) const NUMBER: &str = "290184457761305";
/// The customer of the first chapter.
pub(super) const ADA: &str = "4915755512345";

const DATABASE: &str = "switchyard_demo";
/// The advisory lock of whoever plays: "sydemo" as a number.
const PLAYING: i64 = 0x7379_6465_6d6f;
/// Above anything the demo does.
const UNLIMITED: u32 = 100_000;
/// How long the broker may take to create the queues.
const DECLARING: Duration = Duration::from_secs(60);
/// How long services may take to finish what they have in hand.
const FAREWELL: Duration = Duration::from_secs(15);

/// Everything that plays.
pub(super) struct Stage {
    pub(super) simulator: Simulator,
    pub(super) db: Database,
    pub(super) http: reqwest::Client,
    pub(super) app_secret: String,
    pub(super) key: SecretString,
    /// Id of the connection.
    pub(super) connection: String,
    /// Id of the bot.
    pub(super) bot: String,
    address: SocketAddr,
    life: Life,
    broker: BrokerOptions,
    /// Holds the lock that says somebody plays, and removes the database.
    admin: AsyncPgConnection,
}

impl Stage {
    /// Sets the stage, saying what takes how long.
    pub(super) async fn set(
        teller: Teller,
        life: Life,
        mut settings: Settings,
        port: Option<u16>,
    ) -> Result<Self, Failure> {
        let step = Step::begin(teller);
        let given = settings.database.url()?.clone();
        let admin = own_database(&given).await?;
        settings.database.url = Some(within(&given).or_fix("correct database.url")?);
        let app_secret = private(&mut settings, port);
        let db = parts::database(&settings)?;
        let applied = migrations::up(&db).await.or_fix(DATABASE_AWAY)?;
        step.done("PostgreSQL", &format!("database {DATABASE}, {} migrations", applied.len()));

        let step = Step::begin(teller);
        let options = SimulatorOptions { numbers: vec![number()], ..SimulatorOptions::default() };
        let simulator =
            Simulator::start(options).await.or_fix("free a port on 127.0.0.1, then try again")?;
        settings.meta.base_url = simulator.base_url().clone();
        step.done("fake Meta", &format!("{} (seed {})", simulator.base_url(), simulator.seed()));

        let step = Step::begin(teller);
        let broker = parts::broker_options(&settings, "switchyard demo")?;
        // What an earlier demo left behind would be handled again.
        Broker::delete_topology(&broker).await.or_fix(BROKER_AWAY)?;
        let parts = Parts::build(&life, settings).await?;
        parts.broker.wait_ready(DECLARING).await.or_fix(BROKER_AWAY)?;
        step.done("RabbitMQ, Redis", "queues demo.*, keys demo:*");

        let step = Step::begin(teller);
        let started = services::start(&life, parts, Which::All).await;
        let address = started.map_err(|failure| match port {
            Some(port) => {
                Failure { fix: format!("free port {port}, or give another --port"), ..failure }
            }
            None => failure,
        })?;
        let made = keys::make(&db, "Demo", Role::Admin).await.or_fix(DATABASE_AWAY)?;
        let mut stage = Self {
            simulator,
            db,
            http: client().or_fix("report this")?,
            app_secret,
            key: made.text,
            connection: String::new(),
            bot: String::new(),
            address,
            life,
            broker,
            admin,
        };
        step.done("services", &format!("all of them, on {}", stage.api()));
        let step = Step::begin(teller);
        stage.furnish().await.or_fix("run it with -v and report what it logs")?;
        step.done("workspace", "key, connection, bot with two rules: made by the API");
        Ok(stage)
    }

    /// Root of the API.
    pub(super) fn api(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where webhooks go.
    pub(super) fn door(&self) -> String {
        format!("{}/webhooks/whatsapp", self.api())
    }

    /// What the simulator's control side needs to let Ada write.
    pub(super) fn ada(&self, text: &str) -> Value {
        json!({ "phone_number_id": NUMBER, "from": ADA, "name": "Ada", "text": text })
    }

    /// Makes a connection and a bot, as a user would, and lets Meta know where webhooks go.
    async fn furnish(&mut self) -> anyhow::Result<()> {
        let connection = json!({
            "name": "Main", "phone_number_id": NUMBER, "waba_id": number().waba_id,
            "display_phone_number": "+493055501200", "access_token": "EAAG-demo",
            "limits": { "whatsapp_api_per_minute": UNLIMITED, "webhook_per_minute": UNLIMITED },
        });
        self.connection = self.create("/v1/connections", connection).await?;
        let bot = json!({ "name": "Echo", "connections": [self.connection] });
        self.bot = self.create("/v1/bots", bot).await?;
        let rules = format!("/v1/bots/{}/rules", self.bot);
        for (kind, value, reply) in
            [("exact", "test", "test is working"), ("prefix", "order", "noted: {{text}}")]
        {
            let reply = json!({ "type": "text", "text": { "body": reply } });
            let rule = json!({ "match": { "kind": kind, "value": value }, "reply": reply });
            self.create(&rules, rule).await?;
        }
        let target = Url::parse(&self.door())?;
        let app_secret = self.app_secret.clone();
        let webhook =
            WebhookSettings { targets: vec![target], app_secret, ..WebhookSettings::default() };
        Ok(self.simulator.set_webhook(webhook)?)
    }

    /// Makes something by the API; gives its id.
    pub(super) async fn create(&self, path: &str, body: Value) -> anyhow::Result<String> {
        let made = self.call(Method::POST, path, Some(body)).await?;
        let id = made.get("id").and_then(Value::as_str);
        Ok(id.with_context(|| format!("POST {path} gave no id: {made}"))?.to_owned())
    }

    /// Does something to a thing, as a button would.
    pub(super) async fn press(&self, thing: &str, action: &str) -> anyhow::Result<Value> {
        self.call(Method::POST, &format!("{thing}/{action}"), None).await
    }

    /// Reads a thing.
    pub(super) async fn read(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let what = format!("{method} {path}");
        let request = self
            .http
            .request(method, format!("{}{path}", self.api()))
            .bearer_auth(self.key.expose_secret());
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let answer = request.send().await.context(what.clone())?;
        let status = answer.status();
        let answer: Value = answer.json().await.context(what.clone())?;
        if !status.is_success() {
            bail!("{what} was answered {status}: {answer}");
        }
        Ok(answer)
    }

    /// Stops everything and removes what was made.
    pub(super) async fn strike(self) -> Result<(), Failure> {
        let Self { life, simulator, broker, mut admin, .. } = self;
        life.stop();
        life.tasks().close();
        if tokio::time::timeout(FAREWELL, life.tasks().wait()).await.is_err() {
            tracing::warn!("the services did not finish in time");
        }
        simulator.stop().await;
        Broker::delete_topology(&broker).await.or_fix(BROKER_AWAY)?;
        admin.batch_execute(&dropped()).await.or_fix(DATABASE_AWAY)
    }
}

/// One line of the setting, with the time it took.
struct Step {
    teller: Teller,
    begun: Instant,
}

impl Step {
    fn begin(teller: Teller) -> Self {
        Self { teller, begun: Instant::now() }
    }

    fn done(self, name: &str, detail: &str) {
        let took = format!("{:5.1} s", self.begun.elapsed().as_secs_f64());
        let ready = self.teller.tint(Tone::Good, "ready");
        self.teller.say(&format!("  {name:<16}  {detail:<52}  {ready} {took}"));
    }
}

#[derive(QueryableByName)]
struct Alone {
    #[diesel(sql_type = Bool)]
    alone: bool,
}

/// Makes an empty database beside the given one.
async fn own_database(given: &ServerUrl) -> Result<AsyncPgConnection, Failure> {
    let options = DatabaseOptions {
        url: given.expose().to_owned(),
        pool_size: 1,
        wait: Duration::from_secs(10),
    };
    let pool = Database::new(options).or_fix(DATABASE_AWAY)?;
    let mut admin = Pooled::take(pool.connection().await.or_fix(DATABASE_AWAY)?);
    let question = format!("SELECT pg_try_advisory_lock({PLAYING}) AS alone");
    let answer = diesel::sql_query(question).get_result(&mut admin).await;
    let Alone { alone } = answer.or_fix(DATABASE_AWAY)?;
    if !alone {
        let other = anyhow!("another demo runs on these servers");
        let fix = "stop it with Ctrl-C in its terminal, or use servers of your own: make demo";
        return Err(Failure::new(other, fix).with(Exit::Conflict));
    }
    let made = async {
        admin.batch_execute("SET statement_timeout = 0").await?;
        admin.batch_execute(&dropped()).await?;
        admin.batch_execute(&format!("CREATE DATABASE {DATABASE}")).await
    };
    made.await.or_fix("give database.url a user that may create databases")?;
    Ok(admin)
}

fn dropped() -> String {
    format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
}

/// The URL of the demo's database on the same server.
fn within(given: &ServerUrl) -> anyhow::Result<ServerUrl> {
    let mut url = Url::parse(given.expose())?;
    url.set_path(DATABASE);
    Ok(url.as_str().parse()?)
}

/// Makes `settings` the demo's own; gives the app secret.
fn private(settings: &mut Settings, port: Option<u16>) -> String {
    let app_secret = token();
    "demo.".clone_into(&mut settings.amqp.prefix);
    "demo".clone_into(&mut settings.redis.namespace);
    settings.http.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
    settings.http.admin_listen = None;
    settings.meta.app_secret = Some(app_secret.clone().into());
    settings.meta.verify_token = Some(token().into());
    settings.security.master_key = Some(token().into());
    settings.limits = settings::Limits::default();
    app_secret
}

/// 32 random bytes as text.
fn token() -> String {
    STANDARD.encode(rand::random::<[u8; 32]>())
}

fn number() -> Number {
    Number::new("104996122399160", NUMBER)
}

/// A client for loopback: no proxy, no certificates.
fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .no_proxy()
        .tls_certs_only([])
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_plays_in_a_database_of_its_own_on_the_same_server() {
        let given: ServerUrl = "postgres://me:pw@db:6000/live?sslmode=disable".parse().unwrap();
        let url = within(&given).unwrap();
        assert_eq!(url.expose(), "postgres://me:pw@db:6000/switchyard_demo?sslmode=disable");
    }

    #[test]
    fn nothing_of_an_installation_is_touched() {
        let mut settings = Settings::default();
        private(&mut settings, None);
        assert_eq!(settings.amqp.prefix, "demo.");
        assert_eq!(settings.redis.namespace, "demo");
        assert!(settings.http.listen.ip().is_loopback());
        assert!(settings.security.master_key().is_ok());
    }
}
