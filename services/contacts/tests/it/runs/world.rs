//! Two workspaces, a folder for files, and processes that share servers; dropping one kills it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::to_bytes;
use actix_web::http::Method;
use actix_web::test::{TestRequest, init_service, try_call_service};
use actix_web::web::{Data, ServiceConfig};
use contacts::{Contacts, Dependencies};
use coordination::{Coordination, LockClass, LockName, Locks};
use futures_util::future::BoxFuture;
use kernel::ids::{ApiKeyId, WorkspaceId};
use kernel::{Clock, SystemClock};
use messaging::{Broker, BrokerOptions, Family, Topology};
use relay::Relay;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use service::{Auth, KeyStore, Life, Role, StoredKey, auth};
use storage::{Database, DatabaseOptions, workspaces};
use testkit::{Servers, TestDatabase, eventually_within, unique_name};
use tokio::runtime::Runtime;

/// Long enough for a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Home(Role),
    Stranger,
    Nobody,
}

pub(crate) const MARKETER: Who = Who::Home(Role::Marketer);

pub(crate) struct World {
    pub(crate) db: TestDatabase,
    pub(crate) home: WorkspaceId,
    pub(crate) folder: tempfile::TempDir,
    topology: Topology,
    namespace: String,
    keys: HashMap<Who, SecretString>,
    stored: Arc<HashMap<ApiKeyId, StoredKey>>,
}

/// A process of its own runtime; dropping it kills it.
pub(crate) struct Process {
    runtime: Option<Runtime>,
    contacts: Contacts,
    pub(crate) locks: Locks,
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Keys(Arc<HashMap<ApiKeyId, StoredKey>>);

impl KeyStore for Keys {
    fn find(&self, id: ApiKeyId) -> BoxFuture<'_, anyhow::Result<Option<StoredKey>>> {
        let found = self.0.get(&id).copied();
        Box::pin(async move { Ok(found) })
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let db = TestDatabase::create().await.unwrap();
        let mut conn = db.database().connection().await.unwrap();
        let now = SystemClock.now();
        let home = workspaces::ensure(&mut conn, "Acme", now).await.unwrap();
        let other = workspaces::ensure(&mut conn, "Other", now).await.unwrap();
        drop(conn);
        let (mut keys, mut stored) = (HashMap::new(), HashMap::new());
        let people = Role::ALL.map(|role| (Who::Home(role), home, role)).into_iter();
        for (who, workspace, role) in people.chain([(Who::Stranger, other, Role::Admin)]) {
            let minted = auth::mint();
            let secret_sha256 = minted.secret_sha256;
            let key =
                StoredKey { workspace, role, secret_sha256, expires_at: None, revoked_at: None };
            stored.insert(minted.id, key);
            keys.insert(who, minted.text);
        }
        let topology = Topology::default()
            .with_prefix(format!("{}.", unique_name()))
            .with_families(vec![Family::Sync])
            .with_ladder(vec![Duration::from_millis(200)]);
        let folder = tempfile::tempdir().unwrap();
        let namespace = unique_name();
        Self { db, home, folder, topology, namespace, keys, stored: Arc::new(stored) }
    }

    /// Removes what the processes declared.
    pub(crate) async fn end(self, processes: Vec<Process>) {
        drop(processes);
        Broker::delete_topology(&self.broker_options()).await.unwrap();
    }

    fn broker_options(&self) -> BrokerOptions {
        let url = Servers::from_env().amqp_url;
        BrokerOptions::new(&url, self.topology.clone(), "test").unwrap()
    }

