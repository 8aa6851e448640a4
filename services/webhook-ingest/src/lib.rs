//! The door for Meta's webhooks: who signed, what is in it, safely at the broker, and only then 200.
//!
//! Invariants:
//! - 200 means that the broker confirmed every event of the POST (D5); whoever hears anything else
//!   delivers all of it again, and that is the outbox of this service;
//! - nothing of a body is believed, parsed or kept before its signature was found to be right;
//! - no database and no lock is on the way of a POST: apps and connections are looked up in memory;
//! - what is signed is kept, known or not: refusing it would bring it back for seven days.

mod admission;
mod alone;
mod answer;
mod app;
mod body;
mod directory;
mod door;
mod events;
mod handshake;
mod markers;
mod meters;
mod refusal;

pub use self::alone::run_alone;

use std::sync::Arc;

use actix_web::web::{self, ServiceConfig};
use anyhow::ensure;
use coordination::Limiter;
use kernel::Clock;
use messaging::{Broker, LinkState};
use service::{Health, Life, Need};
use settings::Settings;
use storage::Database;
use storage::sealed::Sealer;
use storage::status_pipeline::Pulse;

use crate::admission::Admission;
use crate::app::App;
use crate::directory::{Directory, Source};
use crate::door::Door;

/// What the service is given.
pub struct Dependencies {
    /// Takes the events.
    pub broker: Broker,
    /// Knows apps and connections; may be away.
    pub database: Database,
    /// Opens the apps' secrets.
    pub sealer: Sealer,
    /// Keeps R4.
    pub limiter: Limiter,
    /// The time of receipt.
    pub clock: Arc<dyn Clock>,
    /// Everything that is set.
    pub settings: Settings,
}

/// The running service; clones are the same.
#[derive(Clone)]
pub struct Ingest {
    door: web::Data<Door>,
    broker: Broker,
}

/// Starts the service. Neither database nor broker needs to be there yet: without the first, only
/// the default app is known; without the second, webhooks are answered 503.
///
/// # Errors
///
/// When a configured secret or verify token is empty: anybody could sign with it.
pub fn start(life: &Life, dependencies: Dependencies) -> anyhow::Result<Ingest> {
    let Dependencies { broker, database, sealer, limiter, clock, settings } = dependencies;
    let default_app = App::of_settings(&settings.meta)?;
    ensure!(settings.limits.webhook_per_minute > 0, "limits.webhook_per_minute is 0");
    let (tasks, stopping) = (life.tasks(), life.stopping());
    let pulse =
        Pulse::start("ingest", database.clone(), Arc::clone(&clock), tasks, stopping.clone());
    tasks.spawn(markers::run(broker.publisher(), Arc::clone(&clock), stopping));
    let source = Source {
        database,
        sealer,
        clock: Arc::clone(&clock),
        per_minute: settings.limits.webhook_per_minute,
    };
    let directory = Arc::new(Directory::new(default_app, source));
    let refreshed = Arc::clone(&directory);
    let stopping = life.stopping();
    life.spawn_vital("webhook directory", async move {
        refreshed.keep_fresh(stopping).await;
        Ok(())
    });
    let door = Door::new(
        directory,
        Admission::new(limiter),
        broker.publisher(),
        clock,
        pulse,
        &settings.http,
        life.stopping(),
    );
    Ok(Ingest { door: web::Data::new(door), broker })
}

impl Ingest {
    /// Mounts `/webhooks/whatsapp` and `/webhooks/whatsapp/{app}`.
    pub fn routes(&self, config: &mut ServiceConfig) {
        config.app_data(web::Data::clone(&self.door));
        for path in ["/webhooks/whatsapp", "/webhooks/whatsapp/{app}"] {
            config.service(
                web::resource(path)
                    .route(web::get().to(handshake::answer))
                    .route(web::post().to(door::receive)),
            );
        }
    }

    /// Adds the question whether webhooks can be taken to `/readyz`.
    #[must_use]
    pub fn checked_by(&self, health: Health) -> Health {
        let broker = self.broker.clone();
        health.check("webhooks", Need::Required, move || {
            let state = broker.health().publish;
            async move {
                ensure!(state == LinkState::Up, "the publishing connection is {state:?}");
                Ok(())
            }
        })
    }

    /// Waits until the process is stopping and no POST is in hand any more: only then may the broker
    /// be stopped.
    pub async fn drained(&self) {
        self.door.drained().await;
    }
}
