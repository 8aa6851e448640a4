//! `/v1/templates` and `/v1/template-syncs`.
//!
//! Invariant: every handler takes its [`Caller`], asks for a scope, and passes the workspace to every
//! query that takes an id; what belongs to another workspace looks like what does not exist; a
//! parameter that is not known is refused.
//!
//! [`Caller`]: service::Caller

mod refused;
mod render;
mod schedules;
mod shown;
mod syncs;
mod templates;
mod values;
mod write;

use std::sync::Arc;

use actix_web::web::{self, Data, ServiceConfig};
use chrono::{DateTime, SecondsFormat, Utc};
use kernel::Clock;
use kernel::ids::{ConnectionId, WorkspaceId};
use relay::Relay;
use service::Problem;
use storage::Database;
use storage::connections::{self, Connection};

use crate::engine::Ticks;
use crate::meta::Meta;

/// What handlers work with.
pub(crate) struct Api {
    pub(crate) db: Database,
    pub(crate) meta: Meta,
    /// Publishes what happened, after the commit.
    pub(crate) relay: Relay,
    /// Takes hints to the workers.
    pub(crate) ticks: Ticks,
    pub(crate) clock: Arc<dyn Clock>,
    /// The installation's interval, in seconds; 0: never by the clock.
    pub(crate) every: i64,
}

impl Api {
    /// A living connection of the workspace, named by a request at `pointer`.
    async fn connection(
        &self,
        workspace: WorkspaceId,
        id: ConnectionId,
        pointer: &str,
    ) -> Result<Connection, Problem> {
        let mut conn = self.db.connection().await?;
        let found = connections::find(&mut conn, workspace, id).await?;
        found.ok_or_else(|| {
            let detail = "there is no such connection in this workspace";
            Problem::invalid(pointer, "unknown_connection", detail)
        })
    }
}

/// Mounts the API; the listener's `Auth` is mounted by whoever serves it.
pub(crate) fn routes(api: &Data<Api>, config: &mut ServiceConfig) {
    let resource = |path: &str| web::resource(path).app_data(Data::clone(api));
    config
        .service(
            resource("/v1/templates")
                .route(web::get().to(templates::list))
                .route(web::post().to(write::create)),
        )
        .service(
            resource("/v1/templates/{template}")
                .route(web::get().to(templates::show))
                .route(web::patch().to(write::change))
                .route(web::delete().to(write::delete)),
        )
        .service(resource("/v1/templates/{template}/render").route(web::post().to(render::render)))
        .service(resource("/v1/templates/{template}/unpause").route(web::post().to(write::unpause)))
        .service(
            resource("/v1/template-syncs")
                .route(web::get().to(syncs::list))
                .route(web::post().to(syncs::start)),
        )
        .service(
            resource("/v1/template-syncs/schedules/{connection}")
                .route(web::get().to(schedules::show))
                .route(web::put().to(schedules::set)),
        )
        .service(resource("/v1/template-syncs/{sync}").route(web::get().to(syncs::show)));
}

/// A time as the API shows it: RFC 3339, UTC, milliseconds.
fn shown_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
