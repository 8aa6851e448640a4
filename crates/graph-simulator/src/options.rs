//! What the simulator is told at its start.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use kernel::{Clock, SystemClock};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::fault::Faults;

/// The WABA of a phone number the simulator was not told about.
pub(crate) const DEFAULT_WABA: &str = "318264501773920";

/// How a [`crate::Simulator`] starts. Everything has a default.
#[derive(Clone)]
pub struct SimulatorOptions {
    /// Where the Graph side and the control side listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where webhooks go and how they are signed and redelivered.
    pub webhook: WebhookSettings,
    /// The only Bearer token that is accepted; `None` accepts any that is not empty.
    pub access_token: Option<String>,
    /// Decides every fault, delay and duplicate; `None` draws one and logs it.
    pub seed: Option<u64>,
    /// Phone numbers known from the start. An unknown one is welcomed when it first appears.
    pub numbers: Vec<Number>,
    /// What goes wrong from the start.
    pub faults: Faults,
    /// Webhook POSTs under way at once, at most.
    pub concurrency: usize,
    /// Threads that serve HTTP.
    pub workers: usize,
    /// Dates the sends, messages and statuses.
    pub clock: Arc<dyn Clock>,
}

impl Default for SimulatorOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            webhook: WebhookSettings::default(),
            access_token: None,
            seed: None,
            numbers: Vec::new(),
            faults: Faults::default(),
            concurrency: 32,
            workers: 1,
            clock: Arc::new(SystemClock),
        }
    }
}

impl SimulatorOptions {
    /// Options whose webhooks go to `target`, signed with `app_secret`.
    pub fn with_webhook(target: Url, app_secret: impl Into<String>) -> Self {
        let webhook = WebhookSettings {
            targets: vec![target],
            app_secret: app_secret.into(),
            ..WebhookSettings::default()
        };
        Self { webhook, ..Self::default() }
    }
}

/// Where webhooks go, and how patiently.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookSettings {
    /// `http` addresses taken in turn, one attempt each, as a load balancer would. Without any,
    /// webhooks are counted and dropped.
    pub targets: Vec<Url>,
    /// Signs the bodies.
    pub app_secret: String,
    /// Pause before the first redelivery, in milliseconds.
    pub first_retry_ms: u64,
    /// What each further pause is multiplied by, up to 30 s.
    pub retry_factor: f64,
    /// How long a POST is redelivered before it is given up, in milliseconds. Meta takes 7 days.
    pub give_up_after_ms: u64,
    /// How long one attempt may wait for its answer, in milliseconds.
    pub timeout_ms: u64,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            app_secret: "5f0c1e9a77d34b0c8d21aa90fe31c6b4".to_owned(),
            first_retry_ms: 200,
            retry_factor: 2.0,
            give_up_after_ms: 600_000,
            timeout_ms: 10_000,
        }
    }
}

/// A business phone number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Number {
    /// Meta's id of the number.
    pub phone_number_id: String,
    /// The account it belongs to.
    pub waba_id: String,
    /// Its digits, as webhooks show them.
    pub display_phone_number: String,
}

impl Number {
    /// A number of the account `waba_id` whose digits are made up from its id.
    pub fn new(waba_id: impl Into<String>, phone_number_id: impl Into<String>) -> Self {
        let phone_number_id = phone_number_id.into();
        let tail: Vec<char> = phone_number_id.chars().rev().take(8).collect();
        let display_phone_number = format!("4930{}", tail.iter().rev().collect::<String>());
        Self { phone_number_id, waba_id: waba_id.into(), display_phone_number }
    }
}
