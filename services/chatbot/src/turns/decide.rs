//! Decides about one message, from what is in memory.

use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::{DateTime, TimeDelta, Utc};
use kernel::chain;
use kernel::ids::{BotId, RuleId};
use sending::{Content, ContentError};
use storage::bot_turns::Waiting;
use storage::send_ledger::Recipient;
use tracing::error;

use crate::rules::{Heard, Rules, render};

/// How long after a person wrote they may be answered freely (Meta, send messages, 4 Nov 2025).
const WINDOW: TimeDelta = TimeDelta::hours(24);

/// How a turn went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A rule matched and its reply is in the send ledger.
    Replied,
    /// No rule matched.
    NoMatch,
    /// Nothing was said: a reaction, a notice, a type we don't know.
    Ignored,
    /// A rule matched, and the message is too old to answer.
    OutsideWindow,
    /// A rule matched, and the conversation has had its replies of this minute (R3).
    RateLimited,
    /// A rule matched, and nothing was left of its reply after filling it in.
    Empty,
    /// Deciding failed; the message is not decided about again.
    Error,
}

impl Outcome {
    /// Every outcome.
    pub(crate) const ALL: [Self; 7] = [
        Self::Replied,
        Self::NoMatch,
        Self::Ignored,
        Self::OutsideWindow,
        Self::RateLimited,
        Self::Empty,
        Self::Error,
    ];

    /// As stored, counted and told.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Replied => "replied",
            Self::NoMatch => "no_match",
            Self::Ignored => "ignored",
            Self::OutsideWindow => "outside_window",
            Self::RateLimited => "rate_limited",
            Self::Empty => "empty_reply",
            Self::Error => "error",
        }
    }
}

/// What a bot does about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// There is no bot, or it is switched off: the message passes by.
    NoBot,
    /// The bot says nothing.
    Silent { bot: BotId, rule: Option<RuleId>, outcome: Outcome },
    /// The bot answers.
    Reply { bot: BotId, rule: RuleId, answer: Answer },
}

/// What the bot says, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) recipient: Recipient,
    pub(crate) text: String,
    /// The same as the send ledger keeps it.
    pub(crate) content: Vec<u8>,
}

impl Decision {
    /// How the turn goes, if there is one.
    pub(crate) const fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::NoBot => None,
            Self::Silent { outcome, .. } => Some(*outcome),
            Self::Reply { .. } => Some(Outcome::Replied),
        }
    }
}

/// Decides by the bot's rules; without rules the bot has just been deleted.
pub(crate) fn decide(waiting: &Waiting, rules: Option<&Rules>, now: DateTime<Utc>) -> Decision {
    let Some(bot) = waiting.bot.filter(|bot| bot.is_enabled).map(|bot| bot.id) else {
        return Decision::NoBot;
    };
    let Some(rules) = rules else { return Decision::NoBot };
    let silent = |rule, outcome| Decision::Silent { bot, rule, outcome };
    if !is_utterance(&waiting.kind) {
        return silent(None, Outcome::Ignored);
    }
    let heard = Heard::new(waiting.body.as_deref().unwrap_or_default());
    let Some(rule) = rules.first_match(&heard) else { return silent(None, Outcome::NoMatch) };
    if now - waiting.said_at >= WINDOW {
        return silent(Some(rule.id), Outcome::OutsideWindow);
    }
    let name = waiting.name.as_deref().unwrap_or_default();
    let text = render(&rule.reply, heard.text(), name);
    if text.trim().is_empty() {
        return silent(Some(rule.id), Outcome::Empty);
    }
    match answer(waiting, text) {
        Some(answer) => Decision::Reply { bot, rule: rule.id, answer },
        None => silent(Some(rule.id), Outcome::Error),
    }
}

/// `None` for a person without an address and a text that cannot be encoded: neither is known to
/// happen, and neither may block the conversation.
fn answer(waiting: &Waiting, text: String) -> Option<Answer> {
    let recipient = waiting.recipient.clone()?;
    let content = Content::Text { body: text.clone(), reply_to: None }.encode();
    let report = |error: &ContentError| {
        error!(message.id = %waiting.message_id, error = %chain(error), "reply cannot be encoded");
    };
    let content = content.inspect_err(report).ok()?;
    Some(Answer { recipient, text, content })
}

/// Keeps a message that makes `decide` panic from blocking its conversation for ever.
pub(crate) fn guarded(waiting: &Waiting, decide: impl FnOnce() -> Decision) -> Decision {
    catch_unwind(AssertUnwindSafe(decide)).unwrap_or_else(|_payload| {
        error!(message.id = %waiting.message_id, "deciding a bot turn panicked");
        waiting.bot.map_or(Decision::NoBot, |bot| Decision::Silent {
            bot: bot.id,
            rule: None,
            outcome: Outcome::Error,
        })
    })
}

/// Whether a message of this kind says something to us. What Meta invents next does not, until
/// somebody has looked at it.
fn is_utterance(kind: &str) -> bool {
    matches!(
        kind,
        "text"
            | "image"
            | "video"
            | "audio"
            | "document"
            | "sticker"
            | "location"
            | "contacts"
            | "interactive"
            | "button"
            | "order"
    )
}

#[cfg(test)]
mod tests;
