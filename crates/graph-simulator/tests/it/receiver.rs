//! The other end of the webhooks: keeps every POST and answers as told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::web::{self, Data, PayloadConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use bytes::Bytes;
use graph_simulator::{SimulatorOptions, StatusPlan, WebhookSettings};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

pub(crate) const SECRET: &str = "a secret of the app";

pub(crate) struct Receiver {
    shared: Data<Shared>,
    address: SocketAddr,
    server: ServerHandle,
}

#[derive(Default)]
struct Shared {
    posts: Mutex<Vec<Post>>,
    /// Answers to come; 200 when there is none.
    answers: Mutex<VecDeque<u16>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) body: Bytes,
    pub(crate) signature: String,
    pub(crate) at: Instant,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap())
    }

    pub(crate) fn start_at(address: SocketAddr) -> Self {
        let shared = Data::new(Shared::default());
        let data = Data::clone(&shared);
        let server = HttpServer::new(move || {
            App::new()
                .app_data(Data::clone(&data))
                .app_data(PayloadConfig::new(4 * 1024 * 1024))
                .route("/hook", web::post().to(keep))
        })
        .workers(1)
        .disable_signals()
        .bind(address)
        .unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        tokio_util::task::TaskTracker::new().spawn(server);
        Self { shared, address, server: handle }
    }

    pub(crate) fn url(&self) -> Url {
        format!("http://{}/hook", self.address).parse().unwrap()
    }

    /// Options of a simulator that redelivers quickly and tells no statuses.
    pub(crate) fn options(&self) -> SimulatorOptions {
        let webhook = WebhookSettings {
            targets: vec![self.url()],
            app_secret: SECRET.to_owned(),
            first_retry_ms: 10,
            ..WebhookSettings::default()
        };
        let mut options =
            SimulatorOptions { webhook, seed: Some(7), ..SimulatorOptions::default() };
        options.faults.statuses = StatusPlan { statuses: Vec::new(), ..StatusPlan::default() };
        options
    }

    /// Answers the next POSTs with these statuses.
    pub(crate) fn answer(&self, statuses: &[u16]) {
        self.shared.answers.lock().unwrap().extend(statuses);
    }

    pub(crate) fn posts(&self) -> Vec<Post> {
        self.shared.posts.lock().unwrap().clone()
    }

    /// Every status received, in order.
    pub(crate) fn statuses(&self) -> Vec<Value> {
        self.each("statuses")
    }

    /// Every message received, in order.
    pub(crate) fn messages(&self) -> Vec<Value> {
        self.each("messages")
    }

    fn each(&self, kind: &str) -> Vec<Value> {
        let changes = self.posts().into_iter().flat_map(|post| {
            let body: Value = serde_json::from_slice(&post.body).unwrap();
            body["entry"][0]["changes"].as_array().unwrap().clone()
        });
        changes.flat_map(|c| c["value"][kind].as_array().cloned().unwrap_or_default()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.server.stop(false));
    }
}

async fn keep(shared: Data<Shared>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let signature = request.headers().get("x-hub-signature-256").unwrap().to_str().unwrap();
    let post = Post { body, signature: signature.to_owned(), at: Instant::now() };
    shared.posts.lock().unwrap().push(post);
    let status = shared.answers.lock().unwrap().pop_front().unwrap_or(200);
    tokio::time::sleep(Duration::from_millis(1)).await;
    HttpResponse::build(StatusCode::from_u16(status).unwrap()).finish()
}

/// HMAC-SHA256 by the book (RFC 2104), apart from the code under test.
pub(crate) fn hmac(secret: &str, body: &[u8]) -> String {
    let padded = |fill: u8| {
        let mut key = [fill; 64];
        key.iter_mut().zip(secret.bytes()).for_each(|(pad, byte)| *pad ^= byte);
        key
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(body).finalize();
    let outer = Sha256::new().chain_update(padded(0x5C)).chain_update(inner).finalize();
    format!("sha256={}", hex::encode(outer))
}
