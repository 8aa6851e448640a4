//! One installation of the product for one test: its own database, queues, Redis keys and Meta.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use graph_simulator::{Simulator, SimulatorOptions, WebhookSettings};
use messaging::{Broker, BrokerOptions, Queue, Topology};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Servers, TestDatabase, eventually_within, unique_name};
use tokio::process::{Child, Command};
use url::Url;

pub(crate) const APP_SECRET: &str = "5f0c1e9a77d34b0c8d21aa90fe31c6b4";
const LANES: i64 = 10;
pub(crate) const PHONE: &str = "290184457761305";

pub(crate) struct Installation {
    pub(crate) meta: Simulator,
    pub(crate) db: TestDatabase,
    pub(crate) key: String,
    pub(crate) http: reqwest::Client,
    pub(crate) redis_url: String,
    /// Of its Redis keys.
    pub(crate) namespace: String,
    amqp_url: String,
    prefix: String,
    env: BTreeMap<String, String>,
    processes: Vec<Process>,
}

/// What a command came to.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A running `switchyard run …`.
pub(crate) struct Process {
    pub(crate) what: &'static str,
    pub(crate) url: Url,
    child: Child,
}

impl Installation {
    /// Migrated, with a key, nothing running yet.
    pub(crate) async fn new() -> Self {
        Self::on(Servers::from_env()).await
    }

    pub(crate) async fn on(servers: Servers) -> Self {
        Self::drawn(servers, None).await
    }

    /// The same, where `seed` decides what the simulated Meta draws.
    pub(crate) async fn drawn(servers: Servers, seed: Option<u64>) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let db = TestDatabase::create_on(&servers.database_url).await.unwrap();
        let name = unique_name();
        let simulator = SimulatorOptions { seed, ..SimulatorOptions::default() };
        let meta = Simulator::start(simulator).await.unwrap();
        let env = [
            ("SWITCHYARD__DATABASE__URL", db.url().to_owned()),
            ("SWITCHYARD__REDIS__URL", servers.redis_url.clone()),
            ("SWITCHYARD__REDIS__NAMESPACE", name.clone()),
            ("SWITCHYARD__AMQP__URL", servers.amqp_url.clone()),
            ("SWITCHYARD__AMQP__PREFIX", format!("{name}.")),
            ("SWITCHYARD__META__BASE_URL", meta.base_url().to_string()),
            ("SWITCHYARD__META__APP_SECRET", APP_SECRET.to_owned()),
            ("SWITCHYARD__META__VERIFY_TOKEN", "verify me".to_owned()),
            ("SWITCHYARD__SECURITY__MASTER_KEY", secret(&testkit::master_key())),
            ("SWITCHYARD__TELEMETRY__LOG_FORMAT", "json".to_owned()),
            ("SWITCHYARD__TELEMETRY__LOG", "warn".to_owned()),
        ];
        let mut this = Self {
            meta,
            db,
            key: String::new(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            redis_url: servers.redis_url,
            namespace: name.clone(),
            amqp_url: servers.amqp_url,
            prefix: format!("{name}."),
            env: env.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            processes: Vec::new(),
        };
        this.command(&["migrate", "up"]).await;
        this.key =
            this.command(&["keys", "create", "--workspace", "Acme", "--role", "admin"]).await;
        this
    }

