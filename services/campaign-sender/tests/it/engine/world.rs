//! A workspace with contacts and a fake Meta, and processes that can be killed.

use std::sync::Arc;
use std::time::Duration;

use campaign_sender::{Dependencies, Options, start};
use chrono::Utc;
use coordination::{Coordination, LockClass, Locks};
use diesel_async::{AsyncConnection, AsyncPgConnection};
use graph_simulator::{Simulator, SimulatorOptions};
use kernel::ids::{CampaignId, ConnectionId, WorkspaceId};
use kernel::{Clock, PhoneNumberId, SystemClock, UserId, WaId, WabaId};
use messaging::{Broker, BrokerOptions, Family, Topology};
use relay::Relay;
use secrecy::SecretString;
use sending::{Sender, SenderDependencies, SenderOptions};
use serde_json::{Value, json};
use service::Life;
use storage::campaigns::{self, Numbers};
use storage::connections::{self, Limits, NewConnection};
use storage::contacts::{self, Sighting};
use storage::sealed::{Column, Sealer};
use storage::send_ledger::Source;
use storage::{Database, DatabaseOptions, StorageError, workspaces};
use testkit::{Servers, TestDatabase, eventually_within, master_key, unique_name};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use url::Url;
use whatsapp::graph::{GraphClient, GraphOptions};

/// Long enough for a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct World {
    pub(crate) db: TestDatabase,
    pub(crate) meta: Simulator,
    pub(crate) workspace: WorkspaceId,
    pub(crate) connection: ConnectionId,
    pub(crate) topology: Topology,
    /// Processes with one namespace share their locks.
    pub(crate) namespace: String,
    /// How long a dead process keeps L5.
    pub(crate) lock_ttl: Duration,
}

/// Whether a process hands messages to Meta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sends {
    Yes,
    No,
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

impl World {
    /// `per_minute` is the connection's limit.
    pub(crate) async fn new(per_minute: i32) -> Self {
        let db = TestDatabase::create().await.unwrap();
        let mut conn = db.database().connection().await.unwrap();
        let now = SystemClock.now();
        let workspace = workspaces::ensure(&mut conn, "Acme", now).await.unwrap();
        let token = SecretString::from("token");
        let sealer = Sealer::new(&master_key()).unwrap();
        let new = NewConnection {
            id: ConnectionId::new(),
            workspace_id: workspace,
            name: "Main".into(),
            phone_number_id: PhoneNumberId::new("290184457761305"),
            waba_id: WabaId::new("104996122399160"),
            display_phone_number: None,
            access_token_sealed: sealer.seal(workspace, Column::AccessToken, &token).unwrap(),
            limits: Limits { whatsapp_api_per_minute: Some(per_minute), ..Limits::default() },
        };
        let connection = connections::insert(&mut conn, new, now).await.unwrap().id();
        drop(conn);
        let topology = Topology::default()
            .with_prefix(format!("{}.", unique_name()))
            .with_families(vec![Family::Campaigns])
            .with_ladder(vec![Duration::from_millis(200)]);
        let meta = Simulator::start(SimulatorOptions::default()).await.unwrap();
        let (namespace, lock_ttl) = (unique_name(), Duration::from_secs(2));
        Self { db, meta, workspace, connection, topology, namespace, lock_ttl }
    }

    /// Removes what the processes declared.
    pub(crate) async fn end(self, processes: Vec<Process>) {
        drop(processes);
        Broker::delete_topology(&self.broker_options()).await.unwrap();
    }

    pub(crate) fn broker_options(&self) -> BrokerOptions {
        let url = Servers::from_env().amqp_url;
        BrokerOptions::new(&url, self.topology.clone(), "test").unwrap()
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.db.execute(sql).await.unwrap();
    }

    pub(crate) async fn count(&self, what: &str) -> i64 {
        self.db.count(&format!("SELECT count(*) AS count FROM {what}")).await.unwrap()
    }

    /// Contacts `49155…` with the tag `vip`, named `Person …`.
    pub(crate) async fn contacts(&self, count: i32) {
        self.contacts_from(1, count).await;
    }

