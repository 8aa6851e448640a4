//! What a campaign says: an approved template and what stands in its places.
//!
//! A parameter may contain placeholders: `{{name}}`, `{{phone}}`, `{{attributes.city}}`, each with a
//! default after a bar: `{{name|friend}}`. What they stand for is frozen per person before the first
//! message leaves; [`Template::render`] puts it in.

mod render;

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use service::problem::FieldError;

use whatsapp::placeholder::{Piece, pieces};

pub use self::render::{Rendered, Unfit};
pub use whatsapp::placeholder::{Placeholder, Source};

use crate::audience::{error, escaped};

/// Characters in a parameter at most: a template's whole body may have so many (Meta, template
/// components, Nov 2025).
pub const LONGEST: usize = 1_024;

/// For how long Meta tries to deliver a message at most, and unless its template says otherwise (Meta,
/// time to live, Nov 2025; templates for authentication have 10 minutes: say so).
pub const LONGEST_LIFE: Duration = Duration::from_hours(30 * 24);

/// What a template may say of it, in seconds: the shortest and the longest.
const LIVES: RangeInclusive<i32> = 30..=2_592_000;

/// A message is given up so long after its time: Meta's clock and its last status may be late.
pub const MARGIN: Duration = Duration::from_hours(1);

/// An approved template with its parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Its name at Meta.
    pub name: String,
    /// Language and locale, e.g. `en_US`.
    pub language: String,
    /// What stands in its places.
    #[serde(default)]
    pub params: Params,
    /// For how long Meta tries to deliver a message, if the template says so at Meta; -1 for
    /// [`LONGEST_LIFE`], which holds without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_send_ttl_seconds: Option<i32>,
}

/// The parameters of a template, by component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Of the header: a text, or one of Meta's parameter objects for media.
    #[serde(skip_serializing_if = "Section::is_empty")]
    pub header: Section,
    /// Of the body.
    #[serde(skip_serializing_if = "Section::is_empty")]
    pub body: Section,
    /// Of the buttons, by their place: the variable end of a URL, or an object with `sub_type`,
    /// `index` and `parameters` as Meta takes it. `null` for a button without parameters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<Value>,
}

/// The parameters of one component: texts, or Meta's parameter objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Section {
    /// By their place.
    Positional(Vec<Value>),
    /// By their name.
    Named(Map<String, Value>),
}

impl Default for Section {
    fn default() -> Self {
        Self::Positional(Vec::new())
    }
}

impl Section {
    fn is_empty(&self) -> bool {
        match self {
            Self::Positional(values) => values.is_empty(),
            Self::Named(values) => values.is_empty(),
        }
    }

    /// Each parameter with the end of its pointer.
    fn values(&self) -> Vec<(String, &Value)> {
        match self {
            Self::Positional(values) => {
                values.iter().enumerate().map(|(place, value)| (place.to_string(), value)).collect()
            }
            Self::Named(values) => {
                values.iter().map(|(name, value)| (escaped(name), value)).collect()
            }
        }
    }
}

