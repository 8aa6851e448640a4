//! People: what is known of them, and whether they want to hear from us.
//!
//! A contact is made by whoever comes first (a webhook, a campaign, a program, an import): the
//! statements that keep it one row are in [`storage::contacts`].

mod announce;
mod api;
mod export;
mod files;
mod import;
mod jobs;
mod progress;
mod store;

use std::sync::Arc;

use actix_web::web::{Data, ServiceConfig};
use coordination::Locks;
use kernel::Clock;
use messaging::Broker;
use relay::Relay;
use service::Life;
use storage::Database;

use self::api::Api;
use self::files::Files;
use self::jobs::{Parts, Ticks};

/// What the service works with.
pub struct Dependencies {
    /// The product's database.
    pub db: Database,
    /// Brings hints about imports and exports.
    pub broker: Broker,
    /// One import (L7) and one export (L8) of a workspace runs.
    pub locks: Locks,
    /// Publishes what happened.
    pub relay: Relay,
    /// Decides what is stored as now.
    pub clock: Arc<dyn Clock>,
    /// Where files of imports and exports are.
    pub files: settings::Files,
}

/// The running service; clones share it.
#[derive(Clone)]
pub struct Contacts {
    api: Data<Api>,
}

/// Starts the service.
pub fn start(life: &Life, dependencies: Dependencies) -> Contacts {
    let Dependencies { db, broker, locks, relay, clock, files: settings } = dependencies;
    let files = Files::new(settings.clone());
    let parts = Parts {
        db: db.clone(),
        files: files.clone(),
        locks,
        relay: relay.clone(),
        clock: Arc::clone(&clock),
        keep_exports: settings.keep_exports,
    };
    jobs::start(life, &broker, parts);
    let (ticks, most_import_bytes) = (Ticks::new(&broker), settings.most_import_bytes);
    Contacts { api: Data::new(Api { db, relay, clock, files, most_import_bytes, ticks }) }
}

impl Contacts {
    /// Mounts `/v1/contacts` and what is below it; the listener brings [`service::Auth`].
    pub fn routes(&self, config: &mut ServiceConfig) {
        api::routes(&self.api, config);
    }
}