    /// The same, from number `first` on.
    pub(crate) async fn contacts_from(&self, first: i32, count: i32) {
        let workspace = self.workspace.as_uuid();
        self.execute(&format!(
            "INSERT INTO contacts (id, workspace_id, wa_id, name, source, tags, created_at, updated_at) \
             SELECT gen_random_uuid(), '{workspace}', (49155000000000 + i)::text, 'Person ' || i, 'api', \
             '{{vip}}', now(), now() FROM generate_series({first}, {first} + {count} - 1) AS i"
        ))
        .await;
    }

    /// A contact with the tag `vip` whose number nobody knows.
    pub(crate) async fn contact_by_user(&self, id: &str, user: &str) {
        let workspace = self.workspace.as_uuid();
        self.execute(&format!(
            "INSERT INTO contacts (id, workspace_id, user_id, name, source, tags, created_at, updated_at) \
             VALUES ('{id}', '{workspace}', '{user}', 'Nobody', 'api', '{{vip}}', now(), now())"
        ))
        .await;
    }

    /// Meta shows that number and user are one person.
    pub(crate) async fn link(&self, number: &str, user: &str) {
        let sighting = Sighting {
            workspace_id: self.workspace,
            wa_id: Some(WaId::new(number)),
            user_id: Some(UserId::new(user)),
            name: None,
        };
        let mut conn = self.db.database().connection().await.unwrap();
        let conn: &mut AsyncPgConnection = &mut conn;
        conn.transaction(async |tx| contacts::resolve(tx, &[sighting], SystemClock.now()).await)
            .await
            .unwrap();
    }

    /// A campaign that is to be frozen now; `more` sets columns, e.g. `quiet_from = '21:00'`.
    pub(crate) async fn campaign(&self, audience: Value, more: &str) -> CampaignId {
        let id = self.draft(audience, more).await;
        self.move_to(id, "preparing").await;
        id
    }

    pub(crate) async fn draft(&self, audience: Value, more: &str) -> CampaignId {
        let id = CampaignId::new();
        let (uuid, workspace) = (id.as_uuid(), self.workspace.as_uuid());
        let connection = self.connection.as_uuid();
        let template =
            json!({ "name": "sale", "language": "en", "params": { "body": ["{{name|friend}}"] } });
        self.execute(&format!(
            "INSERT INTO campaigns (id, workspace_id, connection_id, name, status, template, audience, \
             on_uncertain, created_by, created_at, updated_at, next_look_at) VALUES ('{uuid}', \
             '{workspace}', '{connection}', 'Sale', 'draft', '{template}', '{audience}', 'hold', 'test', \
             now(), now(), '1970-01-01')"
        ))
        .await;
        if !more.is_empty() {
            self.execute(&format!("UPDATE campaigns SET {more} WHERE id = '{uuid}'")).await;
        }
        id
    }

    pub(crate) async fn move_to(&self, id: CampaignId, status: &str) {
        let id = id.as_uuid();
        self.execute(&format!("UPDATE campaigns SET status = '{status}' WHERE id = '{id}'")).await;
    }

    pub(crate) async fn status(&self, id: CampaignId) -> String {
        let sql = format!("SELECT status AS text FROM campaigns WHERE id = '{}'", id.as_uuid());
        self.db.text(&sql).await.unwrap()
    }

    pub(crate) async fn until_status(&self, id: CampaignId, wanted: &str) {
        eventually_within(PATIENCE, wanted, async || {
            (self.status(id).await == wanted).then_some(())
        })
        .await;
    }

    /// The kept numbers and the recounted ones, of one moment.
    pub(crate) async fn numbers(&self, id: CampaignId) -> (Numbers, Numbers) {
        let mut conn = self.db.database().connection().await.unwrap();
        let conn: &mut AsyncPgConnection = &mut conn;
        conn.build_transaction()
            .repeatable_read()
            .read_only()
            .run(async |tx| {
                let kept = campaigns::numbers(tx, &[id]).await?.remove(&id).unwrap_or_default();
                Ok::<_, StorageError>((kept, campaigns::recount(tx, id).await?))
            })
            .await
            .unwrap()
    }

