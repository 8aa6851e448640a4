//! Two workspaces with keys, locks and limits of their own, and the API around them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::to_bytes;
use actix_web::http::Method;
use actix_web::http::header::AUTHORIZATION;
use actix_web::test::{TestRequest, init_service, try_call_service};
use actix_web::web::{Data, ServiceConfig};
use console::{Dependencies, Desk};
use coordination::{BatchGuard, Coordination, LockName, Options, Patience};
use futures_util::future::BoxFuture;
use kernel::ids::{ApiKeyId, ConnectionId, WorkspaceId};
use kernel::{Clock, PhoneNumberId, SystemClock, WabaId};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use service::{Auth, KeyStore, Role, StoredKey, auth};
use storage::connections::{self, Limits, NewConnection};
use storage::workspaces;
use testkit::{Servers, TestDatabase, unique_name};
use tokio_util::task::TaskTracker;

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// Admin of the workspace whose things are looked at.
    Admin,
    /// Operator of the same.
    Operator,
    /// Viewer of the same.
    Viewer,
    /// Marketer of the same: has no `ops:read`.
    Marketer,
    /// Admin of another workspace.
    Stranger,
    /// Has no key.
    Nobody,
}

pub(crate) struct World {
    pub(crate) db: TestDatabase,
    pub(crate) coordination: Coordination,
    pub(crate) desk: Desk,
    /// A connection of the workspace of [`Who::Admin`].
    pub(crate) connection: ConnectionId,
    /// A connection of the workspace of [`Who::Stranger`].
    pub(crate) foreign: ConnectionId,
    pub(crate) home: WorkspaceId,
    keys: HashMap<Who, SecretString>,
    auth: Data<Auth>,
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
        let now = SystemClock.now();
        let mut conn = db.database().connection().await.unwrap();
        let home = workspaces::ensure(&mut conn, "Acme", now).await.unwrap();
        let other = workspaces::ensure(&mut conn, "Other", now).await.unwrap();
        drop(conn);
        let mut options = Options::new(&Servers::from_env().redis_url, &unique_name());
        options.label = "conversations@pod-1/17".to_owned();
        let coordination = Coordination::start(options, TaskTracker::new()).await.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let desk = console::start(Dependencies {
            db: db.database().clone(),
            coordination: coordination.clone(),
            limits: settings::Limits::default(),
            clock: Arc::clone(&clock),
        });
        let people = [
            (Who::Admin, home, Role::Admin),
            (Who::Operator, home, Role::Operator),
            (Who::Viewer, home, Role::Viewer),
            (Who::Marketer, home, Role::Marketer),
            (Who::Stranger, other, Role::Admin),
        ];
        let (mut keys, mut stored) = (HashMap::new(), HashMap::new());
        for (who, workspace, role) in people {
            let minted = auth::mint();
            let secret_sha256 = minted.secret_sha256;
            let key =
                StoredKey { workspace, role, secret_sha256, expires_at: None, revoked_at: None };
            stored.insert(minted.id, key);
            keys.insert(who, minted.text);
        }
        let auth = Data::new(Auth::new(Arc::new(Keys(stored)), clock));
        let connection = connect(&db, home, "Main", "290184457761305", None).await;
        let foreign = connect(&db, other, "Theirs", "290184457761306", None).await;
        Self { db, coordination, desk, connection, foreign, home, keys, auth }
    }

    /// Another connection of the home workspace, with a limit of its own.
    pub(crate) async fn connect_at(&self, per_minute: i32) -> ConnectionId {
        connect(&self.db, self.home, "Fast", "290184457761307", Some(per_minute)).await
    }

    pub(crate) async fn hold(&self, name: LockName) -> BatchGuard {
        let guard = self.coordination.locks().lock_many([name], Patience::None).await.unwrap();
        assert!(guard.busy().is_empty());
        guard
    }

    pub(crate) async fn call(&self, who: Who, request: TestRequest) -> Answer {
        let routes = |config: &mut ServiceConfig| {
            config.app_data(self.auth.clone()).app_data(Data::new(self.desk.clone()));
            console::routes(config);
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
        let header =
            |name: &str| response.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
        let etag = header("etag");
        let body = to_bytes(response.into_body()).await.unwrap_or_default();
        Answer { status, etag, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub(crate) async fn get(&self, who: Who, uri: &str) -> Answer {
        self.call(who, TestRequest::get().uri(uri)).await
    }

    /// Sends `body` as JSON; `null` sends none.
    pub(crate) async fn send(&self, who: Who, method: Method, uri: &str, body: &Value) -> Answer {
        let request = TestRequest::default().method(method).uri(uri);
        self.call(who, if body.is_null() { request } else { request.set_json(body) }).await
    }

    pub(crate) async fn count(&self, what: &str) -> i64 {
        self.db.count(&format!("SELECT count(*) AS count FROM {what}")).await.unwrap()
    }
}

async fn connect(
    db: &TestDatabase,
    workspace: WorkspaceId,
    name: &str,
    number: &str,
    per_minute: Option<i32>,
) -> ConnectionId {
    let mut conn = db.database().connection().await.unwrap();
    let new = NewConnection {
        id: ConnectionId::new(),
        workspace_id: workspace,
        name: name.to_owned(),
        phone_number_id: PhoneNumberId::new(number),
        waba_id: WabaId::new("104996122399160"),
        display_phone_number: None,
        access_token_sealed: vec![1],
        limits: Limits { whatsapp_api_per_minute: per_minute, ..Limits::default() },
    };
    connections::insert(&mut conn, new, SystemClock.now()).await.unwrap().id()
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) etag: Option<String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Fails the test, telling `what` was called, unless status and code are these.
    pub(crate) fn assert(&self, status: u16, code: Option<&str>, what: &str) {
        let body = self.json();
        assert_eq!((self.status, body["code"].as_str()), (status, code), "{what}: {body:#}");
    }

    /// What is on a page.
    pub(crate) fn data(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.body);
        self.json()["data"].as_array().unwrap().clone()
    }
}

/// Waits until somebody waits for a lock of whoever holds one.
pub(crate) async fn until_waiting(world: &World, uri: &str) {
    testkit::eventually_within(Duration::from_secs(10), "somebody waits", async || {
        let held = world.get(Who::Admin, uri).await.json();
        (held["waiters"] == 1).then_some(())
    })
    .await;
}
