//! `/v1/campaigns` and what is below it.

use std::sync::Arc;

use actix_web::web::{self, Data, ServiceConfig};
use kernel::Clock;
use storage::Database;

/// What handlers work with.
pub(crate) struct Api {
    db: Database,
    clock: Arc<dyn Clock>,
}

impl Api {
    pub(crate) fn new(db: Database, clock: Arc<dyn Clock>) -> Self {
        Self { db, clock }
    }
}

/// Mounts the API; the listener's `Auth` is mounted by whoever serves it.
pub(crate) fn routes(api: &Data<Api>, config: &mut ServiceConfig) {
    config.service(web::resource("/v1/campaigns").app_data(Data::clone(api)));
}
