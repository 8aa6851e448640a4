//! `/livez`, `/readyz` and `/metrics`.
//!
//! Alive means that the runtime turns: a database that is away must not restart every process.
//! Ready means that all this process needs answers within a second, and that it is not stopping.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, http::header::ContentType};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use serde::Serialize;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::Life;

/// How long one check may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether a process can work without something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Not ready without it.
    Required,
    /// Shown, but worked around when it is away.
    Optional,
}

/// What `/readyz` looks at.
#[derive(Clone)]
pub struct Health {
    stopping: CancellationToken,
    checks: Vec<Check>,
}

type Probe = Arc<dyn Fn() -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

#[derive(Clone)]
struct Check {
    name: &'static str,
    need: Need,
    probe: Probe,
}

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    checks: Vec<Outcome>,
}

#[derive(Serialize)]
struct Outcome {
    name: &'static str,
    required: bool,
    status: &'static str,
    duration_ms: u128,
}

impl Health {
    /// Looks at nothing yet but whether the process is stopping.
    pub fn new(life: &Life) -> Self {
        Self { stopping: life.stopping(), checks: Vec::new() }
    }

    /// Adds something to look at; `probe` asks it a question that costs little.
    #[must_use]
    pub fn check<P, F>(mut self, name: &'static str, need: Need, probe: P) -> Self
    where
        P: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.checks.push(Check { name, need, probe: Arc::new(move || probe().boxed()) });
        self
    }

    /// Mounts the three addresses.
    pub fn routes(&self, config: &mut ServiceConfig) {
        config
            .app_data(web::Data::new(self.clone()))
            .service(web::resource("/livez").route(web::get().to(livez)))
            .service(web::resource("/readyz").route(web::get().to(readyz)))
            .service(web::resource("/metrics").route(web::get().to(metrics)));
    }
}

impl Check {
    async fn run(&self) -> Outcome {
        let begin = Instant::now();
        let status = match timeout(PATIENCE, (self.probe)()).await {
            Ok(Ok(())) => "ok",
            Ok(Err(error)) => {
                warn!(check = self.name, error = format!("{error:#}"), "not ready");
                "failed"
            }
            Err(_) => {
                warn!(check = self.name, "not ready, no answer within a second");
                "timeout"
            }
        };
        let duration_ms = begin.elapsed().as_millis();
        Outcome { name: self.name, required: self.need == Need::Required, status, duration_ms }
    }
}

async fn livez() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "status": "alive" }))
}

async fn readyz(health: web::Data<Health>) -> HttpResponse {
    let checks = join_all(health.checks.iter().map(Check::run)).await;
    let fails = checks.iter().any(|check| check.required && check.status != "ok");
    let (mut answer, status) = if health.stopping.is_cancelled() {
        (HttpResponse::ServiceUnavailable(), "draining")
    } else if fails {
        (HttpResponse::ServiceUnavailable(), "not_ready")
    } else {
        (HttpResponse::Ok(), "ready")
    };
    answer.json(Readiness { status, checks })
}

async fn metrics() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::plaintext()).body(telemetry::metrics::render())
}
