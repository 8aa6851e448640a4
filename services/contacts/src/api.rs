//! `/v1/contacts` and what is below it.
//!
//! Invariants: every handler takes its [`Caller`], asks for a scope, and passes the workspace to every
//! query; what belongs to another workspace looks like what does not exist; a parameter that is not
//! known is refused.
//!
//! [`Caller`]: service::Caller

mod people;
mod values;

use std::sync::Arc;

use actix_web::web::{self, Data, ServiceConfig};
use kernel::Clock;
use storage::Database;

use crate::files::Files;
use crate::jobs::Ticks;
use crate::{export, import};

/// What handlers work with.
pub(crate) struct Api {
    pub(crate) db: Database,
    pub(crate) clock: Arc<dyn Clock>,
    /// Keeps the files of imports and exports.
    pub(crate) files: Files,
    /// Bytes of an import's file at most.
    pub(crate) most_import_bytes: u64,
    /// Takes ticks to the workers.
    pub(crate) ticks: Ticks,
}

/// Mounts the API; the listener's `Auth` is mounted by whoever serves it.
pub(crate) fn routes(api: &Data<Api>, config: &mut ServiceConfig) {
    import::api::routes(api, config);
    export::api::routes(api, config);
    let resource =
        |path: &str| web::resource(format!("/v1/contacts{path}")).app_data(Data::clone(api));
    config
        .service(resource("").route(web::get().to(people::list)))
        .service(resource("/by-phone/{e164}").route(web::put().to(people::keep)))
        .service(
            resource("/{id}")
                .route(web::get().to(people::read))
                .route(web::patch().to(people::change)),
        )
        .service(resource("/{id}/opt-out").route(web::post().to(people::opt_out)))
        .service(resource("/{id}/opt-in").route(web::post().to(people::opt_in)));
}
