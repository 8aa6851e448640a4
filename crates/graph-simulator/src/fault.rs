//! The fault script: what goes wrong, how often, and for whom.

mod templates;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::templates::{TemplateCall, TemplateRule};

use crate::dice::Dice;
use crate::limits::Limits;
use crate::sync::lock;

/// Everything that may go wrong. The default: nothing does, and each accepted message is reported
/// sent, delivered and read within some milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Tried in order for each send call; the first that strikes decides.
    pub sends: Vec<SendRule>,
    /// Tried in order for each call about templates; the first that strikes decides.
    pub templates: Vec<TemplateRule>,
    /// What becomes of accepted messages.
    pub statuses: StatusPlan,
    /// What happens to each webhook POST.
    pub webhooks: WebhookFaults,
    /// Meta's real limits, enforced; `None` lets everything through.
    pub limits: Option<Limits>,
    /// How long every answer to a send takes, besides a rule's own delay: the way to Meta and back.
    /// The message is accepted before.
    pub answer_ms: Span,
}

/// A range in milliseconds, both ends included; in JSON `[from, to]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span(pub u64, pub u64);

/// Makes some send calls go wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendRule {
    /// What the caller sees.
    pub answer: Answer,
    /// Whether the message goes out all the same; left out, as the answer suggests (an error: no).
    #[serde(default)]
    pub accept: Option<Accept>,
    /// Time before the answer, in milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
    /// Chance per call, 0 to 1.
    #[serde(default = "always")]
    pub probability: f64,
    /// How many of the calls it concerns pass unharmed first.
    #[serde(default)]
    pub after: u64,
    /// How often it strikes in all; `None` has no end.
    #[serde(default)]
    pub times: Option<u64>,
    /// Strikes only sends to this person (with or without `+`).
    #[serde(default)]
    pub recipient: Option<String>,
    /// Strikes only sends from this number.
    #[serde(default)]
    pub phone_number_id: Option<String>,
    /// Strikes only sends of the template with this name.
    #[serde(default)]
    pub template: Option<String>,
    /// Reports an accepted message `failed` with this code instead of delivered.
    #[serde(default)]
    pub fail_later: Option<i64>,
    /// How long [`Answer::Held`] holds a message, in milliseconds: then it is released, or fails
    /// with `fail_later` without having been sent.
    #[serde(default)]
    pub held_ms: u64,
}

/// What a send call is about, as far as rules tell calls apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subject<'c> {
    /// The sender's phone number id.
    pub(crate) number: &'c str,
    /// The person, without `+`.
    pub(crate) person: &'c str,
    /// The template's name.
    pub(crate) template: Option<&'c str>,
}

/// What becomes of a message after it is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// It fails with this code.
    pub(crate) fails_with: Option<i64>,
    /// It is held for so long first.
    pub(crate) held_for: Option<Duration>,
}

const fn always() -> f64 {
    1.0
}

/// What the caller of a send sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The ordinary 200; the message is always accepted.
    Ok,
    /// 200 with `held_for_quality_assessment`; the message is always accepted.
    Held,
    /// A Graph error.
    Graph {
        /// Its `error.code`.
        code: i64,
        /// The HTTP status instead of the usual one for the code.
        #[serde(default)]
        http_status: Option<u16>,
        /// A `Retry-After` header, in seconds.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// A page of HTML with this HTTP status, as a proxy answers.
    Html {
        /// The HTTP status.
        http_status: u16,
    },
    /// 200 with JSON that stops in the middle.
    Unreadable,
    /// 200 with `{}`.
    Empty,
    /// 200 whose body is shorter than its `Content-Length`: the connection closes within it.
    Cut,
    /// 200 with a body of 1 GiB, for callers that read without a limit.
    Huge,
    /// The connection closes without an answer; with a delay, a call that hangs.
    Close,
    /// The connection is reset (TCP RST) without an answer.
    Reset,
}

/// Whether a message goes out although the call went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    /// It does not.
    No,
    /// It does, before the delay and the answer.
    Yes,
    /// It does after the delay, even if the caller has hung up by then.
    Late,
}

impl SendRule {
    /// A rule that strikes every call with `answer`.
    pub const fn new(answer: Answer) -> Self {
        Self {
            answer,
            accept: None,
            delay_ms: 0,
            probability: 1.0,
            after: 0,
            times: None,
            recipient: None,
            phone_number_id: None,
            template: None,
            fail_later: None,
            held_ms: 0,
        }
    }

