//! A workspace and its neighbour, keys of every role, and the API in process.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::to_bytes;
use actix_web::http::Method;
use actix_web::test::{TestRequest, init_service, try_call_service};
use actix_web::web::{Data, ServiceConfig};
use campaign_sender::{CampaignSender, Dependencies, Options, start};
use chrono::{DateTime, Utc};
use coordination::Coordination;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kernel::ids::{ApiKeyId, ConnectionId, WorkspaceId};
use kernel::{Clock, PhoneNumberId, SystemClock, WabaId};
use messaging::{Broker, BrokerOptions, Family, Topology};
use relay::Relay;
use secrecy::ExposeSecret;
use sending::{Sender, SenderDependencies, SenderOptions};
use serde_json::{Value, json};
use service::auth::{MintedKey, mint};
use service::{Auth, KeyStore, Life, Role, StoredKey};
use storage::connections::{self, Limits, NewConnection};
use storage::sealed::Sealer;
use storage::workspaces;
use testkit::{Servers, TestDatabase, master_key, unique_name};
use tokio_util::sync::CancellationToken;
use whatsapp::graph::{GraphClient, GraphOptions};

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
pub(crate) const OPERATOR: Who = Who::Home(Role::Operator);
pub(crate) const VIEWER: Who = Who::Home(Role::Viewer);

pub(crate) struct World {
    pub(crate) db: TestDatabase,
    pub(crate) workspace: WorkspaceId,
    pub(crate) connection: ConnectionId,
    pub(crate) foreign_connection: ConnectionId,
    pub(crate) coordination: Coordination,
    keys: Arc<Vec<(Who, MintedKey, StoredKey)>>,
    service: CampaignSender,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
    pub(crate) text: String,
}

/// What a request has besides method and address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extra {
    pub(crate) json: Value,
    pub(crate) bytes: Option<Vec<u8>>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

struct Keys(Arc<Vec<(Who, MintedKey, StoredKey)>>);

impl KeyStore for Keys {
    fn find(&self, id: ApiKeyId) -> BoxFuture<'_, anyhow::Result<Option<StoredKey>>> {
        let found = self.0.iter().find(|(_, minted, _)| minted.id == id).map(|(.., key)| *key);
        Box::pin(async move { Ok(found) })
    }
}