impl Template {
    /// Whether it can be sent, as far as can be told without Meta.
    ///
    /// # Errors
    ///
    /// Each value that is wrong, with a pointer into the template.
    pub fn validate(&self) -> Result<(), Vec<FieldError>> {
        let mut errors = Vec::new();
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !(1..=512).contains(&self.name.len()) || !self.name.chars().all(is_name) {
            errors.push(error(
                "/name",
                "invalid",
                "A template's name is 1 to 512 of a-z, 0-9 and _.",
            ));
        }
        let is_language = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !(2..=15).contains(&self.language.len()) || !self.language.chars().all(is_language) {
            errors.push(error("/language", "invalid", "A language is written en or en_US."));
        }
        if self.message_send_ttl_seconds.is_some_and(|ttl| ttl != -1 && !LIVES.contains(&ttl)) {
            errors.push(error(
                "/message_send_ttl_seconds",
                "invalid",
                "A message lives for 30 to 2,592,000 seconds; -1 is the longest.",
            ));
        }
        for (pointer, value) in self.params() {
            check(&pointer, value, &mut errors);
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Its placeholders, each once, in the order of the values that [`Self::render`] takes.
    pub fn placeholders(&self) -> Vec<Placeholder> {
        let placeholder = |piece: Piece<'_>| match piece {
            Piece::Placeholder(placeholder) => Some(placeholder),
            Piece::Text(_) => None,
        };
        let mut found = Vec::new();
        for (_, value) in self.params() {
            each_text(value, &mut |text| {
                found.extend(pieces(text).unwrap_or_default().into_iter().filter_map(placeholder));
            });
        }
        let mut seen = HashSet::new();
        found.retain(|placeholder| seen.insert(placeholder.clone()));
        found
    }

    /// Each parameter with its pointer.
    fn params(&self) -> Vec<(String, &Value)> {
        let Params { header, body, buttons } = &self.params;
        let mut params = Vec::new();
        for (name, section) in [("header", header), ("body", body)] {
            let values = section.values().into_iter();
            params.extend(values.map(|(end, value)| (format!("/params/{name}/{end}"), value)));
        }
        let buttons = buttons.iter().enumerate().filter(|(_, value)| !value.is_null());
        params.extend(buttons.map(|(place, value)| (format!("/params/buttons/{place}"), value)));
        params
    }
}

fn check(pointer: &str, value: &Value, errors: &mut Vec<FieldError>) {
    let detail = match value {
        Value::String(text) if text.trim().is_empty() => Some("A parameter is never empty (Meta)."),
        Value::String(text) if text.chars().count() > LONGEST => {
            Some("A parameter has 1,024 characters at most.")
        }
        Value::String(_) | Value::Object(_) => None,
        _ => Some("A parameter is a text, or an object as Meta takes it."),
    };
    if let Some(detail) = detail {
        errors.push(error(pointer, "invalid", detail));
    }
    each_text(value, &mut |text| {
        if text.contains('\0') {
            errors.push(error(pointer, "invalid", "A parameter has no U+0000."));
        }
        if let Err(unknown) = pieces(text) {
            let detail = format!(
                "{{{{{unknown}}}}} is no placeholder: there are name, phone and attributes.KEY."
            );
            errors.push(error(pointer, "placeholder_unknown", &detail));
        }
    });
}

/// Calls `see` with every text in `value`.
fn each_text(value: &Value, see: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(values) => values.iter().for_each(|value| each_text(value, see)),
        Value::Object(members) => members.values().for_each(|value| each_text(value, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) => (),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(params: Value) -> Template {
        let json = json!({ "name": "sale", "language": "en", "params": params });
        serde_json::from_value(json).unwrap()
    }

    fn pointers(params: Value) -> Vec<String> {
        let errors = template(params).validate().err().unwrap_or_default();
        errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn each_placeholder_is_listed_once_wherever_it_stands() {
        let template = template(json!({
            "header": [{ "type": "image", "image": { "link": "https://x.test/{{attributes.id}}" } }],
            "body": ["{{name|friend}}", "Hi {{ name | friend }}, {{phone}}"],
            "buttons": ["{{attributes.id}}"]
        }));
        let names: Vec<_> = template.placeholders().iter().map(|p| p.source.clone()).collect();
        assert_eq!(names, [Source::Attribute("id".into()), Source::Name, Source::Phone]);
        assert_eq!(template.validate(), Ok(()));
    }

    #[test]
    fn a_life_is_one_that_meta_knows() {
        for (ttl, is_right) in [(-1, true), (30, true), (2_592_000, true), (29, false), (0, false)]
        {
            let template = Template { message_send_ttl_seconds: Some(ttl), ..template(json!({})) };
            assert_eq!(template.validate().is_ok(), is_right, "{ttl}");
        }
        assert_eq!(i64::from(*LIVES.end()), LONGEST_LIFE.as_secs().cast_signed());
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(pointers(json!({ "body": ["ok", "{{surname}}"] })), ["/params/body/1"]);
        assert_eq!(pointers(json!({ "body": { "who": " " } })), ["/params/body/who"]);
        assert_eq!(pointers(json!({ "header": [7] })), ["/params/header/0"]);
        assert_eq!(pointers(json!({ "buttons": [null, []] })), ["/params/buttons/1"]);
    }
}
