//! What goes wrong with calls about templates.

use serde::{Deserialize, Serialize};

use super::{Answer, Script};
use crate::sync::lock;

/// A call about templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateCall {
    /// One page of the list.
    List,
    /// One is made.
    Create,
    /// One is changed or unpaused.
    Edit,
    /// One is deleted.
    Delete,
}

/// Makes some calls about templates go wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateRule {
    /// What the caller sees: [`Answer::Ok`] (for a delay), [`Answer::Graph`], [`Answer::Html`],
    /// [`Answer::Unreadable`] or [`Answer::Empty`]; any other one is a 502.
    pub answer: Answer,
    /// Which calls it concerns; left out, the list.
    #[serde(default = "list")]
    pub call: TemplateCall,
    /// Strikes only pages of more templates than this.
    #[serde(default)]
    pub above_limit: Option<usize>,
    /// How many of the calls it concerns pass unharmed first: 6 fails the seventh page.
    #[serde(default)]
    pub after: u64,
    /// How often it strikes in all; `None` has no end.
    #[serde(default)]
    pub times: Option<u64>,
    /// Time before the answer, in milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
}

const fn list() -> TemplateCall {
    TemplateCall::List
}

impl TemplateRule {
    /// A rule that strikes every page of the list with `answer`.
    pub const fn new(answer: Answer) -> Self {
        Self {
            answer,
            call: TemplateCall::List,
            above_limit: None,
            after: 0,
            times: None,
            delay_ms: 0,
        }
    }

    /// Refuses with a Graph error, e.g. 80008.
    pub const fn graph(code: i64) -> Self {
        Self::new(Answer::Graph { code, http_status: None, retry_after: None })
    }

    /// Answers pages as it should, but late.
    pub const fn slow(delay_ms: u64) -> Self {
        Self { delay_ms, ..Self::new(Answer::Ok) }
    }

    /// Strikes so often at most.
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Lets so many of the calls it concerns pass first.
    pub fn after(self, calls: u64) -> Self {
        Self { after: calls, ..self }
    }

    /// Strikes only pages of more templates than this.
    pub fn above(self, limit: usize) -> Self {
        Self { above_limit: Some(limit), ..self }
    }

    /// Strikes calls of this kind.
    pub fn on(self, call: TemplateCall) -> Self {
        Self { call, ..self }
    }
}

impl Script {
    /// The rule that strikes this call about templates, if one does.
    pub(crate) fn strike_template(&self, call: TemplateCall, limit: usize) -> Option<TemplateRule> {
        let mut state = lock(&self.0);
        let faults = std::sync::Arc::clone(&state.faults);
        for (rule, tally) in faults.templates.iter().zip(&mut state.template_tallies) {
            let is_spent = rule.times.is_some_and(|times| tally.struck >= times);
            let is_small = rule.above_limit.is_some_and(|most| limit <= most);
            if is_spent || is_small || rule.call != call {
                continue;
            }
            if tally.passed < rule.after {
                tally.passed += 1;
                continue;
            }
            tally.struck += 1;
            return Some(rule.clone());
        }
        None
    }
}
