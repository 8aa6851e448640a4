//! The rules of bots: what they match and what they answer.

mod book;
mod pattern;
mod reply;

use kernel::ids::RuleId;

pub(crate) use self::book::RuleBook;
pub(crate) use self::pattern::{Heard, MatchKind, Pattern};
pub(crate) use self::reply::render;

/// A reply has at most this many characters (Meta, send messages, 4 Nov 2025).
pub(crate) const MOST_REPLY_CHARS: usize = 4_096;

/// The rules of one version of a bot, in their order.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) version: i64,
    pub(crate) rules: Vec<Rule>,
}

/// One rule, ready to use.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: RuleId,
    pub(crate) pattern: Pattern,
    /// With `{{text}}` and `{{name}}` to be filled in.
    pub(crate) reply: String,
}

impl Rules {
    /// The rule that answers.
    pub(crate) fn first_match(&self, heard: &Heard<'_>) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.pattern.is_match(heard))
    }
}
