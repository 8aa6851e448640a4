//! The values in requests: what deserialises is fit to be used.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// The query of a request that takes no parameters: one that is sent was meant to do something.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// A word of Meta's or of ours in a filter, e.g. `APPROVED`, `en_US`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Word(pub(super) String);

impl TryFrom<String> for Word {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if (1..=512).contains(&text.len()) && text.chars().all(is_word) {
            return Ok(Self(text));
        }
        Err("a word has 1 to 512 letters, digits, _ and -")
    }
}

/// A template's name (Meta, template reference, Nov 2025).
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Name(pub(super) String);

impl TryFrom<String> for Name {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if (1..=512).contains(&text.len()) && text.chars().all(is_name) {
            return Ok(Self(text));
        }
        Err("a template's name is 1 to 512 of a-z, 0-9 and _")
    }
}

/// A template's language.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Language(pub(super) String);

impl TryFrom<String> for Language {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let is_language = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if (2..=15).contains(&text.len()) && text.chars().all(is_language) {
            return Ok(Self(text));
        }
        Err("a language is written en or en_US")
    }
}

/// A template's category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Category {
    Marketing,
    Utility,
    Authentication,
}

impl Category {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Marketing => "MARKETING",
            Self::Utility => "UTILITY",
            Self::Authentication => "AUTHENTICATION",
        }
    }
}

/// How a template's variables are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum ParameterFormat {
    #[default]
    Positional,
    Named,
}

impl ParameterFormat {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Positional => "POSITIONAL",
            Self::Named => "NAMED",
        }
    }
}

/// Meta's array of components, kept as it was written.
#[derive(Clone, Debug)]
pub(super) struct Components(pub(super) Box<RawValue>);

impl<'de> Deserialize<'de> for Components {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(source)?;
        let components: Vec<Value> = serde_json::from_str(raw.get())
            .ok()
            .filter(|components: &Vec<Value>| !components.is_empty())
            .ok_or_else(|| serde::de::Error::custom("components are a list of one or more"))?;
        let has_nul = |value: &Value| value.to_string().contains("\\u0000");
        if !components.iter().all(Value::is_object) || components.iter().any(has_nul) {
            let text = "a component is an object as Meta takes it, without U+0000";
            return Err(serde::de::Error::custom(text));
        }
        Ok(Self(raw))
    }
}

/// A member that may be `null`, which is not the same as left out.
pub(super) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    source: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(source).map(Some)
}