    /// Sets a variable for processes started from now on.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.env.insert(key.to_owned(), value.to_owned());
    }

    /// Lets processes started from now on end doubts within seconds.
    pub(crate) fn end_doubts_soon(&mut self) {
        for (key, value) in [
            ("SWITCHYARD__SENDING__ATTEMPT_DEADLINE", "2s"),
            ("SWITCHYARD__META__CONNECT_TIMEOUT", "1s"),
            ("SWITCHYARD__META__TIMEOUT", "2s"),
            ("SWITCHYARD__SENDING__DOUBT_MARGIN", "1s"),
            ("SWITCHYARD__SENDING__QUIET_WINDOW", "8s"),
            ("SWITCHYARD__SENDING__MIN_PROBES", "10"),
            ("SWITCHYARD__TELEMETRY__LOG", "error"),
        ] {
            self.set(key, value);
        }
    }

    /// Runs the binary to its end and returns what it printed on stdout.
    pub(crate) async fn command(&self, arguments: &[&str]) -> String {
        let ended = self.run_to_end(arguments).await;
        assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.err);
        ended.out.trim().to_owned()
    }

    /// Runs the binary to its end, whatever that is.
    pub(crate) async fn run_to_end(&self, arguments: &[&str]) -> Ended {
        let output = Command::new(env!("CARGO_BIN_EXE_switchyard"))
            .args(arguments)
            .envs(&self.env)
            .output()
            .await
            .unwrap();
        let code = output.status.code().unwrap();
        Ended { code, out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Starts `switchyard run WHAT` and waits until it is ready.
    pub(crate) async fn run(&mut self, what: &'static str) -> Url {
        let process = self.spawn(what);
        let url = process.url.clone();
        self.processes.push(process);
        self.wait_ready(&url).await;
        self.point_meta_here();
        url
    }

    fn spawn(&self, what: &'static str) -> Process {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let child = Command::new(env!("CARGO_BIN_EXE_switchyard"))
            .args(["run", what])
            .envs(&self.env)
            .env("SWITCHYARD__HTTP__LISTEN", address.to_string())
            .env("SWITCHYARD__HTTP__WORKERS", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Process { what, url: format!("http://{address}/").parse().unwrap(), child }
    }

    pub(crate) async fn wait_ready(&self, url: &Url) {
        let ready = url.join("readyz").unwrap();
        eventually_within(Duration::from_secs(60), "the process is ready", async || {
            let answer = self.http.get(ready.clone()).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// Webhooks go to every process that has a door, in turn.
    fn point_meta_here(&self) {
        let targets = self
            .processes
            .iter()
            .filter(|process| matches!(process.what, "all" | "webhook-ingest"))
            .map(|process| process.url.join("webhooks/whatsapp").unwrap())
            .collect();
        let settings = WebhookSettings {
            targets,
            app_secret: APP_SECRET.into(),
            // Soon there again, however long nobody answers: the tests' quiet windows are short.
            retry_factor: 1.0,
            timeout_ms: 3_000,
            ..WebhookSettings::default()
        };
        self.meta.set_webhook(settings).unwrap();
    }

    /// `kill -9` of process number `at`, and another one in its place.
    pub(crate) async fn kill_and_restart(&mut self, at: usize) {
        let process = &mut self.processes[at];
        process.child.kill().await.unwrap();
        let again = self.spawn(self.processes[at].what);
        self.processes[at] = again;
        self.point_meta_here();
    }

    /// Starts what has ended by itself once more, as whoever supervises processes does.
    pub(crate) fn revive(&mut self) {
        for at in 0..self.processes.len() {
            if self.processes[at].child.try_wait().unwrap().is_some() {
                self.processes[at] = self.spawn(self.processes[at].what);
            }
        }
        self.point_meta_here();
    }

    /// Sends a signal, as `kill` names it, to process number `at`.
    pub(crate) async fn signal(&self, at: usize, signal: &str) {
        let pid = self.processes[at].child.id().unwrap().to_string();
        let status = Command::new("kill").args([&format!("-{signal}"), &pid]).status().await;
        assert!(status.unwrap().success(), "kill -{signal} {pid}");
    }

    /// Deletes the locks of a class from Redis, as if they had run out.
    pub(crate) async fn forget_locks(&self, class: &str) {
        let redis = redis::Client::open(self.redis_url.as_str()).unwrap();
        let mut redis = redis.get_multiplexed_async_connection().await.unwrap();
        let pattern = format!("*{}*{class}*", self.namespace);
        let keys: Vec<String> =
            redis::cmd("KEYS").arg(pattern).query_async(&mut redis).await.unwrap();
        for key in keys {
            redis::cmd("DEL").arg(key).exec_async(&mut redis).await.unwrap();
        }
    }

    /// Where each process listens.
    pub(crate) fn urls(&self) -> Vec<Url> {
        self.processes.iter().map(|process| process.url.clone()).collect()
    }

    pub(crate) fn url(&self, at: usize) -> Url {
        self.processes[at].url.clone()
    }

    /// Sends SIGTERM to every process and waits for its end.
    pub(crate) async fn stop_all(&mut self) {
        for at in 0..self.processes.len() {
            self.signal(at, "TERM").await;
        }
        for mut process in self.processes.drain(..) {
            let ended = tokio::time::timeout(Duration::from_secs(30), process.child.wait()).await;
            assert!(ended.expect("stopped in time").unwrap().success(), "{} failed", process.what);
        }
    }

    /// Calls the API of the first process.
    pub(crate) async fn api(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        self.api_of(0, method, path, body).await
    }

    async fn api_of(&self, at: usize, method: Method, path: &str, body: Option<Value>) -> Value {
        let url = self.url(at).join(path).unwrap();
        let mut request = self.http.request(method.clone(), url).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let body = answer.text().await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status} {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// A connection for [`PHONE`] that may send `api_per_minute` messages.
    pub(crate) async fn connect(&self, api_per_minute: u32) -> String {
        let connection = json!({
            "name": "Main", "phone_number_id": PHONE, "waba_id": "104996122399160",
            "display_phone_number": "+493055501200", "access_token": "EAAG-a-token",
            "limits": {"whatsapp_api_per_minute": api_per_minute, "webhook_per_minute": 100_000},
        });
        let connection = self.api(Method::POST, "v1/connections", Some(connection)).await;
        connection["id"].as_str().unwrap().to_owned()
    }

    /// A connection for [`PHONE`] with a bot that answers everything with `echo {{text}}`.
    pub(crate) async fn connect_echo_bot(&self) -> String {
        self.connect_bot(json!({"kind": "any", "value": ""}), "echo {{text}}").await
    }

    pub(crate) async fn connect_bot(&self, when: Value, reply: &str) -> String {
        self.connect_bot_on(0, when, reply).await
    }

    /// The same, where process number `chatbot` serves the bots.
    pub(crate) async fn connect_bot_on(&self, chatbot: usize, when: Value, reply: &str) -> String {
        let id = self.connect(100_000).await;
        let bot = json!({"name": "Echo", "connections": [id]});
        let bot = self.api_of(chatbot, Method::POST, "v1/bots", Some(bot)).await;
        let rules = format!("v1/bots/{}/rules", bot["id"].as_str().unwrap());
        let rule = json!({"match": when, "reply": {"type": "text", "text": {"body": reply}}});
        self.api_of(chatbot, Method::POST, &rules, Some(rule)).await;
        id
    }

    pub(crate) async fn count(&self, what: &str) -> i64 {
        self.db.count(&format!("SELECT count(*) AS count FROM {what}")).await.unwrap()
    }

    /// Messages waiting in a queue.
    pub(crate) async fn depth(&self, queue: Queue) -> u32 {
        let name = Topology::default().with_prefix(self.prefix.clone()).queue_name(queue);
        let connection =
            lapin::Connection::connect(&self.amqp_url, lapin::ConnectionProperties::default())
                .await
                .unwrap();
        let channel = connection.create_channel().await.unwrap();
        let passive = lapin::options::QueueDeclareOptions { passive: true, ..Default::default() };
        let declared = channel
            .queue_declare(name.into(), passive, lapin::types::FieldTable::default())
            .await
            .unwrap();
        declared.message_count()
    }

    /// Waits until nothing is left to do: every event handled, every hint played, every send settled.
    pub(crate) async fn wait_quiet(&self, patience: Duration) {
        self.meta.wait_until_delivered(patience).await.unwrap();
        // Markers made after the last webhook have come through every lane, so everything before them
        // has been handled.
        let now = self.db.text("SELECT clock_timestamp()::text AS text").await.unwrap();
        let passed = format!("status_pipeline WHERE part LIKE 'lane/%' AND alive_at > '{now}'");
        eventually_within(patience, "every lane is worked off", async || {
            (self.count(&passed).await >= LANES).then_some(())
        })
        .await;
        let open = "(SELECT count(*) FROM outbox) + (SELECT count(*) FROM outbound_messages \
                    WHERE state IN ('ready', 'sending')) + (SELECT count(*) FROM conversations c \
                    JOIN messages m ON m.conversation_id = c.id AND m.direction = 'inbound' \
                    AND m.sequence > c.bot_sequence)";
        let sql = format!("SELECT ({open})::bigint AS count");
        let mut quiet = 0;
        eventually_within(patience, "nothing is left to do", async || {
            let left = self.db.count(&sql).await.ok()?;
            quiet = if left == 0 { quiet + 1 } else { 0 };
            (quiet >= 5).then_some(())
        })
        .await;
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        for process in &mut self.processes {
            drop(process.child.start_kill());
        }
        let (url, prefix) = (self.amqp_url.clone(), self.prefix.clone());
        // The test's runtime may be ending: clean up on one of our own.
        let cleaner = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            let topology = Topology::default().with_prefix(prefix);
            let options = BrokerOptions::new(&url, topology, "test cleaner").ok()?;
            runtime.block_on(Broker::delete_topology(&options)).ok()
        });
        drop(cleaner.join());
    }
}

fn secret(secret: &secrecy::SecretString) -> String {
    use secrecy::ExposeSecret;
    secret.expose_secret().to_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
