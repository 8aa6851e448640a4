//! Two workspaces with keys, a clock that stands still, and the API around them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::to_bytes;
use actix_web::http::Method;
use actix_web::http::header::AUTHORIZATION;
use actix_web::test::{TestRequest, init_service, try_call_service};
use actix_web::web::{Data, ServiceConfig};
use chrono::{DateTime, Utc};
use conversations::State;
use coordination::{Coordination, Limiter};
use futures_util::future::BoxFuture;
use kernel::ManualClock;
use kernel::ids::{ApiKeyId, WorkspaceId};
use messaging::{Broker, BrokerOptions, Topology};
use relay::Relay;
use secrecy::{ExposeSecret, SecretString};
use sending::{Sender, SenderDependencies, SenderOptions};
use serde_json::{Value, json};
use service::{Auth, KeyStore, Role, StoredKey, auth};
use storage::sealed::Sealer;
use storage::workspaces;
use testkit::{Servers, TestDatabase, unique_name};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use whatsapp::graph::{GraphClient, GraphOptions};

/// Where every test's clock stands at first.
pub(crate) const START: &str = "2026-11-22T10:00:00Z";

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// Admin of the workspace whose data is looked at.
    Admin,
    /// Viewer of the same.
    Viewer,
    /// Admin of another workspace.
    Stranger,
    /// Has no key.
    Nobody,
}

pub(crate) struct World {
    pub(crate) db: TestDatabase,
    pub(crate) clock: Arc<ManualClock>,
    /// The workspace of [`Who::Admin`] and [`Who::Viewer`].
    pub(crate) home: WorkspaceId,
    keys: HashMap<Who, SecretString>,
    auth: Data<Auth>,
    pub(crate) state: Data<State>,
}

struct Keys(HashMap<ApiKeyId, StoredKey>);

impl KeyStore for Keys {
    fn find(&self, id: ApiKeyId) -> BoxFuture<'_, anyhow::Result<Option<StoredKey>>> {
        let found = self.0.get(&id).copied();
        Box::pin(async move { Ok(found) })
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let db = TestDatabase::create().await.unwrap();
        let clock = Arc::new(ManualClock::new(start()));
        let mut conn = db.database().connection().await.unwrap();
        let home = workspaces::ensure(&mut conn, "Acme", start()).await.unwrap();
        let other = workspaces::ensure(&mut conn, "Other", start()).await.unwrap();
        drop(conn);
        let mut keys = HashMap::new();
        let mut stored = HashMap::new();
        let people = [
            (Who::Admin, home, Role::Admin),
            (Who::Viewer, home, Role::Viewer),
            (Who::Stranger, other, Role::Admin),
        ];
        for (who, workspace, role) in people {
            let minted = auth::mint();
            let secret_sha256 = minted.secret_sha256;
            let key =
                StoredKey { workspace, role, secret_sha256, expires_at: None, revoked_at: None };
            stored.insert(minted.id, key);
            keys.insert(who, minted.text);
        }
        let auth = Auth::new(Arc::new(Keys(stored)), Arc::<ManualClock>::clone(&clock));
        let state = idle_state(&db, &clock).await;
        Self { db, clock, home, keys, auth: Data::new(auth), state: Data::new(state) }
    }

    /// Calls the API; the answer to a request that names no id of its own carries a fixed one.
    pub(crate) async fn call(&self, who: Who, request: TestRequest) -> Answer {
        let routes = |config: &mut ServiceConfig| {
            config.app_data(self.auth.clone()).app_data(self.state.clone());
            conversations::routes(config);
        };
        let app = init_service(service::app(&routes)).await;
        let mut request = request.insert_header(("request-id", "req_0123456789"));
        if let Some(key) = self.keys.get(&who) {
            let bearer = format!("Bearer {}", key.expose_secret());
            request = request.insert_header((AUTHORIZATION, bearer));
        }
        let response = match try_call_service(&app, request.to_request()).await {
            Ok(response) => response.into_parts().1,
            Err(error) => error.error_response(),
        };
        let status = response.status().as_u16();
        let mut headers: Vec<(String, String)> = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        headers.sort();
        let body = to_bytes(response.into_body()).await.unwrap_or_default();
        Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// Sends `body` in a request that is known by `key`.
    pub(crate) async fn keyed(&self, who: Who, uri: &str, key: &str, body: &Value) -> Answer {
        let request = TestRequest::post().uri(uri).insert_header(("idempotency-key", key));
        self.call(who, request.set_json(body)).await
    }

    pub(crate) async fn count(&self, what: &str) -> i64 {
        self.db.count(&format!("SELECT count(*) AS count FROM {what}")).await.unwrap()
    }

    pub(crate) fn limiter(&self) -> &Limiter {
        &self.state.limiter
    }

    pub(crate) async fn get(&self, who: Who, uri: &str) -> Answer {
        self.call(who, TestRequest::get().uri(uri)).await
    }

    /// Sends `body` as JSON in a request with a key of its own; `null` sends none.
    pub(crate) async fn send(&self, who: Who, method: Method, uri: &str, body: &Value) -> Answer {
        let key = ("idempotency-key", unique_name());
        let request = TestRequest::default().method(method).uri(uri).insert_header(key);
        self.call(who, if body.is_null() { request } else { request.set_json(body) }).await
    }

    pub(crate) async fn post(&self, who: Who, uri: &str, body: &Value) -> Answer {
        self.send(who, Method::POST, uri, body).await
    }

    /// Connects the number of [`connection_body`]; answers with the connection's id.
    pub(crate) async fn connect(&self, who: Who) -> String {
        let made = self.post(who, "/v1/connections", &connection_body()).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.json()["id"].as_str().unwrap().to_owned()
    }
}

