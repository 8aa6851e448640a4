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
use kernel::ids::{ApiKeyId, ConnectionId, ContactId, ConversationId, MessageId, WorkspaceId};
use kernel::{Clock, ManualClock, PhoneNumberId, UserId, WaId, WabaId};
use messaging::{Broker, BrokerOptions, Topology};
use relay::Relay;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use service::{Auth, KeyStore, Life, Role, StoredKey, auth};
use storage::connections::{self, Limits, NewConnection};
use storage::contacts::Sighting;
use storage::conversations::{self, Growth};
use storage::messages::{self, Direction, NewMessage};
use storage::{Database, workspaces};
use testkit::TestDatabase;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

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

    /// Somebody with this number writes so many messages; nobody of ours has answered.
    pub(crate) async fn thread(&self, number: &str, messages: i64) -> Thread {
        let contact = self.writes(number).await;
        let connection = self.connection().await;
        let mut conn = self.db.database().connection().await.unwrap();
        let growth = Growth {
            workspace_id: self.home,
            connection_id: connection,
            contact_id: contact,
            messages,
            customer_wrote_at: Some(start()),
            campaign_message: None,
        };
        let grown = conversations::grow(&mut conn, vec![growth], start()).await.unwrap().remove(0);
        let rows: Vec<NewMessage> = (1..=messages)
            .map(|sequence| NewMessage {
                id: MessageId::new(),
                workspace_id: self.home,
                connection_id: connection,
                conversation_id: grown.id,
                contact_id: contact,
                sequence,
                direction: Direction::Inbound,
                kind: "text".into(),
                wamid: None,
                body: Some(format!("message {sequence}")),
                raw: Some(b"{}".as_slice().into()),
                said_at: Some(start()),
            })
            .collect();
        let ids = rows.iter().map(|row| row.id).collect();
        messages::insert(&mut conn, rows, start()).await.unwrap();
        let id = grown.id.as_uuid();
        self.db
            .execute(&format!("UPDATE conversations SET bot_sequence = 0 WHERE id = '{id}'"))
            .await
            .unwrap();
        Thread { contact, connection, conversation: grown.id, messages: ids }
    }

    /// A campaign whose messages are those of the thread, in these states; answers with its id.
    pub(crate) async fn campaign(&self, thread: &Thread, states: &[&str]) -> Uuid {
        let (id, workspace) = (Uuid::now_v7(), self.home.as_uuid());
        let (connection, contact) = (thread.connection.as_uuid(), thread.contact.as_uuid());
        let conversation = thread.conversation.as_uuid();
        let number = format!("(SELECT wa_id FROM contacts WHERE id = '{contact}')");
        let mut sql = vec![
            format!(
                "INSERT INTO campaigns (id, workspace_id, connection_id, name, status, template, audience, \
                 on_uncertain, created_by, created_at, updated_at) VALUES ('{id}', '{workspace}', \
                 '{connection}', 'Sale', 'running', '{{}}', '{{}}', 'hold', 'test', now(), now())"
            ),
            format!(
                "INSERT INTO campaign_recipients (campaign_id, n, id, chunk, contact_id, recipient_kind, \
                 recipient, params) VALUES ('{id}', 1, '{}', 1, '{contact}', 'number', {number}, '[\"Lena\"]')",
                thread.messages[0].as_uuid()
            ),
            format!(
                "INSERT INTO campaign_uploads (campaign_id, line, wa_id, name) \
                 SELECT '{id}', 1, wa_id, name FROM contacts WHERE id = '{contact}'"
            ),
        ];
        for (message, state) in thread.messages.iter().zip(states) {
            let (message, is_counted) =
                (message.as_uuid(), matches!(*state, "accepted" | "failed" | "unknown"));
            sql.push(format!(
                "INSERT INTO outbound_messages (id, workspace_id, connection_id, conversation_id, dedupe_key, \
                 recipient_kind, recipient, source, on_doubt, state, content, created_at, campaign_id, \
                 error_code) VALUES ('{message}', '{workspace}', '{connection}', '{conversation}', \
                 'c:{message}', 'number', {number}, 'campaign', 'hold', '{state}', 'Hi Lena', now(), '{id}', \
                 CASE '{state}' WHEN 'failed' THEN 131026 END)"
            ));
            if is_counted {
                let cell = match *state {
                    "failed" => "'failed', '131026'",
                    "unknown" => "'uncertain', ''",
                    _ => "'accepted', ''",
                };
                sql.push(format!("INSERT INTO campaign_counts VALUES ('{id}', {cell}, 1)"));
            }
        }
        for statement in sql {
            self.db.execute(&statement).await.unwrap();
        }
        id
    }

    async fn connection(&self) -> ConnectionId {
        let mut conn = self.db.database().connection().await.unwrap();
        let all = connections::list(&mut conn, self.home, None, 1).await.unwrap();
        if let Some(connection) = all.first() {
            return connection.id();
        }
        let new = NewConnection {
            id: ConnectionId::new(),
            workspace_id: self.home,
            name: "Main".into(),
            phone_number_id: PhoneNumberId::new("290184457761305"),
            waba_id: WabaId::new("104996122399160"),
            display_phone_number: None,
            access_token_sealed: vec![1],
            limits: Limits::default(),
        };
        connections::insert(&mut conn, new, start()).await.unwrap().id()
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

/// What somebody wrote.
pub(crate) struct Thread {
    pub(crate) contact: ContactId,
    pub(crate) connection: ConnectionId,
    pub(crate) conversation: ConversationId,
    pub(crate) messages: Vec<MessageId>,
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
