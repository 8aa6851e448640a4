//! One installation of the product: its own database, queues, keys and simulated Meta.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use graph_simulator::{Simulator, SimulatorOptions, WebhookSettings};
use messaging::BrokerOptions;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use url::Url;

use crate::Options;
use crate::broker::Broker;
use crate::cpu::{Watched, listener};
use crate::database::Database;
use crate::say;

pub(crate) const APP_SECRET: &str = "5f0c1e9a77d34b0c8d21aa90fe31c6b4";
pub(crate) const PHONE: &str = "290184457761305";
pub(crate) const WABA: &str = "104996122399160";
/// Base64 of the bytes 0 to 31: protects nothing but this run's made-up token.
const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// High enough for no limit to bind, also at the pace that a large one is kept to.
const NO_LIMIT: &str = "60000000";
/// How long a process may take to be ready, or to stop.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Installation {
    db: Database,
    broker: Broker,
    meta: Simulator,
    http: reqwest::Client,
    binary: PathBuf,
    /// Where processes log as much as they do by default.
    logs: PathBuf,
    env: BTreeMap<&'static str, String>,
    key: String,
    connection: String,
    /// The bot on the connection, once there is one.
    bot: Option<String>,
    amqp_url: String,
    servers: Watched,
    processes: Vec<Process>,
}

/// A running `switchyard run …`.
struct Process {
    what: &'static str,
    url: Url,
    child: Child,
}

impl Installation {
    /// Migrated, with a key and a connection; nothing runs.
    pub(crate) async fn new(options: &Options) -> anyhow::Result<Self> {
        let name = format!("bench{}", std::process::id());
        let db = Database::create(&options.database_url, &name).await?;
        let broker = Broker::connect(&options.amqp_url, &format!("{name}.")).await?;
        let simulator =
            SimulatorOptions { seed: Some(options.seed), ..SimulatorOptions::default() };
        let meta = Simulator::start(simulator).await?;
        let env = BTreeMap::from([
            ("SWITCHYARD__DATABASE__URL", db.url().to_string()),
            ("SWITCHYARD__REDIS__URL", options.redis_url.clone()),
            ("SWITCHYARD__REDIS__NAMESPACE", name.clone()),
            ("SWITCHYARD__AMQP__URL", options.amqp_url.clone()),
            ("SWITCHYARD__AMQP__PREFIX", format!("{name}.")),
            ("SWITCHYARD__META__BASE_URL", meta.base_url().to_string()),
            ("SWITCHYARD__META__APP_SECRET", APP_SECRET.to_owned()),
            ("SWITCHYARD__META__VERIFY_TOKEN", "verify me".to_owned()),
            ("SWITCHYARD__SECURITY__MASTER_KEY", MASTER_KEY.to_owned()),
            ("SWITCHYARD__LIMITS__WEBHOOK_PER_MINUTE", NO_LIMIT.to_owned()),
            ("SWITCHYARD__LIMITS__WHATSAPP_API_PER_MINUTE", NO_LIMIT.to_owned()),
            ("SWITCHYARD__LIMITS__BOT_PER_MINUTE", NO_LIMIT.to_owned()),
            ("SWITCHYARD__TELEMETRY__LOG_FORMAT", "json".to_owned()),
        ]);
        let mut servers = Watched::default();
        servers.add("RabbitMQ", listener(port(&options.amqp_url, 5672), "beam"));
        servers.add("PostgreSQL", listener(port(&options.database_url, 5432), "postgres"));
        servers.add("Redis", listener(port(&options.redis_url, 6379), "redis"));
        servers.add("load generator, signing beforehand included", Some(std::process::id()));
        let logs = options.report.parent().context("a report needs a folder")?.to_owned();
        std::fs::create_dir_all(&logs)?;
        let mut this = Self {
            logs,
            db,
            broker,
            meta,
            http: reqwest::Client::builder().no_proxy().build()?,
            binary: std::env::current_exe()?.with_file_name("switchyard"),
            env,
            key: String::new(),
            connection: String::new(),
            bot: None,
            amqp_url: options.amqp_url.clone(),
            servers,
            processes: Vec::new(),
        };
        this.command(&["migrate", "up"]).await?;
        let keys = ["keys", "create", "--workspace", "Bench", "--role", "admin"];
        this.key = this.command(&keys).await?;
        this.connect().await?;
        Ok(this)
    }