/// What handlers work with, where nothing is sent and nothing is published: both have stopped.
async fn idle_state(db: &TestDatabase, clock: &Arc<ManualClock>) -> State {
    let servers = Servers::from_env();
    let (tasks, stopped) = (TaskTracker::new(), CancellationToken::new());
    stopped.cancel();
    let namespace = unique_name();
    let connecting = Coordination::connect(&servers.redis_url, &namespace, tasks.clone());
    let limiter = connecting.await.unwrap().limiter().clone();
    let options = BrokerOptions::new(&servers.amqp_url, Topology::default(), "test").unwrap();
    let broker = Broker::start(options, tasks.clone(), stopped.clone());
    let (db, clock) = (db.database().clone(), Arc::<ManualClock>::clone(clock));
    let (publisher, now) = (broker.publisher(), Arc::<ManualClock>::clone(&clock));
    let relay = Relay::start(db.clone(), publisher, now, &tasks, stopped.clone());
    let sealer = Sealer::new(&testkit::master_key()).unwrap();
    let nowhere = "http://127.0.0.1:1".parse().unwrap();
    let dependencies = SenderDependencies {
        db: db.clone(),
        sealer: sealer.clone(),
        limiter: limiter.clone(),
        graph: Arc::new(GraphClient::new(&GraphOptions::new(nowhere)).unwrap()),
        relay: relay.clone(),
        clock: Arc::<ManualClock>::clone(&clock),
    };
    let sender = Sender::start(dependencies, no_work(), &tasks, stopped);
    let limits = settings::Limits::default();
    State { db, sealer, clock, limits, limiter, sender, relay }
}

fn no_work() -> SenderOptions {
    SenderOptions {
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
    }
}

pub(crate) fn start() -> DateTime<Utc> {
    START.parse().unwrap()
}

/// A connection as checks outside this repository make it.
pub(crate) fn connection_body() -> Value {
    json!({
        "name": "Main",
        "phone_number_id": "290184457761305",
        "waba_id": "104996122399160",
        "display_phone_number": "+493055501200",
        "access_token": "EAAG-first-token",
        "limits": { "whatsapp_api_per_minute": 6000, "webhook_per_minute": 100_000 },
    })
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Fails the test, telling `what` was called, unless status and code are these.
    pub(crate) fn assert(&self, status: u16, code: Option<&str>, what: &str) {
        let body = self.json();
        assert_eq!((self.status, body["code"].as_str()), (status, code), "{what}");
    }

    /// The things on a page.
    pub(crate) fn data(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.body);
        self.json()["data"].as_array().unwrap().clone()
    }

    /// The ids of the things on a page.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.data().iter().map(|thing| thing["id"].as_str().unwrap().to_owned()).collect()
    }

    /// As a snapshot keeps it.
    pub(crate) fn shown(&self) -> String {
        let mut shown = format!("{}\n", self.status);
        for (name, value) in &self.headers {
            shown.push_str(&format!("{name}: {value}\n"));
        }
        without_ids(&format!("{shown}\n{:#}", self.json()))
    }
}

/// Writes `cnx_…` for every id.
fn without_ids(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('_') {
        shown.push_str(before);
        shown.push('_');
        let is_id = after.get(..32).is_some_and(|id| id.bytes().all(|b| b.is_ascii_hexdigit()));
        rest = if is_id { after.split_at(32).1 } else { after };
        shown.push_str(if is_id { "…" } else { "" });
    }
    shown + rest
}
