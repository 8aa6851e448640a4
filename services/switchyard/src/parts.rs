//! Everything a process is made of, built once from the settings.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use coordination::{Coordination, Deployment, PgConnect};
use diesel_async::RunQueryDsl;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kernel::ids::ApiKeyId;
use kernel::{Clock, SystemClock, chain};
use messaging::{Broker, BrokerOptions, Family, Topology};
use relay::Relay;
use sending::{Sender, SenderDependencies, SenderOptions};
use service::{Auth, Health, KeyStore, Life, Need, StoredKey};
use settings::{CoordinationBackend, RedisMode, Settings, SettingsError};
use storage::migrations::{self, MigrationError};
use storage::sealed::Sealer;
use storage::send_ledger::Source;
use storage::{Database, DatabaseOptions, StorageError, api_keys};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use whatsapp::graph::{GraphClient, GraphOptions};

use crate::exit::{BROKER_AWAY, COORDINATION_UNFIT, DATABASE_AWAY, Failure, OrFix, REDIS_AWAY};

/// How long a starting process waits for PostgreSQL: as long as a restart of the server takes.
const DATABASE_PATIENCE: Duration = Duration::from_secs(30);
/// Connections that locks and limits open at most, for each of their two threads.
const COORDINATION_CONNECTIONS: usize = 3;
/// Between two tries.
const DATABASE_PAUSE: Duration = Duration::from_millis(500);

/// What every service is built from; cheap to clone.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) settings: Arc<Settings>,
    pub(crate) db: Database,
    pub(crate) sealer: Sealer,
    pub(crate) coordination: Coordination,
    pub(crate) broker: Broker,
    /// Cancelled when nobody publishes any more.
    pub(crate) stop_broker: CancellationToken,
    pub(crate) auth: Arc<Auth>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Parts {
    /// Builds the parts of `life`'s process. Connections are made in the background: a server that is
    /// away is no error here. Install the metrics recorder before.
    pub(crate) async fn build(life: &Life, settings: Settings) -> Result<Self, Failure> {
        let db = database(&settings)?;
        let sealer = sealer(&settings)?;
        let broker = broker_options(&settings, "switchyard")?;
        let coordination = Coordination::start(coordination(&settings)?, life.tasks().clone());
        let coordination = coordination.await.or_fix(REDIS_AWAY)?;
        let stop_broker = CancellationToken::new();
        let broker = Broker::start(broker, life.tasks().clone(), stop_broker.clone());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let auth = Arc::new(Auth::new(Arc::new(Keys(db.clone())), Arc::clone(&clock)));
        Ok(Self {
            settings: Arc::new(settings),
            db,
            sealer,
            coordination,
            broker,
            stop_broker,
            auth,
            clock,
        })
    }

    /// Starts publishing what the outbox promises.
    pub(crate) fn relay(&self, life: &Life) -> Relay {
        let publisher = self.broker.publisher();
        let clock = Arc::clone(&self.clock);
        Relay::start(self.db.clone(), publisher, clock, life.tasks(), life.stopping())
    }

    /// Starts handing messages of `sources` to Meta.
    pub(crate) fn sender(
        &self,
        life: &Life,
        relay: Relay,
        sources: Vec<Source>,
    ) -> Result<Sender, Failure> {
        let Settings { sending, meta, limits, .. } = self.settings.as_ref();
        let dependencies = SenderDependencies {
            db: self.db.clone(),
            sealer: self.sealer.clone(),
            limiter: self.coordination.limiter().clone(),
            graph: self.graph()?,
            relay,
            clock: Arc::clone(&self.clock),
        };
        let options = SenderOptions {
            worker: worker(),
            claim_batch: sending.claim_batch,
            poll: sending.poll,
            attempt_deadline: sending.attempt_deadline,
            request_timeout: meta.timeout,
            doubt_margin: sending.doubt_margin,
            quiet_window: sending.quiet_window,
            min_probes: sending.min_probes,
            status_lanes: Family::Webhooks.lanes() + Family::WebhooksSlow.lanes(),
            api_per_minute: limits.whatsapp_api_per_minute,
            in_flight: sending.in_flight,
            sources,
        };
        Ok(Sender::start(dependencies, options, life.tasks(), life.stopping()))
    }

    /// A client of the Graph API.
    pub(crate) fn graph(&self) -> Result<Arc<GraphClient>, Failure> {
        let meta = &self.settings.meta;
        let graph = GraphClient::new(&GraphOptions {
            api_version: meta.api_version.clone(),
            connect_timeout: meta.connect_timeout,
            timeout: meta.timeout,
            ..GraphOptions::new(meta.base_url.clone())
        });
        Ok(Arc::new(graph.or_fix("correct meta.base_url, or install ca-certificates")?))
    }

    /// What `/readyz` looks at. Whoever can work from memory says that `database` is optional.
    pub(crate) fn health(&self, life: &Life, database: Need) -> Health {
        let (db, coordination, broker) =
            (self.db.clone(), self.coordination.clone(), self.broker.clone());
        Health::new(life)
            .check("postgresql", database, move || ping(db.clone()))
            .check("rabbitmq", Need::Required, move || {
                let health = broker.health();
                async move {
                    if health.is_ready() { Ok(()) } else { Err(anyhow!("connections: {health:?}")) }
                }
            })
            .check("redis", Need::Optional, move || {
                let health = coordination.health();
                async move {
                    match health {
                        coordination::Health::Available => Ok(()),
                        coordination::Health::Away => Err(anyhow!("Redis is away")),
                    }
                }
            })
    }
}

