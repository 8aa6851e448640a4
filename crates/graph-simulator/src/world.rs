//! What the HTTP sides and the in-process methods share.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use kernel::Clock;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::sleep;

use crate::body::{Contact, Item, Message, Profile, Update, webhook};
use crate::delivery::{Courier, WebhookStats};
use crate::dice::Dice;
use crate::fault::{Fate, Script};
use crate::graph::{MediaStore, Outgoing};
use crate::inbound::{InboundMessage, Repeat};
use crate::ledger::{Ledger, Sent};
use crate::limits::Limiter;
use crate::options::{DEFAULT_WABA, Number, SimulatorOptions};
use crate::statuses;
use crate::sync::{Tasks, lock};
use crate::wamid::Wamids;
use crate::wire::TargetError;

/// Updates in one POST, at most (Meta, "Create a webhook endpoint", 7 November 2025).
pub(crate) const MAX_UPDATES: usize = 1_000;

/// The simulator's totals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Decides every fault; start with the same one to see the same faults.
    pub seed: u64,
    /// Send calls that were understood, refused ones included.
    pub calls: u64,
    /// Messages accepted.
    pub accepted: usize,
    /// Mark-as-read calls.
    pub reads: u64,
    /// Calls about templates, refused ones included.
    pub template_calls: u64,
    /// Groups of accepted messages that should have been one.
    pub duplicates: usize,
    /// Calls Meta would have misunderstood.
    pub violations: usize,
    /// Faults played, by answer.
    pub faults: BTreeMap<&'static str, u64>,
    /// Messages people were made to write.
    pub inbound: u64,
    /// What became of the webhooks.
    pub webhooks: WebhookStats,
}

/// The simulated Meta.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) access_token: Option<String>,
    pub(crate) script: Arc<Script>,
    pub(crate) ledger: Ledger,
    pub(crate) limiter: Mutex<Limiter>,
    pub(crate) courier: Arc<Courier>,
    pub(crate) templates: Mutex<HashMap<String, Vec<Value>>>,
    pub(crate) media: MediaStore,
    pub(crate) tasks: Tasks,
    template_calls: AtomicU64,
    clock: Arc<dyn Clock>,
    wamids: Wamids,
    numbers: Mutex<HashMap<String, Arc<Number>>>,
    inbound: Mutex<u64>,
}

impl World {
    pub(crate) fn new(options: SimulatorOptions, seed: u64) -> Result<Self, TargetError> {
        let (tasks, script) = (Tasks::new(), Arc::new(Script::default()));
        script.replace(options.faults);
        let courier = Courier::new(
            tasks.clone(),
            Arc::clone(&script),
            seed,
            options.webhook,
            options.concurrency,
        )?;
        let known = |number: Number| (number.phone_number_id.clone(), Arc::new(number));
        Ok(Self {
            seed,
            access_token: options.access_token,
            script,
            ledger: Ledger::default(),
            limiter: Mutex::default(),
            courier: Arc::new(courier),
            templates: Mutex::default(),
            media: MediaStore::default(),
            tasks,
            template_calls: AtomicU64::new(0),
            clock: options.clock,
            wamids: Wamids::new(),
            numbers: Mutex::new(options.numbers.into_iter().map(known).collect()),
            inbound: Mutex::new(0),
        })
    }

    /// The number with this id; one never heard of joins the default account.
    pub(crate) fn number(&self, phone_number_id: &str) -> Arc<Number> {
        let mut numbers = lock(&self.numbers);
        let number = numbers
            .entry(phone_number_id.to_owned())
            .or_insert_with(|| Arc::new(Number::new(DEFAULT_WABA, phone_number_id)));
        Arc::clone(number)
    }

    pub(crate) fn add_number(&self, number: Number) {
        lock(&self.numbers).insert(number.phone_number_id.clone(), Arc::new(number));
    }

    pub(crate) fn numbers_of(&self, waba_id: &str) -> Vec<Arc<Number>> {
        let numbers = lock(&self.numbers);
        let mut numbers: Vec<_> =
            numbers.values().filter(|number| number.waba_id == waba_id).cloned().collect();
        numbers.sort_by(|a, b| a.phone_number_id.cmp(&b.phone_number_id));
        numbers
    }

    /// Whether the number's account has this template. One whose templates were never set has all.
    pub(crate) fn has_template(&self, phone_number_id: &str, name: &str, language: &str) -> bool {
        let number = self.number(phone_number_id);
        lock(&self.templates).get(&number.waba_id).is_none_or(|templates| {
            templates.iter().any(|known| known["name"] == name && known["language"] == language)
        })
    }

