//! Puts the parts of one process together, by where its locks and limits are kept.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use diesel_async::pooled_connection::deadpool::BuildError;
use futures_util::FutureExt as _;
use kernel::chain;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use tracing::debug;
use uuid::Uuid;

use crate::lock::keeper::{Jobs, Keeper, Works};
use crate::lock::store::{ProcessId, Store};
use crate::lock::waiters::Waiters;
use crate::memory::{MemoryLocks, MemoryServer};
use crate::overrides::{self, Overrides, Overriding};
use crate::postgres::limits::PgLimits;
use crate::postgres::locks::{PgLocks, Queues};
use crate::postgres::{PgPool, Postgres, listener};
use crate::redis;
use crate::redis::deployment::Deployment;
use crate::redis::link::{Link, Role};
use crate::redis::locks::RedisLocks;
use crate::redis::shards::Shards;
use crate::registry::key::Spelling;
use crate::switch::{Placed, Switch, SwitchedLocks, Watch};
use crate::{Backend, ConnectError, Options};

/// How often rows that nobody needs any more are deleted.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// Makes pools of connections to PostgreSQL, whose connections live on the runtime that makes them:
/// the callers' has two, the one on the thread that renews locks has two, the listener its own.
#[derive(Clone)]
pub struct PgConnect(Arc<dyn Fn() -> Result<PgPool, BuildError> + Send + Sync>);

impl PgConnect {
    /// `make` connects lazily; four connections are plenty for each pool.
    pub fn new(make: impl Fn() -> Result<PgPool, BuildError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    fn open(&self) -> Result<Arc<Postgres>, ConnectError> {
        Ok(Arc::new(Postgres::new((self.0)()?)))
    }
}

impl fmt::Debug for PgConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PgConnect")
    }
}

/// What a process works with.
pub(crate) struct Started {
    pub(crate) store: Store,
    pub(crate) keeper: Keeper,
    pub(crate) process: ProcessId,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) overrides: Arc<Overrides>,
    /// Never connected where there is no Redis.
    pub(crate) link: Arc<Link>,
    pub(crate) postgres: Option<Arc<Postgres>>,
}

pub(crate) async fn start(options: Options, tasks: TaskTracker) -> Result<Started, ConnectError> {
    match (options.backend, options.postgres.clone()) {
        (Backend::Redis, None) => on_redis(options, tasks).await,
        (Backend::Redis, Some(database)) => on_both(options, database, tasks).await,
        (Backend::Postgres, Some(database)) => on_postgres(&options, database, tasks),
        (Backend::Postgres, None) => Err(ConnectError::NoDatabase),
    }
}

/// A process of its own on `server`, on the current runtime and its clock.
pub(crate) fn in_memory(server: MemoryServer, tasks: TaskTracker) -> Started {
    let (process, waiters) = (ProcessId(Uuid::now_v7()), Arc::new(Waiters::default()));
    let store = Store::Memory(MemoryLocks::new(server, Arc::clone(&waiters), "memory"));
    let keeper = Keeper::start_here(tasks, store.clone());
    let (overrides, link) = (Arc::default(), Arc::new(Link::absent()));
    Started { store, keeper, process, waiters, overrides, link, postgres: None }
}

async fn on_redis(options: Options, tasks: TaskTracker) -> Result<Started, ConnectError> {
    let (process, waiters) = (ProcessId(Uuid::now_v7()), Arc::new(Waiters::default()));
    let overrides = initial(&options);
    let (link, locks, background) = redis_parts(options, process).await?;
    let keeper = background.start(Arc::clone(&waiters), tasks)?;
    let store = Store::Redis(locks);
    Ok(Started { store, keeper, process, waiters, overrides, link, postgres: None })
}

/// The modes that the settings say.
fn initial(options: &Options) -> Arc<Overrides> {
    let overrides = Overrides::default();
    overrides.replace(options.overriding.clone());
    Arc::new(overrides)
}

async fn redis_parts(
    options: Options,
    process: ProcessId,
) -> Result<(Arc<Link>, RedisLocks, redis::Background), ConnectError> {
    let Options { deployment, namespace, laravel_prefix, label, .. } = options;
    let link = Arc::new(Link::open(&deployment, &namespace, Role::Calls).await?);
    let shards = match &deployment {
        Deployment::Cluster { urls } => Some(Arc::new(Shards::new(urls.clone()))),
        Deployment::Single { .. } | Deployment::Sentinel { .. } => None,
    };
    let spelling = Arc::new(Spelling::new(namespace, laravel_prefix));
    let calls = Arc::clone(&link);
    let locks = RedisLocks::new(calls, Arc::clone(&spelling), &label, shards.clone());
    Ok((link, locks, redis::Background { deployment, shards, process, label, spelling }))
}