pub(crate) fn coordination(settings: &Settings) -> Result<coordination::Options, Failure> {
    let Settings { redis, coordination, database, .. } = settings;
    let mut options = coordination::Options::new("", &redis.namespace);
    match coordination.backend {
        CoordinationBackend::Redis => options.deployment = deployment(redis)?,
        CoordinationBackend::Postgres => options.backend = coordination::Backend::Postgres,
    }
    let database = DatabaseOptions {
        url: database.url()?.expose().to_owned(),
        pool_size: COORDINATION_CONNECTIONS,
        wait: database.wait,
    };
    options.postgres =
        Some(PgConnect::new(move || Database::new(database.clone()).map(Database::into_pool)));
    options.laravel_prefix = redis.laravel_prefix.clone();
    options.label = format!("switchyard@{}", worker());
    options.adjust_locks(&coordination.locks).or_fix(COORDINATION_UNFIT)?;
    options.adjust_limits(&coordination.limits).or_fix(COORDINATION_UNFIT)?;
    Ok(options)
}

fn deployment(redis: &settings::Redis) -> Result<Deployment, Failure> {
    Ok(match redis.mode {
        RedisMode::Single => Deployment::from(redis.url()?.expose()),
        RedisMode::Sentinel => {
            Deployment::Sentinel { urls: redis.urls()?, master: redis.primary.clone() }
        }
        RedisMode::Cluster => Deployment::Cluster { urls: redis.urls()? },
    })
}

async fn ping(db: Database) -> anyhow::Result<()> {
    let mut conn = db.connection().await?;
    diesel::sql_query("SELECT 1").execute(&mut conn).await?;
    Ok(())
}

/// The pool of `database.url`; connects when it is used.
pub(crate) fn database(settings: &Settings) -> Result<Database, Failure> {
    let section = &settings.database;
    let options = DatabaseOptions {
        url: section.url()?.expose().to_owned(),
        pool_size: usize::try_from(section.pool_size).unwrap_or(usize::MAX),
        wait: section.wait,
    };
    Database::new(options).or_fix("correct database.pool_size and database.wait")
}

/// What opens and seals secrets.
pub(crate) fn sealer(settings: &Settings) -> Result<Sealer, Failure> {
    let key = "security.master_key";
    let key = settings.security.master_key.as_ref().ok_or(SettingsError::Missing { key })?;
    Sealer::new(key).or_fix("make a key: openssl rand -base64 32")
}

/// How to reach the broker, and what is declared there.
pub(crate) fn broker_options(settings: &Settings, name: &str) -> Result<BrokerOptions, Failure> {
    let amqp = &settings.amqp;
    let topology = Topology::default().with_prefix(amqp.prefix.clone());
    let options = BrokerOptions::new(amqp.url()?.expose(), topology, name).or_fix(BROKER_AWAY)?;
    Ok(options.with_publish_deadline(amqp.publish_timeout))
}

/// How many migrations are applied, of how many this program knows.
pub(crate) async fn schema(db: &Database) -> Result<(usize, usize), MigrationError> {
    let all = migrations::status(db).await?;
    Ok((all.iter().filter(|migration| migration.is_applied).count(), all.len()))
}

/// Refuses a database whose schema is older than this program.
pub(crate) async fn require_schema(db: &Database) -> Result<(), Failure> {
    let (applied, known) = schema(db).await.or_fix(DATABASE_AWAY)?;
    if applied < known {
        let behind = anyhow!("the database's schema is behind: {applied} of {known} migrations");
        return Err(Failure::new(behind, "switchyard migrate up"));
    }
    Ok(())
}

/// As [`require_schema`], but gives a server that is starting, too, some time.
pub(crate) async fn await_schema(db: &Database) -> Result<(), Failure> {
    let begun = Instant::now();
    while begun.elapsed() < DATABASE_PATIENCE {
        match migrations::status(db).await {
            Err(MigrationError::Storage(error @ StorageError::Pool(_))) => {
                warn!(error = %chain(&error), "waiting for the database");
                tokio::time::sleep(DATABASE_PAUSE).await;
            }
            Ok(_) | Err(_) => break,
        }
    }
    require_schema(db).await
}

/// Who writes attempts into the ledger: machine and process, for whoever reads them later.
fn worker() -> String {
    format!("{}/{}", host(), std::process::id())
}

/// This machine's name.
pub(crate) fn host() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    host.trim().to_owned()
}

/// The API keys of the database.
struct Keys(Database);

impl KeyStore for Keys {
    fn find(&self, id: ApiKeyId) -> BoxFuture<'_, anyhow::Result<Option<StoredKey>>> {
        async move {
            let mut conn = self.0.connection().await?;
            let found = api_keys::find(&mut conn, id).await?;
            found.map(stored).transpose()
        }
        .boxed()
    }
}

fn stored(key: api_keys::ApiKey) -> anyhow::Result<StoredKey> {
    let secret_sha256 = <[u8; 32]>::try_from(key.secret_sha256.as_slice())?;
    Ok(StoredKey {
        workspace: key.workspace_id(),
        role: key.role.parse()?,
        secret_sha256,
        expires_at: key.expires_at,
        revoked_at: key.revoked_at,
    })
}