    /// Refuses with a Graph error, e.g. 130429.
    pub const fn graph(code: i64) -> Self {
        Self::new(Answer::Graph { code, http_status: None, retry_after: None })
    }

    /// Holds the call for `hold_ms` and closes the connection without an answer.
    pub fn hang(hold_ms: u64) -> Self {
        Self { delay_ms: hold_ms, ..Self::new(Answer::Close) }
    }

    /// Says whether the message goes out all the same.
    pub fn accepting(self, accept: Accept) -> Self {
        Self { accept: Some(accept), ..self }
    }

    /// Strikes with this chance per call.
    pub fn probability(self, probability: f64) -> Self {
        Self { probability, ..self }
    }

    /// Strikes so often at most.
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Lets so many of the calls it concerns pass first.
    pub fn after(self, calls: u64) -> Self {
        Self { after: calls, ..self }
    }

    /// Strikes only sends of this template.
    pub fn template(self, name: impl Into<String>) -> Self {
        Self { template: Some(name.into()), ..self }
    }

    /// Strikes only sends to this person.
    pub fn to(self, recipient: impl Into<String>) -> Self {
        Self { recipient: Some(recipient.into()), ..self }
    }

    /// Whether and when the message is accepted.
    pub(crate) fn acceptance(&self) -> Accept {
        match (&self.answer, self.accept) {
            (Answer::Ok | Answer::Held, Some(Accept::Late)) => Accept::Late,
            (Answer::Ok | Answer::Held, _) => Accept::Yes,
            (_, Some(accept)) => accept,
            (Answer::Unreadable | Answer::Empty | Answer::Cut | Answer::Huge, None) => Accept::Yes,
            (_, None) => Accept::No,
        }
    }

    /// What becomes of the message, if it is accepted.
    pub(crate) fn fate(&self) -> Fate {
        let is_held = self.answer == Answer::Held;
        let held_for = is_held.then(|| Duration::from_millis(self.held_ms));
        Fate { fails_with: self.fail_later, held_for }
    }

    fn concerns(&self, call: Subject<'_>) -> bool {
        let person = self.recipient.as_deref().map(|person| person.trim_start_matches('+'));
        self.phone_number_id.as_deref().is_none_or(|only| only == call.number)
            && person.is_none_or(|only| only == call.person)
            && self.template.as_deref().is_none_or(|only| Some(only) == call.template)
    }
}

impl Answer {
    /// Its name in JSON and in the counters.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Held => "held",
            Self::Graph { .. } => "graph",
            Self::Html { .. } => "html",
            Self::Unreadable => "unreadable",
            Self::Empty => "empty",
            Self::Cut => "cut",
            Self::Huge => "huge",
            Self::Close => "close",
            Self::Reset => "reset",
        }
    }
}

/// A status that follows an accepted message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusName {
    /// Left Meta.
    Sent,
    /// On the person's device.
    Delivered,
    /// Seen by the person.
    Read,
}

/// Which statuses follow an accepted message, and how untidily.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatusPlan {
    /// In their proper order; empty sends none.
    pub statuses: Vec<StatusName>,
    /// Time from the message to the first status and from each status to the next.
    pub delay_ms: Span,
    /// Chance that a message's statuses come in a random order.
    pub shuffle: f64,
    /// Chance, per status, that it comes twice.
    pub duplicate: f64,
    /// Chance, per status, that it never comes.
    pub drop: f64,
    /// Statuses in one POST, at most (Meta: 1,000 updates, "Create a webhook endpoint",
    /// 7 November 2025).
    pub batch: usize,
    /// How long a POST waits to be filled, in milliseconds.
    pub linger_ms: u64,
}

impl Default for StatusPlan {
    fn default() -> Self {
        Self {
            statuses: vec![StatusName::Sent, StatusName::Delivered, StatusName::Read],
            delay_ms: Span(5, 50),
            shuffle: 0.0,
            duplicate: 0.0,
            drop: 0.0,
            batch: 1,
            linger_ms: 0,
        }
    }
}

/// What happens to each webhook POST, of statuses and of messages alike.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookFaults {
    /// Chance that it is delivered twice although it was answered 200.
    pub duplicate: f64,
    /// Time between the two, in milliseconds.
    pub duplicate_gap_ms: u64,
    /// Delay of every POST.
    pub delay_ms: Span,
    /// POSTs made within this time of each other may overtake one another, in milliseconds.
    pub reorder_ms: u64,
}

