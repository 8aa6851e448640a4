//! `/v1/bots` and what is below it.
//!
//! Bots and rules share one `ETag`: the bot's version, which every change of either raises.

mod bots;
mod order;
mod rules;

use std::sync::Arc;

use actix_web::web::{self, Data, ServiceConfig};
use chrono::{DateTime, SecondsFormat, Utc};
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
    let resource = |path| web::resource(path).app_data(Data::clone(api));
    config
        .service(
            resource("/v1/bots")
                .route(web::get().to(bots::list))
                .route(web::post().to(bots::create)),
        )
        .service(
            resource("/v1/bots/{bot}")
                .route(web::get().to(bots::show))
                .route(web::patch().to(bots::change))
                .route(web::delete().to(bots::delete)),
        )
        .service(
            resource("/v1/bots/{bot}/rules")
                .route(web::get().to(rules::list))
                .route(web::post().to(rules::create)),
        )
        // Before the next one, which would take `order` for the id of a rule.
        .service(resource("/v1/bots/{bot}/rules/order").route(web::put().to(order::set)))
        .service(
            resource("/v1/bots/{bot}/rules/{rule}")
                .route(web::patch().to(rules::change))
                .route(web::delete().to(rules::delete)),
        );
}

/// A time as the API shows it: RFC 3339, UTC, milliseconds.
fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
