//! Listeners: one application shape for every service, served until the process stops.

pub mod etag;
mod front;
pub mod health;
pub mod json;
pub mod page;
pub mod query;
pub mod request_id;
pub mod version;

use std::net::SocketAddr;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{App, Error, HttpResponse, HttpServer};
use anyhow::Context;
use tracing::info;

use crate::{Life, Problem};

/// How long open requests may take after a stop, in seconds; inside the process' grace of 25 s.
const DRAIN_SECONDS: u64 = 20;

/// Where to listen.
#[derive(Clone, Copy, Debug)]
pub struct Listener {
    /// What it is called in logs.
    pub name: &'static str,
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Threads that serve requests; without it, one per core.
    pub workers: Option<usize>,
}

impl Listener {
    /// The listener for webhooks and the API.
    pub fn public(http: &settings::Http) -> Self {
        Self { name: "http", address: http.listen, workers: http.workers }
    }

    /// The listener for health and metrics, if it is not the public one.
    pub fn admin(http: &settings::Http) -> Option<Self> {
        http.admin_listen.map(|address| Self { name: "admin", address, workers: Some(1) })
    }
}

/// Serves `routes` until the process stops; answers with the address listened on.
///
/// After the stop no connection is taken any more and open requests are finished.
///
/// # Errors
///
/// When the address cannot be listened on.
pub fn serve(
    life: &Life,
    listener: Listener,
    routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> anyhow::Result<SocketAddr> {
    let Listener { name, address, workers } = listener;
    let mut server =
        HttpServer::new(move || app(&routes)).disable_signals().shutdown_timeout(DRAIN_SECONDS);
    if let Some(workers) = workers {
        server = server.workers(workers);
    }
    let server = server.bind(address).with_context(|| format!("cannot listen on {address}"))?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    let server = server.run();
    front::describe();
    let stopping = life.stopping();
    life.spawn_vital(name, async move {
        let handle = server.handle();
        let mut server = std::pin::pin!(server);
        tokio::select! {
            ended = &mut server => return Ok(ended?),
            () = stopping.cancelled() => (),
        }
        let (ended, ()) = tokio::join!(server, handle.stop(true));
        Ok(ended?)
    });
    info!(listener = name, address = %bound, "listening");
    Ok(bound)
}

/// The application around `routes`: what [`serve`] serves, and what tests call in process.
///
/// Mount addresses as `web::resource(path).route(…)`: actix then knows which methods to allow.
pub fn app(
    routes: &dyn Fn(&mut ServiceConfig),
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = Error,
        InitError = (),
    > + use<>,
> {
    App::new().wrap(from_fn(front::front)).configure(routes).default_service(web::to(nothing_here))
}

async fn nothing_here() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found())
}
