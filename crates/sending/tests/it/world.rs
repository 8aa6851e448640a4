//! A workspace with connections, a sender that works for them, and Meta's double.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use coordination::Coordination;
use diesel_async::AsyncConnection;
use futures_util::FutureExt;
use graph_simulator::{Simulator, SimulatorOptions};
use kernel::ids::{CampaignId, ConnectionId, ConversationId, MessageId, WorkspaceId};
use kernel::{Clock, PhoneNumberId, SystemClock, WaId, WabaId};
use messaging::{Broker, BrokerOptions, Family, Topology};
use relay::Relay;
use secrecy::SecretString;
use sending::{Content, Sender, SenderDependencies, SenderOptions};
use storage::campaigns::standing::{self, By, Moved};
use storage::campaigns::{self, Numbers};
use storage::connections::{self, Limits, NewConnection};
use storage::sealed::{Column, Sealer};
use storage::send_ledger::{self, NewOutbound, OnDoubt, Recipient, Source};
use storage::{StorageError, workspaces};
use testkit::{Servers, TestDatabase, master_key, unique_name};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use whatsapp::graph::{GraphClient, GraphOptions};

pub(crate) struct World {
    pub(crate) db: TestDatabase,
    pub(crate) workspace: WorkspaceId,
    pub(crate) connection: ConnectionId,
    pub(crate) meta: Simulator,
    pub(crate) sender: Sender,
    stop: CancellationToken,
}

/// What differs between tests.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    /// R1 of the connection.
    pub(crate) per_minute: u32,
    /// How long after its claim an attempt may leave.
    pub(crate) attempt_deadline: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self { per_minute: 60_000, attempt_deadline: Duration::from_secs(10) }
    }
}

