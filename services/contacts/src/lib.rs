//! People: what is known of them, and whether they want to hear from us.
//!
//! A contact is made by whoever comes first (a webhook, a campaign, a program, an import): the
//! statements that keep it one row are in [`storage::contacts`].

mod api;
mod store;

use std::sync::Arc;

use actix_web::web::{Data, ServiceConfig};
use kernel::Clock;
use relay::Relay;
use service::Life;
use storage::Database;

use self::api::Api;

/// What the service works with.
pub struct Dependencies {
    /// The product's database.
    pub db: Database,
    /// Publishes what happened.
    pub relay: Relay,
    /// Decides what is stored as now.
    pub clock: Arc<dyn Clock>,
}

/// The running service; clones share it.
#[derive(Clone)]
pub struct Contacts {
    api: Data<Api>,
}

/// Starts the service.
pub fn start(_life: &Life, dependencies: Dependencies) -> Contacts {
    let Dependencies { db, relay, clock } = dependencies;
    Contacts { api: Data::new(Api { db, relay, clock }) }
}

impl Contacts {
    /// Mounts `/v1/contacts` and what is below it; the listener brings [`service::Auth`].
    pub fn routes(&self, config: &mut ServiceConfig) {
        api::routes(&self.api, config);
    }
}
