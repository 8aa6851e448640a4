//! Templates as Meta has them: fetched on request, by the clock and when Meta tells of a change; made,
//! changed and deleted; shown, and rendered with values.
//!
//! Broker messages are hints where to look; the tables are the work.
//!
//! Invariants:
//! - a connection has one running sync, and a sync changes nothing before its last page is there;
//! - only a complete pass marks templates deleted, and what a webhook told later is kept;
//! - R1 and R2 are asked before every call to Meta;
//! - no network call happens inside a transaction.

mod api;
mod engine;
mod meta;
mod store;

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{Data, ServiceConfig};
use coordination::{Limiter, Locks};
use kernel::Clock;
use messaging::Broker;
use relay::Relay;
use service::Life;
use settings::Settings;
use storage::Database;
use storage::sealed::Sealer;
use whatsapp::graph::GraphClient;

use self::api::Api;
use self::engine::Ticks;
use self::meta::Meta;

/// What the service works with.
pub struct Dependencies {
    /// Templates, runs, campaigns.
    pub db: Database,
    /// Brings hints.
    pub broker: Broker,
    /// One sync per connection (L6).
    pub locks: Locks,
    /// Asked before every call (R1, R2).
    pub limiter: Limiter,
    /// Calls Meta.
    pub graph: Arc<GraphClient>,
    /// Opens access tokens.
    pub sealer: Sealer,
    /// Publishes what happened.
    pub relay: Relay,
    /// Decides what is due.
    pub clock: Arc<dyn Clock>,
    /// How it works.
    pub options: Options,
}

/// How the service works.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// R1 for connections without their own, per minute.
    pub api_per_minute: u32,
    /// R2, per minute.
    pub sync_per_minute: u32,
    /// How often a connection is synced; zero: never by the clock.
    pub sync_every: Duration,
}

impl From<&Settings> for Options {
    fn from(settings: &Settings) -> Self {
        Self {
            api_per_minute: settings.limits.whatsapp_api_per_minute,
            sync_per_minute: settings.limits.template_sync_per_minute,
            sync_every: settings.templates.sync_every,
        }
    }
}

/// The running service; clones share it.
#[derive(Clone)]
pub struct TemplateSync {
    api: Data<Api>,
}

/// Starts working syncs and news off.
pub fn start(life: &Life, dependencies: Dependencies) -> TemplateSync {
    let Dependencies { db, broker, locks, limiter, graph, sealer, relay, clock, options } =
        dependencies;
    let meta = Meta::new(graph, limiter, sealer, options);
    let every = i64::try_from(options.sync_every.as_secs()).unwrap_or(i64::MAX);
    let parts = engine::Parts {
        db: db.clone(),
        locks,
        meta: meta.clone(),
        relay: relay.clone(),
        clock: Arc::clone(&clock),
        every,
    };
    engine::start(life, &broker, parts);
    let ticks = Ticks::new(&broker);
    TemplateSync { api: Data::new(Api { db, meta, relay, ticks, clock, every }) }
}

impl TemplateSync {
    /// Mounts `/v1/templates` and `/v1/template-syncs`; the listener brings [`service::Auth`].
    pub fn routes(&self, config: &mut ServiceConfig) {
        api::routes(&self.api, config);
    }
}
