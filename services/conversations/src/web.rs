//! The HTTP API: connections and Meta apps are made here, messages are sent; conversations, messages and
//! events are read.
//!
//! Invariants: every handler takes its [`Caller`], asks for a scope, and passes the workspace to every
//! query; what belongs to another workspace looks like what does not exist; a parameter that is not
//! known is refused; a secret goes in and never comes out.
//!
//! [`Caller`]: service::Caller

mod connections;
mod conversations;
mod events;
mod messages;
mod meta_apps;
mod values;

use std::sync::Arc;

use actix_web::web::ServiceConfig;
use coordination::Limiter;
use kernel::Clock;
use relay::Relay;
use sending::Sender;
use storage::Database;
use storage::sealed::Sealer;

/// What handlers work with; mounted as `web::Data`.
#[derive(Clone)]
pub struct State {
    /// The product's database.
    pub db: Database,
    /// Seals access tokens and app secrets.
    pub sealer: Sealer,
    /// Decides what is stored as now.
    pub clock: Arc<dyn Clock>,
    /// Default limits, for connections that have none of their own.
    pub limits: settings::Limits,
    /// Says whether a message will have to wait.
    pub limiter: Limiter,
    /// Is told that messages were enqueued.
    pub sender: Sender,
    /// Publishes what happened.
    pub relay: Relay,
}

/// Mounts the routes. The application needs [`State`] and [`service::Auth`], both as `web::Data`.
pub fn routes(config: &mut ServiceConfig) {
    connections::routes(config);
    meta_apps::routes(config);
    conversations::routes(config);
    messages::routes(config);
    events::routes(config);
}