/// Runs `test`, then stops the sender and removes what it declared, whatever happened.
pub(crate) async fn with_sender(setup: Setup, test: impl AsyncFnOnce(&World)) {
    let servers = Servers::from_env();
    let (tasks, stop, stop_broker) =
        (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
    let topology = Topology::default()
        .with_prefix(format!("{}.", unique_name()))
        .with_families(vec![Family::Chatbots])
        .with_ladder(vec![Duration::from_millis(200)]);
    let options = || BrokerOptions::new(&servers.amqp_url, topology.clone(), "test").unwrap();
    let broker = Broker::start(options(), tasks.clone(), stop_broker.clone());
    broker.wait_ready(Duration::from_secs(20)).await.unwrap();
    let coordination =
        Coordination::connect(&servers.redis_url, &unique_name(), tasks.clone()).await.unwrap();
    let db = TestDatabase::create().await.unwrap();
    let meta = Simulator::start(SimulatorOptions::default()).await.unwrap();
    let relay = Relay::start(
        db.database().clone(),
        broker.publisher(),
        Arc::new(SystemClock),
        &tasks,
        stop.clone(),
    );
    let dependencies = SenderDependencies {
        db: db.database().clone(),
        sealer: Sealer::new(&master_key()).unwrap(),
        limiter: coordination.limiter().clone(),
        graph: Arc::new(GraphClient::new(&GraphOptions::new(meta.base_url().clone())).unwrap()),
        relay,
        clock: Arc::new(SystemClock),
    };
    let sender = Sender::start(dependencies, sender_options(setup), &tasks, stop.clone());
    let (workspace, connection) = workspace(&db).await;
    let world = World { db, workspace, connection, meta, sender, stop };
    let outcome = AssertUnwindSafe(test(&world)).catch_unwind().await;
    world.stop.cancel();
    stop_broker.cancel();
    // What is on its way is still written down: the database and Meta go last.
    let World { db, meta, sender, .. } = world;
    drop((coordination, sender));
    tasks.close();
    tasks.wait().await;
    drop((db, meta));
    Broker::delete_topology(&options()).await.unwrap();
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

fn sender_options(setup: Setup) -> SenderOptions {
    SenderOptions {
        worker: "test".into(),
        claim_batch: 64,
        poll: Duration::from_millis(200),
        attempt_deadline: setup.attempt_deadline,
        request_timeout: Duration::from_secs(5),
        doubt_margin: Duration::from_secs(5),
        quiet_window: Duration::from_secs(900),
        min_probes: 20,
        status_lanes: 10,
        api_per_minute: setup.per_minute,
        in_flight: 64,
        sources: Source::ALL.to_vec(),
    }
}

async fn workspace(db: &TestDatabase) -> (WorkspaceId, ConnectionId) {
    let mut conn = db.database().connection().await.unwrap();
    let workspace_id = workspaces::ensure(&mut conn, "Acme", now()).await.unwrap();
    drop(conn);
    (workspace_id, connect(db, workspace_id).await)
}

async fn connect(db: &TestDatabase, workspace_id: WorkspaceId) -> ConnectionId {
    let mut conn = db.database().connection().await.unwrap();
    let id = ConnectionId::new();
    let sealer = Sealer::new(&master_key()).unwrap();
    let token = SecretString::from("token");
    let new = NewConnection {
        id,
        workspace_id,
        name: "Main".into(),
        phone_number_id: PhoneNumberId::new(unique_name()),
        waba_id: WabaId::new("104996122399160"),
        display_phone_number: None,
        access_token_sealed: sealer.seal(workspace_id, Column::AccessToken, &token).unwrap(),
        limits: Limits::default(),
    };
    connections::insert(&mut conn, new, now()).await.unwrap();
    id
}

pub(crate) fn now() -> DateTime<Utc> {
    SystemClock.now()
}

/// A number for each recipient of each campaign.
pub(crate) fn number(series: usize, n: usize) -> String {
    format!("49155{series:02}{n:06}")
}

impl World {
    /// A running campaign whose recipients are all in the ledger; the text says its series.
    pub(crate) async fn campaign(&self, series: usize, recipients: usize) -> CampaignId {
        self.campaign_on(self.connection, series, recipients).await
    }

    /// As [`World::campaign`], on another connection.
    pub(crate) async fn campaign_on(
        &self,
        connection: ConnectionId,
        series: usize,
        recipients: usize,
    ) -> CampaignId {
        let campaign = CampaignId::new();
        let messages: Vec<MessageId> = (0..recipients).map(|_| MessageId::new()).collect();
        let id = campaign.as_uuid();
        let mut sql = format!(
            "INSERT INTO campaigns (id, workspace_id, connection_id, name, status, template, audience, \
             on_uncertain, prepared_at, total, created_by, created_at, updated_at) VALUES ('{id}', \
             '{}', '{}', 'Spring', 'running', '{{}}', '{{}}', 'hold', now(), {recipients}, 'key_x', \
             now(), now()); \
             INSERT INTO campaign_chunks VALUES ('{id}', 1, {recipients}, 'UTC', NULL, 'fed');",
            self.workspace.as_uuid(),
            connection.as_uuid(),
        );
        let ids: Vec<String> =
            messages.iter().map(|message| format!("'{}'", message.as_uuid())).collect();
        sql.push_str(&format!(
            "INSERT INTO campaign_recipients SELECT '{id}', n, m::uuid, 1, gen_random_uuid(), 'number', \
             '1', '[]', NULL FROM unnest(ARRAY[{}]) WITH ORDINALITY AS s (m, n);",
            ids.join(", ")
        ));
        self.run(&sql).await;
        let rows = messages.iter().enumerate().map(|(n, message)| NewOutbound {
            id: *message,
            connection_id: connection,
            source: Source::Campaign,
            campaign_id: Some(campaign),
            on_doubt: OnDoubt::Hold,
            ..self.message(&number(series, n), &format!("series {series}"))
        });
        self.enqueue(rows.collect()).await;
        self.sender.nudge();
        campaign
    }

    /// Another connection of the workspace, with a limit of its own.
    pub(crate) async fn another_connection(&self, per_minute: i32) -> ConnectionId {
        let connection = connect(&self.db, self.workspace).await;
        let id = connection.as_uuid();
        self.run(&format!(
            "UPDATE connections SET whatsapp_api_per_minute = {per_minute} WHERE id = '{id}'"
        ))
        .await;
        connection
    }

    /// A bot's reply that is in no ledger yet.
    pub(crate) fn message(&self, number: &str, text: &str) -> NewOutbound {
        let id = MessageId::new();
        let content = Content::Text { body: text.to_owned(), reply_to: None };
        NewOutbound {
            id,
            workspace_id: self.workspace,
            connection_id: self.connection,
            conversation_id: ConversationId::new(),
            dedupe_key: id.to_string(),
            recipient: Recipient::Number(WaId::new(number)),
            source: Source::Bot,
            campaign_id: None,
            on_doubt: OnDoubt::Resend,
            resend_until: None,
            content: content.encode().unwrap(),
            traceparent: None,
        }
    }

    pub(crate) async fn enqueue(&self, rows: Vec<NewOutbound>) {
        let mut conn = self.db.database().connection().await.unwrap();
        send_ledger::enqueue(&mut conn, rows, now()).await.unwrap();
    }

    pub(crate) async fn pause(&self, campaign: CampaignId) -> Moved {
        let by = By { actor: "key_x".into(), code: None, reason: None };
        let mut conn = self.db.database().connection().await.unwrap();
        (*conn)
            .transaction(async |tx| {
                Ok::<_, StorageError>(
                    standing::pause(tx, self.workspace, campaign, &by, now()).await?,
                )
            })
            .await
            .unwrap()
            .unwrap()
    }

    pub(crate) async fn numbers(&self, campaign: CampaignId) -> Numbers {
        let mut conn = self.db.database().connection().await.unwrap();
        campaigns::numbers(&mut conn, &[campaign]).await.unwrap().remove(&campaign).unwrap()
    }

    /// Waits until nothing of the campaign is in flight; the numbers are then those of a recount.
    pub(crate) async fn at_rest(&self, campaign: CampaignId) -> Numbers {
        testkit::eventually("nothing in flight", async || {
            (self.numbers(campaign).await.in_flight == 0).then_some(())
        })
        .await;
        let kept = self.numbers(campaign).await;
        let mut conn = self.db.database().connection().await.unwrap();
        let counted = campaigns::recount(&mut conn, campaign).await.unwrap();
        assert!(kept.agrees_with(&counted), "kept {kept:?}, counted {counted:?}");
        kept
    }

    pub(crate) async fn until_sent(&self, count: usize) {
        self.meta.wait_until_sent(count, Duration::from_secs(30)).await.unwrap();
    }

    pub(crate) async fn count(&self, what: &str) -> i64 {
        self.db.count(&format!("SELECT count(*) AS count FROM {what}")).await.unwrap()
    }

    pub(crate) async fn run(&self, sql: &str) {
        for statement in sql.split_terminator(';').filter(|part| !part.trim().is_empty()) {
            self.db.execute(statement).await.unwrap();
        }
    }
}
