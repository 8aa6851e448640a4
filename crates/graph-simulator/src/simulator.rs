//! The embeddable simulator.

use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use bytes::Bytes;
use serde_json::Value;
use thiserror::Error;
use tracing::{info, warn};
use url::Url;

use crate::fault::Faults;
use crate::graph::remember_socket;
use crate::inbound::{InboundMessage, Repeat};
use crate::ledger::{Duplicate, Sent, Violation};
use crate::options::{Number, SimulatorOptions, WebhookSettings};
use crate::sync::lock;
use crate::wire::TargetError;
use crate::world::{Stats, World};
use crate::{control, dice, graph};

/// How long an idle connection stays open: longer than clients keep theirs, so that a call breaks
/// off only when the script says so.
const KEEP_ALIVE: Duration = Duration::from_secs(120);

/// The simulator could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("the simulator cannot listen on its address")]
    Listen(#[from] io::Error),
    /// A webhook address cannot be used.
    #[error("a webhook target is refused")]
    Target(#[from] TargetError),
    /// The address that was bound makes no URL.
    #[error("the simulator's address is not a URL")]
    Address(#[from] url::ParseError),
}

/// Something did not happen in time.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum WaitError {
    /// Webhooks are still to be delivered.
    #[error("{pending} webhooks are still to be delivered")]
    Undelivered {
        /// How many, scheduled statuses included.
        pending: usize,
    },
    /// Too few messages were accepted.
    #[error("only {accepted} messages were accepted")]
    Unsent {
        /// How many were.
        accepted: usize,
    },
}

/// A running simulator. Dropping it stops it.
pub struct Simulator {
    world: Data<World>,
    server: ServerHandle,
    base_url: Url,
}

/// Runs a simulator until `until` is over, e.g. a signal.
///
/// # Errors
/// When it cannot start.
pub async fn run(
    options: SimulatorOptions,
    until: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let simulator = Simulator::start(options).await?;
    until.await;
    simulator.stop().await;
    Ok(())
}

impl Simulator {
    /// Starts a simulator; it serves when this returns.
    ///
    /// # Errors
    /// When the address cannot be bound or a webhook target is not an `http` address.
    #[expect(clippy::unused_async, reason = "needs a runtime, which async says")]
    pub async fn start(options: SimulatorOptions) -> Result<Self, StartError> {
        let (listen, workers) = (options.listen, options.workers);
        let seed = options.seed.unwrap_or_else(dice::nonce);
        let world = Data::new(World::new(options, seed)?);
        let shared = Data::clone(&world);
        let server = HttpServer::new(move || {
            App::new()
                .app_data(Data::clone(&shared))
                .configure(control::routes)
                .configure(graph::routes)
        })
        .workers(workers.max(1))
        .disable_signals()
        .keep_alive(KEEP_ALIVE)
        // A client may open connections ahead of its requests; Meta does not close those after 5 s.
        .client_request_timeout(KEEP_ALIVE)
        .shutdown_timeout(1)
        .on_connect(remember_socket)
        .bind(listen)?;
        let address = server.addrs().first().copied().unwrap_or(listen);
        let base_url: Url = format!("http://{address}").parse()?;
        let server = server.run();
        let handle = server.handle();
        world.tasks.spawn_to_its_end(async move {
            if let Err(error) = server.await {
                warn!(error = %kernel::chain(&error), "simulator's server ended");
            }
        });
        info!(seed, url = %base_url, "simulator started");
        Ok(Self { world, server: handle, base_url })
    }

    /// The root of the Graph side, without a version.
    pub const fn base_url(&self) -> &Url {
        &self.base_url
    }

    /// The root of the control side; its paths are relative to it, e.g. `stats`.
    pub fn control_url(&self) -> Url {
        let mut url = self.base_url.clone();
        url.set_path("/_control/");
        url
    }

    /// Decides every fault.
    pub fn seed(&self) -> u64 {
        self.world.seed
    }

    /// Replaces the fault script; rules count from 0 again.
    pub fn set_faults(&self, faults: Faults) {
        self.world.script.replace(faults);
    }

    /// The settings of the webhooks.
    pub fn webhook(&self) -> WebhookSettings {
        self.world.courier.settings()
    }

    /// Changes where webhooks go; redeliveries under way follow.
    ///
    /// # Errors
    /// When a target is not an `http` address; nothing changes then.
    pub fn set_webhook(&self, settings: WebhookSettings) -> Result<(), TargetError> {
        self.world.courier.redirect(settings)
    }

    /// Makes a phone number known, with its account.
    pub fn add_number(&self, number: Number) {
        self.world.add_number(number);
    }

    /// Replaces the templates of an account.
    pub fn set_templates(&self, waba_id: impl Into<String>, templates: Vec<Value>) {
        lock(&self.world.templates).insert(waba_id.into(), templates);
    }

    /// Meta decides about a template of an account (`APPROVED`, `PAUSED`, …): the list says so from
    /// now on, and a webhook follows. Whether there is such a template.
    pub fn decide(&self, waba_id: &str, template_id: &str, event: &str) -> bool {
        self.world.decide(waba_id, template_id, event)
    }

    /// The templates of an account, as they are now.
    pub fn templates(&self, waba_id: &str) -> Vec<Value> {
        lock(&self.world.templates).get(waba_id).cloned().unwrap_or_default()
    }

    /// Keeps a piece of media, e.g. for an inbound image, and gives its id.
    pub fn add_media(&self, mime_type: impl Into<String>, bytes: impl Into<Bytes>) -> String {
        self.world.media.add(mime_type.into(), bytes.into())
    }

    /// A person writes a text; gives its wamid. The webhook is delivered in the background.
    pub fn deliver_text(
        &self,
        phone_number_id: &str,
        from: &str,
        name: &str,
        text: &str,
    ) -> String {
        let message = InboundMessage::text(phone_number_id, from, name, text);
        self.deliver(vec![message], 1, Repeat::ONCE).pop().unwrap_or_default()
    }

    /// People write, `per_post` messages (1 to 1,000) to a POST, each POST as often as `repeat`
    /// says; gives the wamids in order. The webhooks are delivered in the background.
    pub fn deliver(
        &self,
        messages: Vec<InboundMessage>,
        per_post: usize,
        repeat: Repeat,
    ) -> Vec<String> {
        self.world.write(messages, per_post, repeat)
    }

    /// Signs `body` and delivers it byte for byte.
    pub fn deliver_raw(&self, body: impl Into<Vec<u8>>, repeat: Repeat) {
        self.world.courier.post(body.into(), repeat);
    }

    /// Every accepted message, in order.
    pub fn sent(&self) -> Vec<Sent> {
        self.world.ledger.sent(|_| true)
    }

    /// The accepted messages to a person (with or without `+`), in order.
    pub fn sent_to(&self, recipient: &str) -> Vec<Sent> {
        let recipient = recipient.trim_start_matches('+');
        self.world.ledger.sent(|sent| sent.recipient == recipient)
    }

    /// How many messages were accepted.
    pub fn sent_count(&self) -> usize {
        self.world.ledger.totals().accepted
    }

    /// How many accepted messages share each key.
    pub fn count_by<K: Eq + Hash>(&self, key: impl Fn(&Sent) -> K) -> HashMap<K, usize> {
        self.world.ledger.count_by(key)
    }

    /// Messages accepted more than once: the same person and the same message part of callback
    /// data `sw1.<attempt>.<message>.<epoch>`, or without such data the same content.
    pub fn duplicates(&self) -> Vec<Duplicate> {
        self.world.ledger.duplicates()
    }

    /// Calls Meta would have misunderstood.
    pub fn violations(&self) -> Vec<Violation> {
        self.world.ledger.violations()
    }

    /// The totals.
    pub fn stats(&self) -> Stats {
        self.world.stats()
    }

    /// Waits until every webhook was answered 200 or given up, scheduled statuses included.
    ///
    /// # Errors
    /// When some are still to come at the deadline.
    pub async fn wait_until_delivered(&self, deadline: Duration) -> Result<(), WaitError> {
        let delivered = self.world.wait_until_delivered(deadline).await;
        delivered.map_err(|pending| WaitError::Undelivered { pending })
    }

    /// Waits until at least `count` messages were accepted.
    ///
    /// # Errors
    /// When there are fewer at the deadline.
    pub async fn wait_until_sent(&self, count: usize, deadline: Duration) -> Result<(), WaitError> {
        let mut accepted = self.world.ledger.watch();
        let done = accepted.wait_for(|accepted| *accepted >= count);
        if let Ok(Ok(_)) = tokio::time::timeout(deadline, done).await {
            return Ok(());
        }
        Err(WaitError::Unsent { accepted: self.sent_count() })
    }

    /// Forgets what was sent, and keeps the script and everything else.
    pub fn forget_sent(&self) {
        self.world.ledger.clear();
    }

    /// Forgets what happened and what should go wrong; numbers, templates, media and targets stay,
    /// and deliveries under way go on.
    pub fn reset(&self) {
        self.world.reset();
    }

    /// Stops at once: open calls break off, webhooks not yet delivered never are.
    pub async fn stop(self) {
        self.server.stop(false).await;
        self.world.tasks.cancel();
        self.world.tasks.ended().await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // The command is given by the call; only its confirmation would have to be awaited.
        drop(self.server.stop(false));
        self.world.tasks.cancel();
    }
}
