//! `/v1/contacts` and what is below it.
//!
//! Invariants: every handler takes its [`Caller`], asks for a scope, and passes the workspace to every
//! query; what belongs to another workspace looks like what does not exist; a parameter that is not
//! known is refused. What is changed and the event that tells of it commit together.
//!
//! [`Caller`]: service::Caller

mod consent;
mod erase;
mod list;
mod merge;
mod notes;
mod people;
mod shown;
mod tags;
mod values;

use std::sync::Arc;

use actix_web::web::{self, Data, ServiceConfig};
use chrono::{DateTime, Utc};
use kernel::Clock;
use kernel::ids::{ContactId, WorkspaceId};
use relay::Relay;
use storage::events::{self, Event};
use storage::{AsyncPgConnection, Database, StorageError};

use crate::files::Files;
use crate::jobs::Ticks;
use crate::{export, import};

/// What handlers work with.
pub(crate) struct Api {
    pub(crate) db: Database,
    pub(crate) relay: Relay,
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
        .service(resource("").route(web::get().to(list::list)))
        .service(resource("/by-phone/{e164}").route(web::put().to(people::keep)))
        .service(resource("/merge").route(web::post().to(merge::merge)))
        .service(
            resource("/{id}")
                .route(web::get().to(people::read))
                .route(web::patch().to(people::change))
                .route(web::delete().to(erase::erase)),
        )
        .service(resource("/{id}/opt-out").route(web::post().to(consent::opt_out)))
        .service(resource("/{id}/opt-in").route(web::post().to(consent::opt_in)))
        .service(resource("/{id}/consents").route(web::get().to(consent::list)))
        .service(
            resource("/{id}/tags/{tag}")
                .route(web::put().to(tags::add))
                .route(web::delete().to(tags::remove)),
        )
        .service(
            resource("/{id}/notes")
                .route(web::get().to(notes::list))
                .route(web::post().to(notes::add)),
        )
        .service(resource("/{id}/notes/{note}").route(web::delete().to(notes::remove)));
}

/// Promises to tell what happened to a contact, in the transaction in which it does.
async fn tell(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    contact: ContactId,
    event_type: &'static str,
    now: DateTime<Utc>,
) -> Result<Event, StorageError> {
    let traceparent = telemetry::trace::current_traceparent();
    let event = Event::about_contact(workspace, contact, event_type, now, traceparent);
    events::append(tx, std::slice::from_ref(&event), now).await?;
    Ok(event)
}
