//! Two workspaces with keys, a clock that stands still, and the API around them.

use std::collections::HashMap;
use std::sync::Arc;

use actix_web::body::to_bytes;
use actix_web::http::Method;
use actix_web::http::header::AUTHORIZATION;
use actix_web::test::{TestRequest, init_service, try_call_service};
use actix_web::web::{Data, ServiceConfig};
use chrono::{DateTime, Utc};
use contacts::{Contacts, Dependencies};
use coordination::{Coordination, MemoryServer};
use futures_util::future::BoxFuture;
use kernel::ids::{ApiKeyId, ContactId, WorkspaceId};
use kernel::{Clock, ManualClock, UserId, WaId};
use messaging::{Broker, BrokerOptions, Topology};
use relay::Relay;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use service::{Auth, KeyStore, Life, Role, StoredKey, auth};
use storage::contacts::Sighting;
use storage::{Database, workspaces};
use testkit::TestDatabase;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
    contacts: Contacts,
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
        let contacts = contacts::start(&standing_still(), idle(db.database(), &clock));
        Self { db, clock, home, keys, auth: Data::new(auth), contacts }
    }

    /// Calls the API; the answer to a request that names no id of its own carries a fixed one.
    pub(crate) async fn call(&self, who: Who, request: TestRequest) -> Answer {
        let routes = |config: &mut ServiceConfig| {
            config.app_data(self.auth.clone());
            self.contacts.routes(config);
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

    pub(crate) async fn get(&self, who: Who, uri: &str) -> Answer {
        self.call(who, TestRequest::get().uri(uri)).await
    }

    /// Sends `body` as JSON; `null` sends none.
    pub(crate) async fn send(&self, who: Who, method: Method, uri: &str, body: &Value) -> Answer {
        let request = TestRequest::default().method(method).uri(uri);
        self.call(who, if body.is_null() { request } else { request.set_json(body) }).await
    }

    pub(crate) async fn post(&self, who: Who, uri: &str, body: &Value) -> Answer {
        self.send(who, Method::POST, uri, body).await
    }

    /// Somebody with this number writes; answers with who that is now.
    pub(crate) async fn writes(&self, number: &str) -> ContactId {
        let mut conn = self.db.database().connection().await.unwrap();
        let person = Sighting {
            workspace_id: self.home,
            wa_id: Some(WaId::new(number)),
            user_id: Some(UserId::new(format!("DE.{number}"))),
            name: Some("Lena".into()),
        };
        let found = storage::contacts::resolve(&mut conn, &[person], start()).await;
        found.unwrap().remove(0).id
    }
}

/// A process whose workers have stopped.
fn standing_still() -> Life {
    let life = Life::default();
    life.stop();
    life
}

/// Dependencies of a service that only answers requests: what is to be told stays in the outbox.
fn idle(db: &Database, clock: &Arc<ManualClock>) -> Dependencies {
    let (tasks, stopped) = (TaskTracker::new(), CancellationToken::new());
    stopped.cancel();
    let options = BrokerOptions::new("amqp://127.0.0.1:1", Topology::default(), "test").unwrap();
    let broker = Broker::start(options, tasks.clone(), stopped.clone());
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
    let publisher = broker.publisher();
    let relay = Relay::start(db.clone(), publisher, Arc::clone(&clock), &tasks, stopped);
    let coordination = Coordination::in_memory(&MemoryServer::default(), tasks);
    Dependencies {
        db: db.clone(),
        broker,
        locks: coordination.locks().clone(),
        relay,
        clock,
        files: settings::Files::default(),
    }
}

pub(crate) fn start() -> DateTime<Utc> {
    START.parse().unwrap()
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
