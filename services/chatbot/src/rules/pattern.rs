//! What a rule listens for, with bounded cost.

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A pattern has at most this many characters (reliability study, case 56).
pub(crate) const MOST_VALUE_CHARS: usize = 512;

/// Only this much of a text is looked at; a text message has no more (Meta, 4 Nov 2025).
const MOST_TEXT_CHARS: usize = 4_096;

/// A compiled regular expression takes at most this much memory: a larger one would cost seconds of
/// CPU for every save (reliability study, case 56).
const MOST_REGEX_BYTES: usize = 1024 * 1024;

/// How a rule compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MatchKind {
    /// The whole text, whatever its case.
    Exact,
    /// Somewhere in the text, whatever its case.
    Contains,
    /// At the beginning of the text, whatever its case.
    Prefix,
    /// A regular expression, as written.
    Regex,
    /// Whatever is said, a picture without words included.
    Any,
}

impl MatchKind {
    const ALL: [Self; 5] = [Self::Exact, Self::Contains, Self::Prefix, Self::Regex, Self::Any];

    /// As stored and shown.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Contains => "contains",
            Self::Prefix => "prefix",
            Self::Regex => "regex",
            Self::Any => "any",
        }
    }

    /// Reads what [`MatchKind::as_str`] wrote.
    pub(crate) fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// The value cannot be used.
#[derive(Debug, Error)]
pub(crate) enum PatternError {
    /// Nothing to compare with.
    #[error("a value is needed, of 1 to {MOST_VALUE_CHARS} characters")]
    Empty,
    /// Too much to compare with.
    #[error("a value has at most {MOST_VALUE_CHARS} characters")]
    TooLong,
    /// `any` compares with nothing.
    #[error("a rule that matches anything has no value")]
    NotEmpty,
    /// No text of a person has it, and it cannot be stored.
    #[error("a value has no character U+0000")]
    Nul,
    /// Malformed, or too costly.
    #[error("the regular expression cannot be used")]
    Regex(#[from] regex::Error),
}

/// What a rule listens for, ready to use.
#[derive(Debug)]
pub(crate) enum Pattern {
    /// In lower case.
    Exact(String),
    /// In lower case.
    Contains(String),
    /// In lower case.
    Prefix(String),
    /// As written.
    Regex(Regex),
    /// Everything.
    Any,
}

impl Pattern {
    /// Makes a pattern, if `value` fits its kind.
    pub(crate) fn compile(kind: MatchKind, value: &str) -> Result<Self, PatternError> {
        let (is_empty, chars) = (value.trim().is_empty(), value.chars().count());
        match kind {
            MatchKind::Any if is_empty => return Ok(Self::Any),
            MatchKind::Any => return Err(PatternError::NotEmpty),
            _ if is_empty => return Err(PatternError::Empty),
            _ if chars > MOST_VALUE_CHARS => return Err(PatternError::TooLong),
            _ if value.contains('\0') => return Err(PatternError::Nul),
            MatchKind::Exact | MatchKind::Contains | MatchKind::Prefix | MatchKind::Regex => (),
        }
        let words = value.trim().to_lowercase();
        Ok(match kind {
            MatchKind::Exact => Self::Exact(words),
            MatchKind::Contains => Self::Contains(words),
            MatchKind::Prefix => Self::Prefix(words),
            MatchKind::Regex => {
                Self::Regex(RegexBuilder::new(value).size_limit(MOST_REGEX_BYTES).build()?)
            }
            MatchKind::Any => Self::Any,
        })
    }

    /// Whether this is what was said. One look, never an iteration over matches, so the cost grows
    /// with the length of the text and no faster.
    pub(crate) fn is_match(&self, heard: &Heard<'_>) -> bool {
        match self {
            Self::Any => true,
            // Without words only `any` can be meant.
            _ if heard.text.is_empty() => false,
            Self::Exact(words) => heard.lower == *words,
            Self::Contains(words) => heard.lower.contains(words),
            Self::Prefix(words) => heard.lower.starts_with(words),
            Self::Regex(regex) => regex.is_match(heard.text),
        }
    }
}

/// What a person said, prepared once for all rules.
#[derive(Debug)]
pub(crate) struct Heard<'a> {
    text: &'a str,
    lower: String,
}

impl<'a> Heard<'a> {
    /// Trims and cuts `text`.
    pub(crate) fn new(text: &'a str) -> Self {
        let text = text.trim();
        let end = text.char_indices().nth(MOST_TEXT_CHARS).map_or(text.len(), |(at, _)| at);
        let text = text.get(..end).unwrap_or(text);
        Self { text, lower: text.to_lowercase() }
    }

    /// As said, without surrounding space.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn matches(kind: MatchKind, value: &str, text: &str) -> bool {
        Pattern::compile(kind, value).unwrap().is_match(&Heard::new(text))
    }

    #[test]
    fn words_match_whatever_their_case_and_surrounding_space() {
        use MatchKind::{Any, Contains, Exact, Prefix, Regex};
        for (kind, value, text, expected) in [
            (Exact, "test", " TEST\n", true),
            (Exact, " Größe ", "GRÖßE", true),
            (Exact, "test", "testing", false),
            (Contains, "Price", "what is the price?", true),
            (Contains, "price", "what is it?", false),
            (Prefix, "order", "Order 12", true),
            (Prefix, "order", "my order", false),
            (Regex, r"^\d{4}$", " 1234 ", true),
            (Regex, "^a$", "A", false),
            (Regex, "(?i)^a$", "A", true),
            (Any, "", "whatever", true),
            (Any, "", "", true),
            (Regex, ".*", "  ", false),
        ] {
            assert_eq!(matches(kind, value, text), expected, "{kind:?} {value} {text}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        use MatchKind::{Any, Contains, Exact, Regex};
        for (kind, value) in [
            (Exact, ""),
            (Contains, "  "),
            (Any, "x"),
            (Regex, "("),
            (Regex, "((a{100}){100}){100}"),
            (Exact, "a\0b"),
            (Exact, "x".repeat(513).as_str()),
        ] {
            assert!(Pattern::compile(kind, value).is_err(), "{kind:?} {value}");
        }
        assert!(Pattern::compile(Exact, &"ü".repeat(512)).is_ok());
    }

    #[test]
    fn a_costly_regex_is_refused_quickly_and_a_costly_text_is_read_once() {
        let start = Instant::now();
        assert!(Pattern::compile(MatchKind::Regex, "((a{100}){100}){100}").is_err());
        assert!(!matches(MatchKind::Regex, "(a*)*b", &"a".repeat(20_000)));
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }

    #[test]
    fn only_the_first_4096_characters_are_looked_at() {
        let text = format!("{}needle", "ü".repeat(4_096));
        assert!(!matches(MatchKind::Contains, "needle", &text));
        assert_eq!(Heard::new(&text).text().chars().count(), 4_096);
    }

    proptest! {
        #[test]
        fn no_value_and_no_text_panic(kind in 0..5_usize, value in ".{0,40}", text in ".{0,80}") {
            if let Ok(pattern) = Pattern::compile(MatchKind::ALL[kind], &value) {
                pattern.is_match(&Heard::new(&text));
            }
        }
    }
}
