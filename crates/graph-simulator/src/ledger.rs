//! What arrived on Meta's side: the oracle that every other count is compared with.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use crate::sync::lock;

/// A message the simulator accepted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sent {
    /// Its place in the order of acceptance, from 0.
    pub order: usize,
    /// The id it was given.
    pub wamid: String,
    /// The number it was sent from.
    pub phone_number_id: String,
    /// The person: digits without `+`, or a business-scoped id.
    pub recipient: String,
    /// `type` of the message.
    pub kind: String,
    /// The text, if it has one.
    pub text: Option<String>,
    /// The template's name, if it is one.
    pub template: Option<String>,
    /// `biz_opaque_callback_data`, echoed in its statuses.
    pub callback_data: Option<String>,
    /// The message it answers.
    pub reply_to: Option<String>,
    /// When it was accepted.
    pub at: DateTime<Utc>,
    /// The whole request body.
    pub body: Value,
}

/// Accepted messages that should have been one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Duplicate {
    /// Who received them.
    pub recipient: String,
    /// What they have in common: the message part of the callback data, else the content.
    pub key: String,
    /// How many were accepted.
    pub count: usize,
}

/// A call Meta would have understood in a way nobody wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// What is wrong with it.
    pub what: &'static str,
    /// Whom it concerned.
    pub recipient: String,
}

/// Records every accepted send, in order.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    state: Mutex<State>,
    accepted: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    sent: Vec<Sent>,
    /// How many accepted messages are the same one, by person and identity.
    copies: HashMap<(String, String), usize>,
    /// How many of `copies` are above 1.
    duplicates: usize,
    violations: Vec<Violation>,
    /// Calls per person, accepted or not.
    calls: HashMap<String, u64>,
    calls_in_all: u64,
    reads: u64,
}

/// The ledger's totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) calls: u64,
    pub(crate) reads: u64,
    pub(crate) accepted: usize,
    pub(crate) duplicates: usize,
    pub(crate) violations: usize,
}

impl Ledger {
    /// Counts a send call and gives its ordinal among the person's calls, from 0.
    pub(crate) fn call(&self, recipient: &str) -> u64 {
        let mut state = lock(&self.state);
        state.calls_in_all += 1;
        let calls = state.calls.entry(recipient.to_owned()).or_default();
        *calls += 1;
        *calls - 1
    }

    /// Counts a mark-as-read call.
    pub(crate) fn read(&self) {
        lock(&self.state).reads += 1;
    }

    /// Records an accepted message; its `order` is set here.
    pub(crate) fn accept(&self, mut sent: Sent) {
        let mut state = lock(&self.state);
        sent.order = state.sent.len();
        let copies = state.copies.entry((sent.recipient.clone(), identity(&sent))).or_default();
        *copies += 1;
        if *copies == 2 {
            state.duplicates += 1;
        }
        state.sent.push(sent);
        self.accepted.send_replace(state.sent.len());
    }

    pub(crate) fn violate(&self, what: &'static str, recipient: &str) {
        lock(&self.state).violations.push(Violation { what, recipient: recipient.to_owned() });
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        lock(&self.state).violations.clone()
    }

    /// The accepted messages that `wanted` picks, in order.
    pub(crate) fn sent(&self, wanted: impl Fn(&Sent) -> bool) -> Vec<Sent> {
        lock(&self.state).sent.iter().filter(|sent| wanted(sent)).cloned().collect()
    }

    /// How many accepted messages share each key.
    pub(crate) fn count_by<K: Eq + Hash>(&self, key: impl Fn(&Sent) -> K) -> HashMap<K, usize> {
        let mut counts = HashMap::new();
        for sent in &lock(&self.state).sent {
            *counts.entry(key(sent)).or_default() += 1;
        }
        counts
    }

    pub(crate) fn duplicates(&self) -> Vec<Duplicate> {
        let mut duplicates: Vec<Duplicate> = lock(&self.state)
            .copies
            .iter()
            .filter(|(_, count)| **count > 1)
            .map(|((recipient, key), count)| Duplicate {
                recipient: recipient.clone(),
                key: key.clone(),
                count: *count,
            })
            .collect();
        duplicates.sort_by(|a, b| (&a.recipient, &a.key).cmp(&(&b.recipient, &b.key)));
        duplicates
    }

    pub(crate) fn totals(&self) -> Totals {
        let state = lock(&self.state);
        Totals {
            calls: state.calls_in_all,
            reads: state.reads,
            accepted: state.sent.len(),
            duplicates: state.duplicates,
            violations: state.violations.len(),
        }
    }

    /// Follows the number of accepted messages.
    pub(crate) fn watch(&self) -> watch::Receiver<usize> {
        self.accepted.subscribe()
    }

    pub(crate) fn clear(&self) {
        *lock(&self.state) = State::default();
        self.accepted.send_replace(0);
    }
}

/// What makes two accepted messages the same one: the message's id in callback data of the form
/// `sw1.<attempt>.<message>.<epoch>`, else everything that was said.
fn identity(sent: &Sent) -> String {
    let message = sent
        .callback_data
        .as_deref()
        .and_then(|data| data.strip_prefix("sw1."))
        .and_then(|data| data.split('.').nth(1));
    match (message, &sent.text) {
        (Some(message), _) => message.to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => sent.body.get(&sent.kind).map(Value::to_string).unwrap_or_default(),
    }
}
