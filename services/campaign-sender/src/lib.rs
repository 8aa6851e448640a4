//! Campaigns: who gets which message, when, and what became of it (ADR-0014).
//!
//! A campaign's audience is frozen into recipients when it starts; a worker gives them to the send
//! ledger chunk by chunk, never more than its window ahead; the senders of `crates/sending` do the
//! rest. Broker messages and nudges are hints where to look; the tables are the work.
//!
//! Invariants:
//! - a recipient has one message however often its chunk is fed: both have the same id;
//! - the numbers of a campaign add up in every transaction;
//! - no message of a campaign is claimed after its pause or cancellation was answered.

mod announce;
mod api;
pub mod audience;
mod engine;
mod limit;
mod store;
pub mod template;
mod upload;

use std::sync::Arc;

use actix_web::web::{Data, ServiceConfig};
use coordination::{Limiter, Locks};
use kernel::Clock;
use messaging::Broker;
use relay::Relay;
use sending::Sender;
use service::Life;
use settings::Settings;
use storage::Database;

use self::api::Api;
use self::engine::{Parts, Ticks};

/// What the service works with.
pub struct Dependencies {
    /// Campaigns, contacts, the send ledger.
    pub db: Database,
    /// Brings hints.
    pub broker: Broker,
    /// One worker advances a campaign (L5).
    pub locks: Locks,
    /// Says how long a campaign still takes, and what it waits for (R1).
    pub limiter: Limiter,
    /// Is told that messages were enqueued.
    pub sender: Sender,
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
}

impl From<&Settings> for Options {
    fn from(settings: &Settings) -> Self {
        Self { api_per_minute: settings.limits.whatsapp_api_per_minute }
    }
}

/// The running service; clones share it.
#[derive(Clone)]
pub struct CampaignSender {
    api: Data<Api>,
}

/// Starts working campaigns off.
pub fn start(life: &Life, dependencies: Dependencies) -> CampaignSender {
    let Dependencies { db, broker, locks, limiter, sender, relay, clock, options } = dependencies;
    let api_per_minute = options.api_per_minute;
    let parts = Parts {
        db: db.clone(),
        locks,
        limiter: limiter.clone(),
        sender: sender.clone(),
        relay: relay.clone(),
        clock: Arc::clone(&clock),
        api_per_minute,
    };
    engine::start(life, &broker, parts);
    let ticks = Ticks::new(&broker);
    let api = Api { db, clock, limiter, relay, sender, ticks, api_per_minute };
    CampaignSender { api: Data::new(api) }
}

impl CampaignSender {
    /// Mounts `/v1/campaigns` and what is below it; the listener brings [`service::Auth`].
    pub fn routes(&self, config: &mut ServiceConfig) {
        api::routes(&self.api, config);
    }
}
