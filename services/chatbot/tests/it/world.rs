//! A workspace with a connection and customers who write, in a database of its own.

use chrono::{DateTime, TimeDelta, Utc};
use contracts::names::event::MESSAGE_RECEIVED;
use diesel_async::AsyncConnection;
use kernel::ids::{BotId, ConnectionId, MessageId, WorkspaceId};
use kernel::{Clock, PhoneNumberId, SystemClock, UserId, WaId, WabaId};
use storage::connections::{self, Limits, NewConnection};
use storage::contacts::{self, Sighting};
use storage::conversations::{self, Growth};
use storage::events::{self, Event, Happened};
use storage::messages::{self, Direction, NewMessage};
use storage::{StorageError, workspaces};
use testkit::{TestDatabase, unique_name};

pub(crate) struct World {
    pub(crate) db: TestDatabase,
    pub(crate) workspace: WorkspaceId,
    pub(crate) connection: ConnectionId,
}

/// What a customer says.
#[derive(Clone, Copy)]
pub(crate) struct Said<'a> {
    pub(crate) kind: &'a str,
    pub(crate) text: &'a str,
    pub(crate) age: TimeDelta,
}

/// Just now, as text.
pub(crate) fn text(text: &str) -> Said<'_> {
    Said { kind: "text", text, age: TimeDelta::zero() }
}

/// A customer known by number.
pub(crate) fn number(number: &str) -> (Option<WaId>, Option<UserId>) {
    (Some(WaId::new(number)), None)
}

impl World {
    pub(crate) async fn new() -> Self {
        let db = TestDatabase::create().await.unwrap();
        let mut conn = db.database().connection().await.unwrap();
        let workspace = workspaces::ensure(&mut conn, "Acme", now()).await.unwrap();
        drop(conn);
        let connection = connect(&db, workspace).await;
        Self { db, workspace, connection }
    }

    /// Another workspace of the same installation, with a connection.
    pub(crate) async fn neighbour(&self) -> (WorkspaceId, ConnectionId) {
        let mut conn = self.db.database().connection().await.unwrap();
        let workspace = workspaces::ensure(&mut conn, "Neighbour", now()).await.unwrap();
        drop(conn);
        (workspace, connect(&self.db, workspace).await)
    }

    /// Another connection of the workspace.
    pub(crate) async fn another_connection(&self) -> ConnectionId {
        connect(&self.db, self.workspace).await
    }

    /// A bot on the world's connection; a rule is kind, value and reply.
    pub(crate) async fn bot(&self, rules: &[(&str, &str, &str)]) -> BotId {
        let bot = BotId::new();
        let (id, workspace) = (bot.as_uuid(), self.workspace.as_uuid());
        self.db
            .execute(&format!(
                "INSERT INTO bots (id, workspace_id, name, created_at, updated_at) \
                 VALUES ('{id}', '{workspace}', 'Echo', now(), now())"
            ))
            .await
            .unwrap();
        let connection = self.connection.as_uuid();
        self.db
            .execute(&format!("INSERT INTO bot_connections VALUES ('{connection}', '{id}')"))
            .await
            .unwrap();
        for (position, (kind, value, reply)) in (1..).zip(rules) {
            self.db
                .execute(&format!(
                    "INSERT INTO bot_rules VALUES (gen_random_uuid(), '{id}', {position}, '{kind}', \
                     '{value}', '{reply}', now(), now())"
                ))
                .await
                .unwrap();
        }
        bot
    }

    /// Stores what a customer said, as `conversations` does, and returns the events it published.
    pub(crate) async fn say(
        &self,
        (wa_id, user_id): (Option<WaId>, Option<UserId>),
        said: &[Said<'_>],
    ) -> Vec<Event> {
        let sighting =
            Sighting { workspace_id: self.workspace, wa_id, user_id, name: Some("Ada".into()) };
        let mut conn = self.db.database().connection().await.unwrap();
        (*conn)
            .transaction(async |tx| {
                let contact = contacts::resolve(tx, &[sighting], now()).await?[0].id;
                let growth = Growth {
                    workspace_id: self.workspace,
                    connection_id: self.connection,
                    contact_id: contact,
                    messages: i64::try_from(said.len()).unwrap(),
                    customer_wrote_at: Some(now()),
                    campaign_message: None,
                };
                let grown = conversations::grow(tx, vec![growth.clone()], now()).await?.remove(0);
                let first = grown.last_sequence - growth.messages + 1;
                let rows: Vec<NewMessage> = (first..)
                    .zip(said)
                    .map(|(sequence, said)| NewMessage {
                        id: MessageId::new(),
                        workspace_id: self.workspace,
                        connection_id: self.connection,
                        conversation_id: grown.id,
                        contact_id: contact,
                        sequence,
                        direction: Direction::Inbound,
                        kind: said.kind.to_owned(),
                        wamid: None,
                        body: Some(said.text.to_owned()),
                        raw: None,
                        said_at: Some(now() - said.age),
                    })
                    .collect();
                let events: Vec<Event> = rows.iter().map(received).collect();
                messages::insert(tx, rows, now()).await?;
                events::append(tx, &events, now()).await?;
                Ok::<_, StorageError>(events)
            })
            .await
            .unwrap()
    }

    pub(crate) async fn count(&self, what: &str) -> i64 {
        self.db.count(&format!("SELECT count(*) AS count FROM {what}")).await.unwrap()
    }

    /// Waits until `what` has `count` rows.
    pub(crate) async fn until(&self, count: i64, what: &str) {
        testkit::eventually(&format!("{count} of {what}"), async || {
            (self.count(what).await == count).then_some(())
        })
        .await;
    }
}

fn received(row: &NewMessage) -> Event {
    let happened = Happened {
        workspace_id: row.workspace_id,
        event_type: MESSAGE_RECEIVED,
        connection_id: row.connection_id,
        contact_id: Some(row.contact_id),
        conversation_id: Some(row.conversation_id),
        message_id: Some(row.id),
        sequence: row.sequence,
        at: now(),
        detail: None,
        traceparent: None,
    };
    happened.into()
}

async fn connect(db: &TestDatabase, workspace: WorkspaceId) -> ConnectionId {
    let mut conn = db.database().connection().await.unwrap();
    let id = ConnectionId::new();
    let new = NewConnection {
        id,
        workspace_id: workspace,
        name: "Main".into(),
        phone_number_id: PhoneNumberId::new(unique_name()),
        waba_id: WabaId::new("104996122399160"),
        display_phone_number: None,
        access_token_sealed: vec![1],
        limits: Limits::default(),
    };
    connections::insert(&mut conn, new, now()).await.unwrap();
    id
}

pub(crate) fn now() -> DateTime<Utc> {
    SystemClock.now()
}
