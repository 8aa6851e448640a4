//! `/v1/campaigns` and what is below it.
//!
//! Invariants: every handler takes its [`Caller`], asks for a scope, and passes the workspace to every
//! query that takes an id; what belongs to another workspace looks like what does not exist; a
//! parameter that is not known is refused. An action locks the campaign, does what its state allows,
//! and writes log and event in the same transaction; done twice, it changes nothing the second time.
//!
//! [`Caller`]: service::Caller

mod again;
mod audience;
mod campaigns;
mod clones;
mod control;
mod log;
mod preview;
mod progress;
mod recipients;
mod resolve;
mod retry;
mod schedule;
mod shown;
mod start;
mod stats;
mod test_send;
mod values;
mod view;
mod why;

use std::sync::Arc;

use actix_web::web::{self, Data, ServiceConfig};
use chrono::{DateTime, SecondsFormat, Utc};
use coordination::Limiter;
use kernel::Clock;
use relay::Relay;
use sending::Sender;
use storage::Database;

use crate::engine::Ticks;

/// What handlers work with.
pub(crate) struct Api {
    pub(crate) db: Database,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limiter: Limiter,
    /// Publishes what happened, after the commit.
    pub(crate) relay: Relay,
    /// Is told that messages may be sent.
    pub(crate) sender: Sender,
    /// Takes ticks to the workers.
    pub(crate) ticks: Ticks,
    /// R1 for connections without their own, per minute.
    pub(crate) api_per_minute: u32,
}

/// Mounts the API; the listener's `Auth` is mounted by whoever serves it.
pub(crate) fn routes(api: &Data<Api>, config: &mut ServiceConfig) {
    let resource =
        |path: &str| web::resource(format!("/v1/campaigns{path}")).app_data(Data::clone(api));
    config
        .service(
            resource("")
                .route(web::get().to(campaigns::list))
                .route(web::post().to(campaigns::create)),
        )
        .service(
            resource("/{campaign}")
                .route(web::get().to(campaigns::show))
                .route(web::patch().to(campaigns::change))
                .route(web::delete().to(campaigns::delete)),
        )
        .service(resource("/{campaign}/clone").route(web::post().to(clones::create)))
        .service(resource("/{campaign}/audience/file").route(web::put().to(audience::upload)))
        .service(resource("/{campaign}/audience/preview").route(web::post().to(preview::show)))
        .service(resource("/{campaign}/test-send").route(web::post().to(test_send::send)))
        .service(
            resource("/{campaign}/schedule")
                .route(web::put().to(schedule::set))
                .route(web::delete().to(schedule::clear)),
        )
        .service(resource("/{campaign}/start").route(web::post().to(start::start)))
        .service(resource("/{campaign}/pause").route(web::post().to(control::pause)))
        .service(resource("/{campaign}/resume").route(web::post().to(control::resume)))
        .service(resource("/{campaign}/cancel").route(web::post().to(control::cancel)))
        .service(resource("/{campaign}/retry-failed").route(web::post().to(retry::failed)))
        .service(resource("/{campaign}/recipients/resolve").route(web::post().to(resolve::resolve)))
        .service(resource("/{campaign}/recipients").route(web::get().to(recipients::list)))
        .service(resource("/{campaign}/stats").route(web::get().to(stats::show)))
        .service(resource("/{campaign}/log").route(web::get().to(log::list)));
}

/// A time as the API shows it: RFC 3339, UTC, milliseconds.
fn shown_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
