//! Promises of the fake Meta, kept over real sockets.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod account;
mod faults;
mod flood;
mod receiver;
mod send;
mod webhooks;

use std::time::Duration;

use graph_simulator::{Simulator, SimulatorOptions};
use reqwest::{Client, Response};
use serde_json::{Value, json};

/// The number everything is sent from.
const NUMBER: &str = "290184457761305";
/// Long enough for a busy machine; nothing waits so long when all is well.
const SOON: Duration = Duration::from_secs(10);

/// A simulator and somebody who talks to it.
struct Talk {
    simulator: Simulator,
    client: Client,
}

impl Talk {
    async fn start(options: SimulatorOptions) -> Self {
        // Another test of this process may have been first.
        rustls::crypto::ring::default_provider().install_default().ok();
        let simulator = Simulator::start(options).await.unwrap();
        let client = Client::builder().timeout(SOON).build().unwrap();
        Self { simulator, client }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.simulator.base_url())
    }

    async fn send(&self, body: &Value) -> reqwest::Result<Response> {
        let url = self.url(&format!("v25.0/{NUMBER}/messages"));
        self.client.post(url).bearer_auth("token").json(body).send().await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(self.url(path)).bearer_auth("token").send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// Calls the control side and gives the status and the answer.
    async fn control(&self, method: reqwest::Method, path: &str, body: &Value) -> (u16, Value) {
        let url = self.simulator.control_url().join(path).unwrap();
        let answer = self.client.request(method, url).json(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

/// A text to a person, with the callback data of an attempt.
fn text(to: &str, body: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": body},
        "biz_opaque_callback_data": format!("sw1.attempt.{body}.0")})
}
