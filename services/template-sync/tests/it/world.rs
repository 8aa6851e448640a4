//! A workspace and its neighbour, a simulated Meta, the API in process, and processes that can be killed.

use std::sync::Arc;
use std::time::Duration;

use actix_web::body::to_bytes;
use actix_web::http::Method;
use actix_web::test::{TestRequest, init_service, try_call_service};
use actix_web::web::{Data, ServiceConfig};
use chrono::{DateTime, Utc};
use coordination::{Coordination, LockClass};
use futures_util::future::BoxFuture;
use graph_simulator::{Simulator, SimulatorOptions};
use kernel::ids::{ApiKeyId, ConnectionId, WorkspaceId};
use kernel::{Clock, PhoneNumberId, SystemClock, WabaId};
use messaging::{Broker, BrokerOptions, Family, Topology};
use relay::Relay;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use service::auth::{MintedKey, mint};
use service::{Auth, KeyStore, Life, Role, StoredKey};
use storage::connections::{self, Limits, NewConnection};
use storage::sealed::{Column, Sealer};
use storage::{Database, DatabaseOptions, workspaces};
use template_sync::{Dependencies, Options, TemplateSync, start};
use testkit::{Servers, TestDatabase, eventually_within, master_key, unique_name};
use tokio::runtime::Runtime;
use url::Url;
use whatsapp::graph::{GraphClient, GraphOptions};

/// Long enough for a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
pub(crate) const WABA: &str = "104996122399160";

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// A key of the home workspace.
    Home(Role),
    /// An admin of the neighbour's.
    Stranger,
    /// Nobody we know.
    Nobody,
}

pub(crate) const MARKETER: Who = Who::Home(Role::Marketer);
pub(crate) const VIEWER: Who = Who::Home(Role::Viewer);

type Keys = Arc<Vec<(Who, MintedKey, StoredKey)>>;

struct Known(Keys);

impl KeyStore for Known {
    fn find(&self, id: ApiKeyId) -> BoxFuture<'_, anyhow::Result<Option<StoredKey>>> {
        let found = self.0.iter().find(|(_, minted, _)| minted.id == id).map(|(.., key)| *key);
        Box::pin(async move { Ok(found) })
    }
}

pub(crate) struct World {
    pub(crate) db: TestDatabase,
    pub(crate) meta: Simulator,
    pub(crate) workspace: WorkspaceId,
    pub(crate) connection: ConnectionId,
    pub(crate) foreign: WorkspaceId,
    pub(crate) foreign_connection: ConnectionId,
    options: Options,
    topology: Topology,
    namespace: String,
    keys: Keys,
    service: TemplateSync,
    life: Life,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// The body as it was sent.
    pub(crate) text: String,
    headers: Vec<(String, String)>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// Status and, of a problem, its code.
    pub(crate) fn outcome(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }

    pub(crate) fn data(&self) -> &Vec<Value> {
        self.body["data"].as_array().unwrap()
    }
}

