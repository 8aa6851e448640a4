//! Answers inbound messages by rules, once each and in order, and serves the API of bots.
//!
//! A broker message is only a hint where to look: what still waits for its turn is read from the
//! database, so duplicates, redeliveries, lost and reordered hints change nothing.
//!
//! Invariants:
//! - a message has at most one turn: the conversation's place moves, under its row lock, in the
//!   transaction that stores the turn and enqueues the reply;
//! - a rule made before a message arrived is used for it: rules are cached by the bot's version, and
//!   the version is read together with the message;
//! - no network call happens inside a transaction.

mod api;
mod consumer;
mod rules;
mod store;
mod sweep;
mod turns;

use std::sync::Arc;

use actix_web::web::{Data, ServiceConfig};
use coordination::Limiter;
use kernel::Clock;
use messaging::{Broker, Consumer, ConsumerOptions, Family};
use relay::Relay;
use sending::Sender;
use service::Life;
use settings::Settings;
use storage::Database;

use self::api::Api;
use self::consumer::Hinted;
use self::turns::Turns;

/// What a chatbot works with.
pub struct Dependencies {
    /// Bots, conversations, the send ledger.
    pub db: Database,
    /// Brings hints.
    pub broker: Broker,
    /// Asked before every reply (R3).
    pub limiter: Limiter,
    /// Is told that replies were enqueued.
    pub sender: Sender,
    /// Publishes what happened.
    pub relay: Relay,
    /// Decides what is too old to answer.
    pub clock: Arc<dyn Clock>,
    /// How it works.
    pub options: Options,
}

/// How a chatbot works.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Hints handled together at most.
    pub max_batch: usize,
    /// Replies per conversation and minute (R3).
    pub bot_per_minute: u32,
}

impl From<&Settings> for Options {
    fn from(settings: &Settings) -> Self {
        Self {
            max_batch: settings.chatbot.max_batch,
            bot_per_minute: settings.limits.bot_per_minute,
        }
    }
}

/// A running chatbot; clones share it.
#[derive(Clone)]
pub struct Chatbot {
    api: Data<Api>,
}

/// Starts answering.
///
/// # Errors
///
/// None today: servers that are away are waited for.
#[expect(clippy::unused_async, reason = "every service is started alike")]
pub async fn start(life: Life, dependencies: Dependencies) -> anyhow::Result<Chatbot> {
    let Dependencies { db, broker, limiter, sender, relay, clock, options } = dependencies;
    let turns = Arc::new(Turns::new(turns::Parts {
        db: db.clone(),
        limiter,
        per_minute: options.bot_per_minute,
        sender,
        relay,
        clock: Arc::clone(&clock),
    }));
    let consumer = Consumer::new(
        &broker,
        ConsumerOptions {
            max_batch: options.max_batch,
            ..ConsumerOptions::new("chatbot", Family::Chatbots.queues())
        },
        Hinted::new(Arc::clone(&turns)),
    );
    let stopping = life.stopping();
    life.spawn_vital("chatbot consumer", async move {
        consumer.run(stopping).await;
        Ok(())
    });
    life.spawn_vital(
        "chatbot sweep",
        sweep::run(turns, db.clone(), Arc::clone(&clock), life.stopping()),
    );
    Ok(Chatbot { api: Data::new(Api::new(db, clock)) })
}

impl Chatbot {
    /// Mounts `/v1/bots` and what is below it; the listener brings [`service::Auth`].
    pub fn routes(&self, config: &mut ServiceConfig) {
        api::routes(&self.api, config);
    }
}
