//! The limit without a ledger: the same bodies, posted by the same HTTP library with the same
//! settings, as many at once as a sender has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::ensure;
use graph_simulator::Sent;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::driver::number;
use crate::installation::Installation;

/// What a process of ours has on the way at once at most (`crates/sending`).
const IN_FLIGHT: usize = 256;

/// Posts what was sent once more; answers messages per second.
pub(super) async fn run(install: &Installation, sent: &[Sent]) -> anyhow::Result<f64> {
    let http = reqwest::Client::builder()
        .tcp_nodelay(true)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .tls_certs_only([])
        .build()?;
    let number_id = sent.first().map(|sent| sent.phone_number_id.clone()).unwrap_or_default();
    let url = install.meta().base_url().join(&format!("v25.0/{number_id}/messages"))?;
    let bodies: Arc<[String]> = sent.iter().map(|sent| sent.body.to_string()).collect();
    install.meta().forget_sent();
    let next = Arc::new(AtomicUsize::new(0));
    let mut posters = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..IN_FLIGHT {
        let (http, url, bodies) = (http.clone(), url.clone(), Arc::clone(&bodies));
        let next = Arc::clone(&next);
        posters.spawn(async move {
            while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                let request = http.post(url.clone()).bearer_auth("EAAG-a-token");
                let request = request.header("content-type", "application/json");
                let answer = request.body(body.clone()).send().await?;
                ensure!(answer.status().is_success(), "raw: {}", answer.status());
                answer.bytes().await?;
            }
            Ok(())
        });
    }
    while let Some(poster) = posters.join_next().await {
        poster??;
    }
    Ok(number(bodies.len()) / begun.elapsed().as_secs_f64())
}