    pub(crate) async fn process(&self) -> Process {
        let runtime = Runtime::new().unwrap();
        let (url, namespace) = (self.db.url().to_owned(), self.namespace.clone());
        let (broker, folder) = (self.broker_options(), self.folder.path().to_owned());
        let started = runtime.spawn(async move {
            let life = Life::default();
            let options = DatabaseOptions { url, pool_size: 6, wait: Duration::from_secs(10) };
            let db = Database::new(options).unwrap();
            let broker = Broker::start(broker, life.tasks().clone(), life.stopping());
            broker.wait_ready(Duration::from_secs(20)).await.unwrap();
            let (tasks, redis) = (life.tasks().clone(), Servers::from_env().redis_url);
            let coordination = Coordination::connect(&redis, &namespace, tasks).await.unwrap();
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let (tasks, stop) = (life.tasks(), life.stopping());
            let relay =
                Relay::start(db.clone(), broker.publisher(), Arc::clone(&clock), tasks, stop);
            let locks = short(coordination.locks());
            let dependencies = Dependencies {
                db,
                broker,
                locks: locks.clone(),
                relay,
                clock,
                files: settings(folder),
            };
            (contacts::start(&life, dependencies), locks, life, coordination)
        });
        let (contacts, locks, life, coordination) = started.await.unwrap();
        // The process lives as long as somebody may stop it.
        runtime.spawn(async move {
            life.stopping().cancelled().await;
            drop(coordination);
        });
        Process { runtime: Some(runtime), contacts, locks }
    }

    pub(crate) async fn count(&self, what: &str) -> i64 {
        self.db.count(&format!("SELECT count(*) AS count FROM {what}")).await.unwrap()
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.db.execute(sql).await.unwrap();
    }

    /// Somebody who is known: number, name and tags.
    pub(crate) async fn known(&self, number: &str, name: &str, tags: &str, attributes: &str) {
        let workspace = self.home.as_uuid();
        self.execute(&format!(
            "INSERT INTO contacts (id, workspace_id, wa_id, name, source, tags, attributes, created_at, \
             updated_at) VALUES (gen_random_uuid(), '{workspace}', '{number}', nullif('{name}', ''), \
             'webhook', '{tags}', '{attributes}', '2026-01-01', '2026-01-01')"
        ))
        .await;
    }

    /// A contact in few words: name, tags, attributes and source.
    pub(crate) async fn contact(&self, number: &str) -> String {
        let sql = format!(
            "SELECT coalesce(name, '-') || ' ' || tags::text || ' ' || attributes::text || ' ' || source \
             AS text FROM contacts WHERE wa_id = '{number}'"
        );
        self.db.text(&sql).await.unwrap()
    }

    pub(crate) async fn get(&self, process: &Process, path: &str) -> Answer {
        self.call(process, MARKETER, TestRequest::get().uri(path)).await
    }

    pub(crate) async fn post(&self, process: &Process, path: &str, body: &Value) -> Answer {
        self.call(process, MARKETER, TestRequest::post().uri(path).set_json(body)).await
    }

    /// Sends a file as somebody.
    pub(crate) async fn upload_as(
        &self,
        process: &Process,
        who: Who,
        file: &[u8],
        options: &Value,
    ) -> Answer {
        let boundary = "XXboundaryXX";
        let mut body = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"people.csv\"\r\n\
             Content-Type: text/csv\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(file);
        let rest = format!(
            "\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"options\"\r\n\r\n{options}\
             \r\n--{boundary}--\r\n"
        );
        body.extend_from_slice(rest.as_bytes());
        let kind = ("content-type", format!("multipart/form-data; boundary={boundary}"));
        let request = TestRequest::default().method(Method::POST).uri("/v1/contact-imports");
        self.call(process, who, request.insert_header(kind).set_payload(body)).await
    }

    /// Sends a file; answers with the import's path.
    pub(crate) async fn upload(&self, process: &Process, file: &[u8], options: &Value) -> String {
        let answer = self.upload_as(process, MARKETER, file, options).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        answer.header("location").to_owned()
    }

    /// Imports a file to its end.
    pub(crate) async fn import(&self, process: &Process, file: &str, options: &Value) -> Value {
        let path = self.upload(process, file.as_bytes(), options).await;
        self.over(process, &path).await
    }