    pub(crate) fn count_template_call(&self) {
        self.template_calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Now, by the simulator's clock.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Accepts a message: it is on record, and its statuses are on their way.
    pub(crate) fn accept(&self, message: &Outgoing, fate: Fate, dice: &mut Dice) -> Sent {
        let number = self.number(&message.phone_number_id);
        let wamid = self.wamids.outbound(&message.recipient);
        let sent = message.sent(wamid, self.clock.now());
        self.ledger.accept(sent.clone());
        let faults = self.script.current();
        let told = statuses::plan(&sent, &number, &faults.statuses, fate, dice);
        if !told.is_empty() && self.courier.has_targets() {
            let (courier, expected) = (Arc::clone(&self.courier), self.courier.expect());
            self.tasks.spawn(async move {
                let _expected = expected;
                sleep(fate.held_for.unwrap_or_default()).await;
                for (delay, update) in told {
                    sleep(delay).await;
                    courier.offer(update, &faults.statuses);
                }
            });
        }
        sent
    }

    /// Lets people write: `per_post` messages to a POST, each POST as often as `repeat` says.
    pub(crate) fn write(
        &self,
        messages: Vec<InboundMessage>,
        per_post: usize,
        repeat: Repeat,
    ) -> Vec<String> {
        let (wamids, updates): (Vec<String>, Vec<Update>) =
            messages.into_iter().map(|message| self.update(message)).unzip();
        for updates in updates.chunks(per_post.clamp(1, MAX_UPDATES)) {
            self.courier.post(webhook(updates).into_bytes(), repeat);
        }
        wamids
    }

    /// Turns a message into its id and the update that tells of it.
    fn update(&self, message: InboundMessage) -> (String, Update) {
        *lock(&self.inbound) += 1;
        lock(&self.limiter).count_inbound(&message.phone_number_id);
        let person = message.from.clone().or_else(|| message.user_id.clone()).unwrap_or_default();
        let id = message.wamid.unwrap_or_else(|| self.wamids.inbound(&person));
        let timestamp = message.timestamp.unwrap_or_else(|| self.clock.now().timestamp());
        let contact = Contact {
            profile: Profile { name: message.name },
            wa_id: message.from.clone(),
            user_id: message.user_id.clone(),
        };
        let item = Item::Message {
            contact: Some(contact),
            message: Message {
                from: message.from,
                from_user_id: message.user_id,
                id: id.clone(),
                timestamp: timestamp.to_string(),
                content: message.content.unwrap_or_else(|| text(message.text)),
            },
        };
        (id, Update { number: self.number(&message.phone_number_id), item })
    }

    pub(crate) fn stats(&self) -> Stats {
        let totals = self.ledger.totals();
        Stats {
            seed: self.seed,
            calls: totals.calls,
            accepted: totals.accepted,
            reads: totals.reads,
            duplicates: totals.duplicates,
            violations: totals.violations,
            faults: self.script.played(),
            template_calls: self.template_calls.load(Ordering::Relaxed),
            inbound: *lock(&self.inbound),
            webhooks: self.courier.stats(),
        }
    }

    /// Forgets what happened and what should go wrong; numbers, templates, media and targets stay,
    /// and deliveries under way go on.
    pub(crate) fn reset(&self) {
        self.ledger.clear();
        self.script.forget();
        self.courier.clear_stats();
        *lock(&self.limiter) = Limiter::default();
        *lock(&self.inbound) = 0;
        self.template_calls.store(0, Ordering::Relaxed);
    }

    /// Waits until nothing is left to deliver; `Err` says how much still is.
    pub(crate) async fn wait_until_delivered(&self, deadline: Duration) -> Result<(), usize> {
        let mut pending = self.courier.watch();
        let done = pending.wait_for(|pending| *pending == 0);
        match tokio::time::timeout(deadline, done).await {
            Ok(_) => Ok(()),
            Err(_) => Err(*self.courier.watch().borrow()),
        }
    }
}

/// The content of a text message.
fn text(body: String) -> Map<String, Value> {
    let object = Map::from_iter([("body".to_owned(), Value::String(body))]);
    Map::from_iter([
        ("type".to_owned(), Value::String("text".to_owned())),
        ("text".to_owned(), Value::Object(object)),
    ])
}