/// A process of its own runtime; dropping it kills it.
pub(crate) struct Process {
    runtime: Option<Runtime>,
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// So many pages a minute that no test waits for them.
pub(crate) const FAST: Options =
    Options { api_per_minute: 60_000, sync_per_minute: 1_000, sync_every: Duration::ZERO };

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(FAST).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let db = TestDatabase::create().await.unwrap();
        let meta = Simulator::start(SimulatorOptions::default()).await.unwrap();
        let (workspace, connection) = tenant(db.database(), "Acme").await;
        let (foreign, foreign_connection) = tenant(db.database(), "Neighbour").await;
        let topology = Topology::default()
            .with_prefix(format!("{}.", unique_name()))
            .with_families(vec![Family::SyncTemplates])
            .with_ladder(vec![Duration::from_millis(200)]);
        let keys = Role::ALL
            .map(|role| (Who::Home(role), workspace, role))
            .into_iter()
            .chain([(Who::Stranger, foreign, Role::Admin)])
            .map(|(who, workspace, role)| key(who, workspace, role));
        let keys: Keys = Arc::new(keys.collect());
        let (namespace, life) = (unique_name(), Life::default());
        let place = Place {
            database_url: db.url().to_owned(),
            broker: broker_options(&topology),
            namespace: namespace.clone(),
            graph: meta.base_url().clone(),
            options,
        };
        // Its workers have stopped: only processes that a test starts work on anything.
        let stopped = Life::default();
        stopped.stop();
        let service = place.start(&life, &stopped).await;
        Self {
            db,
            meta,
            workspace,
            connection,
            foreign,
            foreign_connection,
            options,
            topology,
            namespace,
            keys,
            service,
            life,
        }
    }

    /// Removes what the processes declared.
    pub(crate) async fn end(self, processes: Vec<Process>) {
        drop(processes);
        self.life.stop();
        self.life.tasks().close();
        self.life.tasks().wait().await;
        Broker::delete_topology(&broker_options(&self.topology)).await.unwrap();
    }

    /// Starts a process on the world's servers.
    pub(crate) async fn process(&self) -> Process {
        self.process_in(&self.namespace).await
    }

    /// Starts a process whose locks and limits are in `namespace`.
    pub(crate) async fn process_in(&self, namespace: &str) -> Process {
        let runtime = Runtime::new().unwrap();
        let place = Place {
            database_url: self.db.url().to_owned(),
            broker: broker_options(&self.topology),
            namespace: namespace.to_owned(),
            graph: self.meta.base_url().clone(),
            options: self.options,
        };
        let started = runtime.spawn(async move {
            let life = Life::default();
            place.start(&life, &life).await;
            life
        });
        let life = started.await.unwrap();
        // The process lives as long as somebody may stop it.
        runtime.spawn(async move { life.stopping().cancelled().await });
        Process { runtime: Some(runtime) }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(VIEWER, Method::GET, path, Value::Null).await
    }

    pub(crate) async fn post(&self, path: &str, json: Value) -> Answer {
        self.call(MARKETER, Method::POST, path, json).await
    }

    pub(crate) async fn call(&self, who: Who, method: Method, path: &str, json: Value) -> Answer {
        let body = if json.is_null() { None } else { Some(json.to_string()) };
        self.call_raw(who, method, path, body).await
    }

    pub(crate) async fn call_raw(
        &self,
        who: Who,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Answer {
        let (service, keys) = (self.service.clone(), Arc::clone(&self.keys));
        let routes = move |config: &mut ServiceConfig| {
            let store = Arc::new(Known(Arc::clone(&keys)));
            config.app_data(Data::new(Auth::new(store, Arc::new(SystemClock))));
            service.routes(config);
        };
        let app = init_service(service::app(&routes)).await;
        let mut request = TestRequest::default().method(method).uri(path);
        if let Some((_, minted, _)) = self.keys.iter().find(|(known, ..)| *known == who) {
            let bearer = format!("Bearer {}", minted.text.expose_secret());
            request = request.insert_header(("authorization", bearer));
        }
        if let Some(body) = body {
            request = request.insert_header(("content-type", "application/json")).set_payload(body);
        }
        let response = match try_call_service(&app, request.to_request()).await {
            Ok(response) => response.into_parts().1,
            Err(error) => error.error_response(),
        };
        let status = response.status().as_u16();
        let shown = ["location", "retry-after"].into_iter().filter_map(|name| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some((name.to_owned(), value.to_owned()))
        });
        let headers = shown.collect();
        let bytes = to_bytes(response.into_body()).await.unwrap_or_default();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status, body, text, headers }
    }

    pub(crate) async fn count(&self, what: &str) -> i64 {
        self.db.count(&format!("SELECT count(*) AS count FROM {what}")).await.unwrap()
    }

    pub(crate) async fn text(&self, sql: &str) -> String {
        self.db.text(&format!("SELECT ({sql})::text AS text")).await.unwrap()
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.db.execute(sql).await.unwrap();
    }

    /// Asks for a sync and returns its path.
    pub(crate) async fn begin(&self) -> String {
        let body = json!({ "connection": self.connection });
        let answer = self.post("/v1/template-syncs", body).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        assert_eq!(answer.body["status"], "running");
        answer.header("location").to_owned()
    }

    /// The sync at `path`, when it is over.
    pub(crate) async fn ended(&self, path: &str) -> Value {
        eventually_within(PATIENCE, "the sync is over", async || {
            let answer = self.get(path).await;
            (answer.body["status"] != "running").then_some(answer.body)
        })
        .await
    }

    /// Syncs, which goes well.
    pub(crate) async fn sync(&self) -> Value {
        let path = self.begin().await;
        let sync = self.ended(&path).await;
        assert_eq!(sync["status"], "completed", "{sync}");
        sync
    }

    /// Everything that is known of templates, in a number.
    pub(crate) async fn state(&self) -> i64 {
        self.db
            .count(
                "SELECT coalesce(sum(hashtext((t.meta_id, t.name, t.status, t.category, t.quality, \
                 t.components::text, t.deleted_at, t.updated_at)::text)::bigint), 0)::bigint AS count \
                 FROM templates t",
            )
            .await
            .unwrap()
    }

    /// As if everything had been known for an hour.
    pub(crate) async fn age(&self) {
        self.execute(
            "UPDATE templates SET status_at = status_at - interval '1 hour', quality_at = quality_at \
             - interval '1 hour', category_at = category_at - interval '1 hour'",
        )
        .await;
    }

    /// The id of the template with this name.
    pub(crate) async fn named(&self, name: &str) -> String {
        let answer = self.get(&format!("/v1/templates?name={name}&deleted=true")).await;
        answer.data()[0]["id"].as_str().unwrap().to_owned()
    }

    /// The status of the template with this name.
    pub(crate) async fn status(&self, name: &str) -> String {
        self.text(&format!("SELECT status FROM templates WHERE name = '{name}'")).await
    }
}

