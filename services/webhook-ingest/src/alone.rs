//! The service as a process of its own.

use std::sync::Arc;

use actix_web::web::ServiceConfig;
use anyhow::Context;
use coordination::Coordination;
use kernel::SystemClock;
use messaging::{Broker, BrokerOptions, Topology};
use service::{Health, Life, Listener, serve};
use settings::Settings;
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
    let coordination =
        Coordination::connect(redis.url()?.expose(), &redis.namespace, tasks).await?;
    let dependencies = Dependencies {
        broker,
        database: database(&settings.database)?,
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

fn database(settings: &settings::Database) -> anyhow::Result<Database> {
    let options = DatabaseOptions {
        url: settings.url()?.expose().to_owned(),
        pool_size: usize::try_from(settings.pool_size)?,
        wait: settings.wait,
    };
    Ok(Database::new(options)?)
}

fn sealer(settings: &settings::Security) -> anyhow::Result<Sealer> {
    let key = settings.master_key.as_ref();
    Ok(Sealer::new(key.context("security.master_key is not set: app secrets cannot be opened")?)?)
}