    pub(crate) const fn db(&self) -> &Database {
        &self.db
    }

    pub(crate) const fn broker(&self) -> &Broker {
        &self.broker
    }

    pub(crate) const fn meta(&self) -> &Simulator {
        &self.meta
    }

    /// What the servers say about themselves.
    pub(crate) async fn servers(
        &self,
        options: &Options,
    ) -> anyhow::Result<Vec<(&'static str, String)>> {
        let settings = "SELECT 'PostgreSQL ' || current_setting('server_version') || ', fsync ' || \
                        current_setting('fsync') || ', synchronous_commit ' || \
                        current_setting('synchronous_commit')";
        let redis = redis::Client::open(options.redis_url.as_str())?;
        let mut redis = redis.get_multiplexed_async_connection().await?;
        let info: String = redis::cmd("INFO").arg("server").query_async(&mut redis).await?;
        let redis = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        Ok(vec![
            ("database", self.db.text(settings).await?),
            (
                "broker",
                format!("RabbitMQ {}, quorum queues, one node", self.broker.version().await?),
            ),
            ("Redis", redis.unwrap_or("unknown").trim().to_owned()),
        ])
    }

    /// Runs the binary to its end and returns what it printed.
    async fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.binary).args(arguments).envs(&self.env).output().await;
        let output = output.with_context(|| format!("{}", self.binary.display()))?;
        ensure!(
            output.status.success(),
            "switchyard {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    async fn connect(&mut self) -> anyhow::Result<()> {
        self.run(&["conversations"]).await?;
        let connection = json!({
            "name": "Main", "phone_number_id": PHONE, "waba_id": WABA,
            "display_phone_number": "+493055501200", "access_token": "EAAG-a-token",
        });
        self.connection = self.post("conversations", "v1/connections", &connection).await?;
        self.stop().await
    }

    /// Puts a bot without rules on the connection; it has to run the chatbot.
    pub(crate) async fn attach_bot(&mut self) -> anyhow::Result<()> {
        if self.bot.is_none() {
            let bot = json!({"name": "Bench", "connections": [self.connection]});
            self.bot = Some(self.post("chatbot", "v1/bots", &bot).await?);
        }
        Ok(())
    }

    /// What processes that are started from now on find in their environment.
    pub(crate) fn set(&mut self, variable: &'static str, value: &str) {
        self.env.insert(variable, value.to_owned());
    }

    /// Makes the bot answer everything.
    pub(crate) async fn let_bot_echo(&mut self) -> anyhow::Result<()> {
        self.attach_bot().await?;
        let rule = json!({
            "match": {"kind": "any", "value": ""},
            "reply": {"type": "text", "text": {"body": "echo {{text}}"}},
        });
        let path = format!("v1/bots/{}/rules", self.bot.as_deref().unwrap_or_default());
        self.post("chatbot", &path, &rule).await?;
        Ok(())
    }

    /// Creates something at the process that runs `service`, and answers with its id.
    async fn post(&self, service: &str, path: &str, body: &Value) -> anyhow::Result<String> {
        let created = self.api(service, Method::POST, path, Some(body)).await?;
        let id = created.get("id").and_then(Value::as_str);
        Ok(id.with_context(|| format!("POST {path} gave no id"))?.to_owned())
    }

    /// Calls the API of the process that runs `service`.
    pub(crate) async fn api(
        &self,
        service: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let url = self.url(service)?.join(path)?;
        let request = self.http.request(method.clone(), url).bearer_auth(&self.key);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{method} {path}: {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Sends a form to the process that runs `service`.
    pub(crate) async fn send_form(
        &self,
        service: &str,
        path: &str,
        boundary: &str,
        form: Vec<u8>,
    ) -> anyhow::Result<Value> {
        let kind = format!("multipart/form-data; boundary={boundary}");
        let request = self.http.post(self.url(service)?.join(path)?).bearer_auth(&self.key);
        let answer = request.header("content-type", kind).body(form).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "POST {path}: {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// The most memory that the process of `service` has had so far, in MiB.
    pub(crate) fn peak_mib(&self, service: &str) -> anyhow::Result<f64> {
        let process = self.processes.iter().find(|process| process.what == service);
        let pid = process.and_then(|process| process.child.id()).context("it does not run")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: f64 = peak.context("no VmHWM")?.trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1024.0)
    }

    /// The connection that everything uses unless it needs one of its own.
    pub(crate) fn connection(&self) -> &str {
        &self.connection
    }

    /// Another connection; without a limit of its own it has none that binds.
    pub(crate) async fn connect_also(
        &self,
        phone_number_id: &str,
        per_minute: Option<u32>,
    ) -> anyhow::Result<String> {
        let connection = json!({
            "name": phone_number_id, "phone_number_id": phone_number_id, "waba_id": WABA,
            "access_token": "EAAG-a-token", "limits": {"whatsapp_api_per_minute": per_minute},
        });
        self.post("conversations", "v1/connections", &connection).await
    }

    /// Gives a connection a limit of its own, or takes it away.
    pub(crate) async fn limit(
        &self,
        connection: &str,
        per_minute: Option<u32>,
    ) -> anyhow::Result<()> {
        let limits = json!({"whatsapp_api_per_minute": per_minute});
        let path = format!("v1/connections/{connection}/limits");
        self.api("conversations", Method::PUT, &path, Some(&limits)).await?;
        Ok(())
    }

    /// Where `service` is served.
    pub(crate) fn url(&self, service: &str) -> anyhow::Result<&Url> {
        let found = self.processes.iter().find(|process| [service, "all"].contains(&process.what));
        Ok(&found.with_context(|| format!("{service} does not run"))?.url)
    }

    /// Starts one process for each of `services` and waits until all are ready.
    pub(crate) async fn run(&mut self, services: &[&'static str]) -> anyhow::Result<()> {
        for what in services {
            let process = self.spawn(what)?;
            self.wait_ready(&process).await?;
            self.processes.push(process);
        }
        let targets = match self.url("webhook-ingest") {
            Ok(door) => vec![door.join("webhooks/whatsapp")?],
            Err(_) => Vec::new(),
        };
        let app_secret = APP_SECRET.to_owned();
        self.meta.set_webhook(WebhookSettings {
            targets,
            app_secret,
            ..WebhookSettings::default()
        })?;
        say(&format!("running: {} (perf record -g -p PID)", self.watched().shown()));
        Ok(())
    }

    fn spawn(&self, what: &'static str) -> anyhow::Result<Process> {
        let free = TcpListener::bind("127.0.0.1:0")?;
        let address = free.local_addr()?;
        drop(free);
        let log = File::create(self.logs.join(format!("{what}.log")))?;
        let child = Command::new(&self.binary)
            .args(["run", what])
            .envs(&self.env)
            .env("SWITCHYARD__HTTP__LISTEN", address.to_string())
            .stdin(Stdio::null())
            .stdout(log)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Process { what, url: format!("http://{address}/").parse()?, child })
    }

    async fn wait_ready(&self, process: &Process) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let url = process.url.join("readyz")?;
        while Instant::now() < deadline {
            let answer = self.http.get(url.clone()).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("{} was not ready within {PATIENCE:?}", process.what);
    }

    /// Our processes first, then the servers.
    pub(crate) fn watched(&self) -> Watched {
        let mut watched = Watched::default();
        for process in &self.processes {
            watched.add(process.what, process.child.id());
        }
        watched.and(&self.servers)
    }

    /// Stops every process as an operator would.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        for process in &self.processes {
            let pid = process.child.id().context("a process has ended by itself")?.to_string();
            Command::new("kill").args(["-TERM", &pid]).status().await?;
        }
        for mut process in self.processes.drain(..) {
            let ended = tokio::time::timeout(PATIENCE, process.child.wait()).await??;
            ensure!(ended.success(), "{} ended with {ended}", process.what);
        }
        Ok(())
    }

    /// Leaves the servers as they were.
    pub(crate) async fn remove(mut self) -> anyhow::Result<()> {
        self.stop().await?;
        self.broker.remove().await?;
        let topology = self.broker.topology().clone();
        let options = BrokerOptions::new(&self.amqp_url, topology, "benchmark")?;
        messaging::Broker::delete_topology(&options).await?;
        self.meta.stop().await;
        self.db.remove().await
    }
}

fn port(url: &str, standard: u16) -> u16 {
    url.parse::<Url>().ok().and_then(|url| url.port()).unwrap_or(standard)
}