/// Where a process runs.
struct Place {
    database_url: String,
    broker: BrokerOptions,
    namespace: String,
    graph: Url,
    options: Options,
}

impl Place {
    /// Starts the service; its workers live as long as `workers`.
    async fn start(self, life: &Life, workers: &Life) -> TemplateSync {
        let url = self.database_url;
        let options = DatabaseOptions { url, pool_size: 6, wait: Duration::from_secs(10) };
        let db = Database::new(options).unwrap();
        let broker = Broker::start(self.broker, life.tasks().clone(), life.stopping());
        broker.wait_ready(Duration::from_secs(20)).await.unwrap();
        let servers = Servers::from_env();
        let tasks = life.tasks().clone();
        let redis = Coordination::connect(&servers.redis_url, &self.namespace, tasks).await;
        let redis = redis.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let relay = Relay::start(
            db.clone(),
            broker.publisher(),
            Arc::clone(&clock),
            life.tasks(),
            life.stopping(),
        );
        // A dead process keeps L6 for ten seconds, not for five minutes.
        let ttl = Duration::from_secs(10);
        let locks = redis.locks().clone().with_times(LockClass::TemplateSync, ttl, None);
        let dependencies = Dependencies {
            db,
            broker,
            locks,
            limiter: redis.limiter().clone(),
            graph: Arc::new(GraphClient::new(&GraphOptions::new(self.graph)).unwrap()),
            sealer: Sealer::new(&master_key()).unwrap(),
            relay,
            clock,
            options: self.options,
        };
        start(workers, dependencies)
    }
}

fn broker_options(topology: &Topology) -> BrokerOptions {
    BrokerOptions::new(&Servers::from_env().amqp_url, topology.clone(), "test").unwrap()
}

pub(crate) fn now() -> DateTime<Utc> {
    SystemClock.now()
}

fn key(who: Who, workspace: WorkspaceId, role: Role) -> (Who, MintedKey, StoredKey) {
    let minted = mint();
    let secret_sha256 = minted.secret_sha256;
    let stored = StoredKey { workspace, role, secret_sha256, expires_at: None, revoked_at: None };
    (who, minted, stored)
}

async fn tenant(db: &Database, name: &str) -> (WorkspaceId, ConnectionId) {
    let mut conn = db.connection().await.unwrap();
    let workspace = workspaces::ensure(&mut conn, name, now()).await.unwrap();
    drop(conn);
    (workspace, connect(db, workspace).await)
}

/// One more number of the account, in a workspace.
pub(crate) async fn connect(db: &Database, workspace: WorkspaceId) -> ConnectionId {
    let token = SecretString::from("token");
    let sealer = Sealer::new(&master_key()).unwrap();
    let new = NewConnection {
        id: ConnectionId::new(),
        workspace_id: workspace,
        name: "Main".into(),
        phone_number_id: PhoneNumberId::new(unique_name()),
        waba_id: WabaId::new(WABA),
        display_phone_number: Some("+493055501200".into()),
        access_token_sealed: sealer.seal(workspace, Column::AccessToken, &token).unwrap(),
        limits: Limits::default(),
    };
    let mut conn = db.connection().await.unwrap();
    connections::insert(&mut conn, new, now()).await.unwrap().id()
}

/// A template as Meta lists it.
pub(crate) fn template(number: usize, status: &str) -> Value {
    json!({
        "id": format!("{}", 1_203_948_857_600_000_u64 + u64::try_from(number).unwrap()),
        "name": format!("template_{number}"),
        "language": "en_US",
        "status": status,
        "category": "UTILITY",
        "parameter_format": "POSITIONAL",
        "quality_score": { "score": "GREEN" },
        "components": [{ "type": "BODY", "text": format!("Hi {{{{1}}}}, this is {number}.") }],
    })
}

/// So many approved templates.
pub(crate) fn templates(count: usize) -> Vec<Value> {
    (1..=count).map(|number| template(number, "APPROVED")).collect()
}
