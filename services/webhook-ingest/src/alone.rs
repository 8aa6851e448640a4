//! The service as a process of its own.

use std::sync::Arc;

use actix_web::web::ServiceConfig;
use anyhow::Context;
use coordination::{Backend, Coordination, Options, PgConnect};
use kernel::SystemClock;
use messaging::{Broker, BrokerOptions, Topology};
use service::{Health, Life, Listener, serve};
use settings::{CoordinationBackend, Settings};
use storage::sealed::Sealer;
use storage::{Database, DatabaseOptions};
use tokio_util::sync::CancellationToken;

use crate::{Dependencies, start};

/// Makes what the service needs from `settings`, starts and serves it.
///
/// # Errors
///
/// When settings are missing or unusable, or an address cannot be listened on.
pub async fn run_alone(life: &Life, settings: Settings) -> anyhow::Result<()> {
    // The broker outlives the last POST, which the stop lets finish.
    let stop_broker = CancellationToken::new();
    let topology = Topology::default().with_prefix(settings.amqp.prefix.as_str());
    let options = BrokerOptions::new(settings.amqp.url()?.expose(), topology, "webhook-ingest")?
        .with_publish_deadline(settings.amqp.publish_timeout);
    let broker = Broker::start(options, life.tasks().clone(), stop_broker.clone());
    let redis = &settings.redis;
    let tasks = life.tasks().clone();
    let mut options = match settings.coordination.backend {
        CoordinationBackend::Redis => Options::new(redis.url()?.expose(), &redis.namespace),
        CoordinationBackend::Postgres => Options::new("", &redis.namespace),
    };
    if settings.coordination.backend == CoordinationBackend::Postgres {
        let database = database_options(&settings.database)?;
        let pool = move || Database::new(database.clone()).map(Database::into_pool);
        (options.backend, options.postgres) = (Backend::Postgres, Some(PgConnect::new(pool)));
    }
    let coordination = Coordination::start(options, tasks).await?;
    let dependencies = Dependencies {
        broker,
        database: Database::new(database_options(&settings.database)?)?,
        sealer: sealer(&settings.security)?,
        limiter: coordination.limiter().clone(),
        clock: Arc::new(SystemClock),
        settings: settings.clone(),
    };
    let ingest = start(life, dependencies)?;

    let health = ingest.checked_by(Health::new(life));
    if let Some(admin) = Listener::admin(&settings.http) {
        let health = health.clone();
        serve(life, admin, move |config: &mut ServiceConfig| health.routes(config))?;
    }
    let has_admin = settings.http.admin_listen.is_some();
    let public = ingest.clone();
    serve(life, Listener::public(&settings.http), move |config: &mut ServiceConfig| {
        public.routes(config);
        if !has_admin {
            health.routes(config);
        }
    })?;
    life.tasks().spawn(async move {
        ingest.drained().await;
        stop_broker.cancel();
    });
    Ok(())
}

fn database_options(settings: &settings::Database) -> anyhow::Result<DatabaseOptions> {
    Ok(DatabaseOptions {
        url: settings.url()?.expose().to_owned(),
        pool_size: usize::try_from(settings.pool_size)?,
        wait: settings.wait,
    })
}

fn sealer(settings: &settings::Security) -> anyhow::Result<Sealer> {
    let key = settings.master_key.as_ref();
    Ok(Sealer::new(key.context("security.master_key is not set: app secrets cannot be opened")?)?)
}