    /// Exports to the end.
    pub(crate) async fn export(&self, process: &Process, body: &Value) -> Value {
        let answer = self.post(process, "/v1/contact-exports", body).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        self.over(process, answer.header("location")).await
    }

    /// Waits until an import or an export is over.
    pub(crate) async fn over(&self, process: &Process, path: &str) -> Value {
        eventually_within(PATIENCE, "it is over", async || {
            let shown = self.get(process, path).await.body;
            let status = shown["status"].as_str()?;
            (!matches!(status, "queued" | "running" | "writing")).then_some(shown)
        })
        .await
    }

    pub(crate) async fn call(&self, process: &Process, who: Who, request: TestRequest) -> Answer {
        let (contacts, stored) = (process.contacts.clone(), Arc::clone(&self.stored));
        let routes = move |config: &mut ServiceConfig| {
            let store = Arc::new(Keys(Arc::clone(&stored)));
            config.app_data(Data::new(Auth::new(store, Arc::new(SystemClock))));
            contacts.routes(config);
        };
        let app = init_service(service::app(&routes)).await;
        let mut request = request;
        if let Some(key) = self.keys.get(&who) {
            let bearer = format!("Bearer {}", key.expose_secret());
            request = request.insert_header(("authorization", bearer));
        }
        let response = match try_call_service(&app, request.to_request()).await {
            Ok(response) => response.into_parts().1,
            Err(error) => error.error_response(),
        };
        let status = response.status().as_u16();
        let shown = ["location", "content-type", "content-disposition"].into_iter();
        let headers = shown.filter_map(|name| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some((name, value.to_owned()))
        });
        let headers = headers.collect();
        let bytes = to_bytes(response.into_body()).await.unwrap_or_default().to_vec();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status, headers, body, text: String::from_utf8_lossy(&bytes).into_owned(), bytes }
    }

    /// Takes the workspace's lock of this class, so that nobody works until it is given back.
    pub(crate) async fn hold(&self, process: &Process, name: LockName) -> coordination::BatchGuard {
        process.locks.lock_for(name, Duration::from_secs(10)).await.unwrap().unwrap()
    }

    /// Deletes the workspace's locks from Redis, as if they had run out.
    pub(crate) async fn forget_locks(&self) {
        let redis = redis::Client::open(Servers::from_env().redis_url).unwrap();
        let mut redis = redis.get_multiplexed_async_connection().await.unwrap();
        let pattern = format!("*{}*contact_*", self.namespace);
        let keys: Vec<String> =
            redis::cmd("KEYS").arg(pattern).query_async(&mut redis).await.unwrap();
        for key in keys {
            redis::cmd("DEL").arg(key).exec_async(&mut redis).await.unwrap();
        }
    }

    /// The files below a folder of the file store.
    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let Ok(found) = std::fs::read_dir(self.folder.path().join(folder)) else {
            return Vec::new();
        };
        found.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(&'static str, String)>,
    pub(crate) body: Value,
    pub(crate) text: String,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// Status and, of a problem, its code.
    pub(crate) fn outcome(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }
}

fn settings(folder: PathBuf) -> settings::Files {
    let folder = folder.to_str().unwrap().to_owned();
    settings::Files { folder, most_import_bytes: 64 << 20, ..settings::Files::default() }
}

/// A dead process keeps its locks for two seconds, not for minutes.
fn short(locks: &Locks) -> Locks {
    let (ttl, hold) = (Duration::from_secs(2), Some(Duration::from_secs(600)));
    locks.clone().with_times(LockClass::ContactImport, ttl, hold).with_times(
        LockClass::ContactExport,
        ttl,
        hold,
    )
}

/// A file of `count` people with different numbers.
pub(crate) fn many(count: usize) -> String {
    let mut file = String::from("phone,name,city\n");
    for n in 0..count {
        file.push_str(&format!("+49155{n:08},Person {n},Berlin\n"));
    }
    file
}