fn on_postgres(
    options: &Options,
    database: PgConnect,
    tasks: TaskTracker,
) -> Result<Started, ConnectError> {
    let (process, waiters) = (ProcessId(Uuid::now_v7()), Arc::new(Waiters::default()));
    let (queues, overrides) = (Arc::<Queues>::default(), initial(options));
    let postgres = database.open()?;
    let store =
        Store::Postgres(PgLocks::new(Arc::clone(&postgres), Arc::clone(&queues), &options.label));
    let label = options.label.clone();
    let beside = Beside {
        queues,
        waiters: Arc::clone(&waiters),
        overrides: Arc::clone(&overrides),
        configured: options.overriding.clone(),
    };
    let connect = async move |_: Arc<Jobs>| {
        let postgres = database.open()?;
        let locks = PgLocks::new(Arc::clone(&postgres), Arc::clone(&beside.queues), &label);
        let listening = beside.run(postgres, locks.clone());
        Ok(Works { store: Store::Postgres(locks), listening: listening.boxed_local() })
    };
    let keeper = Keeper::start(tasks, connect)?;
    let (link, postgres) = (Arc::new(Link::absent()), Some(postgres));
    Ok(Started { store, keeper, process, waiters, overrides, link, postgres })
}

async fn on_both(
    options: Options,
    database: PgConnect,
    tasks: TaskTracker,
) -> Result<Started, ConnectError> {
    let (process, waiters) = (ProcessId(Uuid::now_v7()), Arc::new(Waiters::default()));
    let (queues, overrides) = (Arc::<Queues>::default(), initial(&options));
    let configured = options.overriding.clone();
    let (switch, placed) = (Arc::<Switch>::default(), Arc::<Placed>::default());
    let postgres = database.open()?;
    let (label, back_after) = (options.label.clone(), options.back_after);
    let (link, locks, background) = redis_parts(options, process).await?;
    let in_database = PgLocks::new(Arc::clone(&postgres), Arc::clone(&queues), &label);
    let (theirs, shared) = (Arc::clone(&switch), Arc::clone(&placed));
    let store = Store::Switched(SwitchedLocks::new(locks, in_database, theirs, shared));
    let beside = Beside {
        queues,
        waiters: Arc::clone(&waiters),
        overrides: Arc::clone(&overrides),
        configured,
    };
    let redis = Arc::clone(&link);
    let connect = async move |jobs: Arc<Jobs>| {
        let postgres = database.open()?;
        let in_database = PgLocks::new(Arc::clone(&postgres), Arc::clone(&beside.queues), &label);
        let (on_redis, subscriber) = background.connect(Arc::clone(&beside.waiters), jobs).await?;
        let watch = Watch {
            switch: Arc::clone(&switch),
            postgres: Arc::clone(&postgres),
            redis,
            back_after,
        };
        let locks = SwitchedLocks::new(on_redis, in_database.clone(), switch, placed);
        let listening = async move {
            tokio::join!(subscriber, watch.run(), beside.run(postgres, in_database));
        };
        Ok(Works { store: Store::Switched(locks), listening: listening.boxed_local() })
    };
    let keeper = Keeper::start(tasks, connect)?;
    Ok(Started { store, keeper, process, waiters, overrides, link, postgres: Some(postgres) })
}

/// What runs beside the renewals wherever there is a database.
struct Beside {
    queues: Arc<Queues>,
    waiters: Arc<Waiters>,
    overrides: Arc<Overrides>,
    /// What the database's overrides are laid over.
    configured: Overriding,
}

impl Beside {
    /// Never ends.
    async fn run(self, postgres: Arc<Postgres>, locks: PgLocks) {
        let listening = listener::run(Arc::clone(&postgres), self.queues, self.waiters);
        let loading = overrides::load::run(Arc::clone(&postgres), self.overrides, self.configured);
        let limits = PgLimits::new(postgres);
        tokio::join!(listening, loading, sweep(locks, limits));
        pending::<()>().await;
    }
}

/// Deletes expired rows, and never ends.
async fn sweep(locks: PgLocks, limits: PgLimits) {
    loop {
        sleep(SWEEP_EVERY).await;
        for swept in [locks.sweep().await, limits.sweep().await] {
            if let Err(away) = swept {
                debug!(error = %chain(&away), "expired rows are deleted later");
            }
        }
    }
}