/// The script in force, and how often its rules have struck.
#[derive(Debug, Default)]
pub(crate) struct Script(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    faults: Arc<Faults>,
    /// What each of `faults.sends` has seen.
    tallies: Vec<Tally>,
    /// What each of `faults.templates` has seen.
    template_tallies: Vec<Tally>,
    /// How often each kind of answer was played, over all scripts.
    played: BTreeMap<&'static str, u64>,
}

/// What a rule has seen.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// Calls it let pass first.
    passed: u64,
    /// How often it struck.
    struck: u64,
}

impl Script {
    pub(crate) fn replace(&self, faults: Faults) {
        let mut state = lock(&self.0);
        state.tallies = vec![Tally::default(); faults.sends.len()];
        state.template_tallies = vec![Tally::default(); faults.templates.len()];
        state.faults = Arc::new(faults);
    }

    pub(crate) fn current(&self) -> Arc<Faults> {
        Arc::clone(&lock(&self.0).faults)
    }

    pub(crate) fn played(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.0).played.clone()
    }

    pub(crate) fn forget(&self) {
        *lock(&self.0) = State::default();
    }

    /// The rule that strikes this call, if one does.
    pub(crate) fn strike(&self, call: Subject<'_>, dice: &mut Dice) -> Option<SendRule> {
        let mut state = lock(&self.0);
        let faults = Arc::clone(&state.faults);
        for (rule, tally) in faults.sends.iter().zip(&mut state.tallies) {
            let is_spent = rule.times.is_some_and(|times| tally.struck >= times);
            if is_spent || !rule.concerns(call) {
                continue;
            }
            if tally.passed < rule.after {
                tally.passed += 1;
                continue;
            }
            if dice.chance(rule.probability) {
                tally.struck += 1;
                *state.played.entry(rule.answer.name()).or_default() += 1;
                return Some(rule.clone());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_strikes_as_often_as_it_says_and_only_whom_it_names() {
        let script = Script::default();
        let sends = vec![SendRule::graph(131_056).to("+49155").times(2)];
        script.replace(Faults { sends, ..Faults::default() });
        let mut dice = Dice::new(1, "", 0);
        let mut strikes = |person| {
            let call = Subject { number: "1", person, template: None };
            script.strike(call, &mut dice).is_some()
        };
        assert!(!strikes("49156"));
        assert_eq!([(); 3].map(|()| strikes("49155")), [true, true, false]);
    }

    #[test]
    fn a_rule_spares_the_first_calls_it_concerns_and_counts_no_others() {
        let script = Script::default();
        let sends = vec![SendRule::graph(132_015).template("sale").after(2)];
        script.replace(Faults { sends, ..Faults::default() });
        let mut dice = Dice::new(1, "", 0);
        let mut strikes = |template| {
            let call = Subject { number: "1", person: "49155", template };
            script.strike(call, &mut dice).is_some()
        };
        assert_eq!([Some("sale"), Some("other"), None, Some("sale")].map(&mut strikes), [false; 4]);
        assert_eq!([Some("sale"), Some("other"), Some("sale")].map(strikes), [true, false, true]);
    }

    #[test]
    fn a_script_reads_from_json_with_everything_optional() {
        let json = r#"{"sends":[{"answer":{"graph":{"code":4}},"probability":0.5},
            {"answer":"reset","accept":"yes"}],"statuses":{"delay_ms":[0,1]}}"#;
        let faults: Faults = serde_json::from_str(json).unwrap();
        assert_eq!(faults.sends[0], SendRule::graph(4).probability(0.5));
        assert_eq!(faults.sends[1], SendRule::new(Answer::Reset).accepting(Accept::Yes));
        assert_eq!(faults.statuses.batch, 1);
        assert!(serde_json::from_str::<Faults>(r#"{"sendz":[]}"#).is_err());
    }

    #[test]
    fn the_script_in_the_readme_is_a_script() {
        let readme = include_str!("../README.md");
        let script = readme.split("```json").nth(1).and_then(|rest| rest.split("```").next());
        let faults: Faults = serde_json::from_str(script.unwrap()).unwrap();
        let acceptances: Vec<Accept> = faults.sends.iter().map(SendRule::acceptance).collect();
        assert_eq!(
            acceptances[..6],
            [Accept::No, Accept::Yes, Accept::Yes, Accept::Late, Accept::No, Accept::Yes]
        );
        assert_eq!(faults.limits, Some(Limits::default()));
    }
}