    /// Starts a process on the world's servers.
    pub(crate) async fn process(&self, clock: Arc<dyn Clock>, sends: Sends) -> Process {
        self.process_in(&self.namespace, clock, sends).await
    }

    /// Starts a process whose locks are in `namespace`.
    pub(crate) async fn process_in(
        &self,
        namespace: &str,
        clock: Arc<dyn Clock>,
        sends: Sends,
    ) -> Process {
        let runtime = Runtime::new().unwrap();
        let (url, namespace) = (self.db.url().to_owned(), namespace.to_owned());
        let (broker, meta) = (self.broker_options(), self.meta.base_url().clone());
        let lock_ttl = self.lock_ttl;
        let started = runtime.spawn(async move {
            let life = Life::default();
            let options = DatabaseOptions { url, pool_size: 6, wait: Duration::from_secs(10) };
            let db = Database::new(options).unwrap();
            let broker = Broker::start(broker, life.tasks().clone(), life.stopping());
            broker.wait_ready(Duration::from_secs(20)).await.unwrap();
            let tasks = life.tasks().clone();
            let servers = Servers::from_env();
            let redis = Coordination::connect(&servers.redis_url, &namespace, tasks).await.unwrap();
            let publisher = broker.publisher();
            let relay = Relay::start(
                db.clone(),
                publisher,
                Arc::clone(&clock),
                life.tasks(),
                life.stopping(),
            );
            let sender = sender(&db, &redis, &relay, &life, (meta, sends));
            let locks = lasting(redis.locks(), lock_ttl);
            let limiter = redis.limiter().clone();
            let options = Options { api_per_minute: 60_000 };
            let dependencies =
                Dependencies { db, broker, locks, limiter, sender, relay, clock, options };
            start(&life, dependencies);
            life
        });
        let life = started.await.unwrap();
        // The process lives as long as somebody may stop it.
        runtime.spawn(async move { life.stopping().cancelled().await });
        Process { runtime: Some(runtime) }
    }
}

/// Locks of which a dead process keeps L5 for `ttl`.
pub(crate) fn lasting(locks: &Locks, ttl: Duration) -> Locks {
    let hold = Duration::from_secs(600);
    locks.clone().with_times(LockClass::CampaignSend, ttl, Some(hold))
}

fn sender(
    db: &Database,
    redis: &Coordination,
    relay: &Relay,
    life: &Life,
    (meta, sends): (Url, Sends),
) -> Sender {
    let stop = match sends {
        Sends::Yes => life.stopping(),
        Sends::No => CancellationToken::new(),
    };
    if sends == Sends::No {
        stop.cancel();
    }
    let dependencies = SenderDependencies {
        db: db.clone(),
        sealer: Sealer::new(&master_key()).unwrap(),
        limiter: redis.limiter().clone(),
        graph: Arc::new(GraphClient::new(&GraphOptions::new(meta)).unwrap()),
        relay: relay.clone(),
        clock: Arc::new(SystemClock),
    };
    let options = SenderOptions {
        worker: "test".into(),
        claim_batch: 100,
        poll: Duration::from_millis(200),
        attempt_deadline: Duration::from_secs(10),
        request_timeout: Duration::from_secs(15),
        doubt_margin: Duration::from_secs(5),
        quiet_window: Duration::from_secs(900),
        min_probes: 20,
        status_lanes: 10,
        api_per_minute: 60_000,
        in_flight: 256,
        sources: vec![Source::Campaign],
    };
    Sender::start(dependencies, options, life.tasks(), stop)
}

pub(crate) fn system_clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// Today at `hour` (UTC).
pub(crate) fn at_hour(hour: u32) -> chrono::DateTime<Utc> {
    SystemClock.now().date_naive().and_hms_opt(hour, 0, 0).unwrap().and_utc()
}