/// Runs `test` with the API, and removes what it declared whatever happens.
pub(crate) async fn with_api(test: impl AsyncFnOnce(&World)) {
    let servers = Servers::from_env();
    let (life, stop_broker) = (Life::default(), CancellationToken::new());
    let topology = Topology::default()
        .with_prefix(format!("{}.", unique_name()))
        .with_families(vec![Family::Campaigns])
        .with_ladder(vec![Duration::from_millis(200)]);
    let options = || BrokerOptions::new(&servers.amqp_url, topology.clone(), "test").unwrap();
    let broker = Broker::start(options(), life.tasks().clone(), stop_broker.clone());
    broker.wait_ready(Duration::from_secs(20)).await.unwrap();
    let world = World::start(&servers, &life, broker).await;
    let outcome = AssertUnwindSafe(test(&world)).catch_unwind().await;
    life.stop();
    stop_broker.cancel();
    life.tasks().close();
    life.tasks().wait().await;
    Broker::delete_topology(&options()).await.unwrap();
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

impl World {
    async fn start(servers: &Servers, life: &Life, broker: Broker) -> Self {
        let test_db = TestDatabase::create().await.unwrap();
        let db = test_db.database().clone();
        let (workspace, connection) = tenant(&db, "Acme").await;
        let (foreign, foreign_connection) = tenant(&db, "Neighbour").await;
        let namespace = unique_name();
        let connecting =
            Coordination::connect(&servers.redis_url, &namespace, life.tasks().clone());
        let coordination = connecting.await.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let relay = Relay::start(
            db.clone(),
            broker.publisher(),
            Arc::clone(&clock),
            life.tasks(),
            life.stopping(),
        );
        let dependencies = Dependencies {
            db: db.clone(),
            broker,
            locks: coordination.locks().clone(),
            limiter: coordination.limiter().clone(),
            sender: idle_sender(&db, &coordination, &relay, life),
            relay,
            clock,
            options: Options { api_per_minute: 100 },
        };
        let keys = Role::ALL
            .map(|role| (Who::Home(role), workspace, role))
            .into_iter()
            .chain([(Who::Stranger, foreign, Role::Admin)])
            .map(|(who, workspace, role)| key(who, workspace, role));
        Self {
            db: test_db,
            workspace,
            connection,
            foreign_connection,
            coordination,
            keys: Arc::new(keys.collect()),
            service: start(&standing_still(), dependencies),
        }
    }

    /// A body that makes a draft.
    pub(crate) fn draft(&self) -> Value {
        json!({
            "name": "Spring sale",
            "connection": self.connection,
            "template": {
                "name": "spring_sale", "language": "en", "params": { "body": ["{{name}}"] },
            },
            "audience": { "tags": ["vip"] },
            "on_uncertain": "hold",
        })
    }

    /// Makes a draft and returns its path.
    pub(crate) async fn drafted(&self) -> String {
        let answer = self.post(MARKETER, "/v1/campaigns", self.draft()).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.header("location").to_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(VIEWER, Method::GET, path, Extra::default()).await
    }

    pub(crate) async fn post(&self, who: Who, path: &str, json: Value) -> Answer {
        self.send(who, Method::POST, path, json).await
    }

    pub(crate) async fn send(&self, who: Who, method: Method, path: &str, json: Value) -> Answer {
        self.call(who, method, path, Extra { json, ..Extra::default() }).await
    }

    /// Sends a file of numbers for the campaign at `path`.
    pub(crate) async fn upload(&self, path: &str, file: impl Into<Vec<u8>>) -> Answer {
        let headers = vec![("content-type", "text/csv".to_owned())];
        let extra = Extra { bytes: Some(file.into()), headers, ..Extra::default() };
        self.call(MARKETER, Method::PUT, &format!("{path}/audience/file"), extra).await
    }

    pub(crate) async fn call(&self, who: Who, method: Method, path: &str, extra: Extra) -> Answer {
        let (service, keys) = (self.service.clone(), Arc::clone(&self.keys));
        let routes = move |config: &mut ServiceConfig| {
            let store = Arc::new(Keys(Arc::clone(&keys)));
            config.app_data(Data::new(Auth::new(store, Arc::new(SystemClock))));
            service.routes(config);
        };
        let app = init_service(service::app(&routes)).await;
        let mut request = TestRequest::default().method(method).uri(path);
        if let Some((_, minted, _)) = self.keys.iter().find(|(known, ..)| *known == who) {
            let bearer = format!("Bearer {}", minted.text.expose_secret());
            request = request.insert_header(("authorization", bearer));
        }
        if !extra.json.is_null() {
            request = request.set_json(extra.json);
        }
        if let Some(bytes) = extra.bytes {
            request = request.set_payload(bytes);
        }
        for header in extra.headers {
            request = request.insert_header(header);
        }
        let response = match try_call_service(&app, request.to_request()).await {
            Ok(response) => response.into_parts().1,
            Err(error) => error.error_response(),
        };
        let status = response.status().as_u16();
        let shown = ["etag", "link", "location", "content-type"].into_iter().filter_map(|name| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some((name.to_owned(), value.to_owned()))
        });
        let headers = shown.collect();
        let bytes = to_bytes(response.into_body()).await.unwrap_or_default();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status, headers, body, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    pub(crate) async fn count(&self, what: &str) -> i64 {
        self.db.count(&format!("SELECT count(*) AS count FROM {what}")).await.unwrap()
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.db.execute(sql).await.unwrap();
    }
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

/// The id at the end of a campaign's path, as `PostgreSQL` writes it.
pub(crate) fn uuid(path: &str) -> &str {
    path.rsplit_once("cmp_").unwrap().1
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

async fn tenant(db: &storage::Database, name: &str) -> (WorkspaceId, ConnectionId) {
    let mut conn = db.connection().await.unwrap();
    let workspace = workspaces::ensure(&mut conn, name, now()).await.unwrap();
    let new = NewConnection {
        id: ConnectionId::new(),
        workspace_id: workspace,
        name: "Main".into(),
        phone_number_id: PhoneNumberId::new(unique_name()),
        waba_id: WabaId::new("104996122399160"),
        display_phone_number: Some("+493055501200".into()),
        access_token_sealed: vec![1],
        limits: Limits::default(),
    };
    let connection = connections::insert(&mut conn, new, now()).await.unwrap();
    (workspace, connection.id())
}

/// A process whose workers have stopped: a campaign stays as a test put it.
fn standing_still() -> Life {
    let life = Life::default();
    life.stop();
    life
}

/// A sender that has stopped: what is ready stays in the ledger.
fn idle_sender(
    db: &storage::Database,
    coordination: &Coordination,
    relay: &Relay,
    life: &Life,
) -> Sender {
    let stopped = CancellationToken::new();
    stopped.cancel();
    let nowhere = "http://127.0.0.1:1".parse().unwrap();
    let dependencies = SenderDependencies {
        db: db.clone(),
        sealer: Sealer::new(&master_key()).unwrap(),
        limiter: coordination.limiter().clone(),
        graph: Arc::new(GraphClient::new(&GraphOptions::new(nowhere)).unwrap()),
        relay: relay.clone(),
        clock: Arc::new(SystemClock),
    };
    let options = SenderOptions {
        worker: "test".into(),
        claim_batch: 1,
        poll: Duration::from_secs(60),
        attempt_deadline: Duration::from_secs(10),
        request_timeout: Duration::from_secs(15),
        doubt_margin: Duration::from_secs(5),
        quiet_window: Duration::from_secs(900),
        min_probes: 20,
        status_lanes: 10,
        api_per_minute: 100,
        in_flight: 256,
        sources: Vec::new(),
    };
    Sender::start(dependencies, options, life.tasks(), stopped)
}
