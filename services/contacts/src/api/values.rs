//! What a request says about contacts: what deserialises is fit to be kept, or to be looked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};
use service::values::{Name, given};
use storage::contacts::{Changes, MOST_TAGS, Source};

/// Characters of a tag or of an attribute's name, at most: what a column of a table can show.
const LONGEST_WORD: usize = 64;
/// Characters of an attribute, at most: the longest body of a template (Meta, "Templates", 1,024).
const LONGEST_TEXT: usize = 1024;
/// One letter begins too many names; one character of Chinese does not.
const FEWEST_BYTES: usize = 2;
/// Attributes of a request, at most; more is a mistake in a program.
const MOST: usize = 50;

/// A merge patch of a contact (RFC 7396): what is left out stays, `null` forgets, tags are replaced.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Patch {
    #[serde(default, deserialize_with = "given")]
    name: Option<Option<Name>>,
    #[serde(default, deserialize_with = "given")]
    tags: Option<Tags>,
    #[serde(default, deserialize_with = "given")]
    attributes: Option<Attributes>,
}

impl From<Patch> for Changes {
    fn from(patch: Patch) -> Self {
        let attribute = |(name, value): (AttributeName, Option<Attribute>)| {
            (name.0, value.map_or(Value::Null, Value::from))
        };
        Self {
            name: patch.name.map(|name| name.map(|name| name.0)),
            tags: patch.tags.map(|tags| tags.0.into_iter().map(Tag::into_string).collect()),
            attributes: patch.attributes.map(|all| all.0.into_iter().map(attribute).collect()),
        }
    }
}

/// What contacts are grouped by.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Tag(String);

impl Tag {
    pub(super) fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Tag {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let tag = text.trim();
        let is_fit = (1..=LONGEST_WORD).contains(&tag.chars().count());
        if is_fit && !tag.contains(|c: char| c.is_control() || c == ',') {
            return Ok(Self(tag.to_owned()));
        }
        Err("a tag has 1 to 64 characters on one line, and no comma")
    }
}

/// Tags in order, each once.
#[derive(Debug, Deserialize)]
#[serde(try_from = "BTreeSet<Tag>")]
struct Tags(BTreeSet<Tag>);

impl TryFrom<BTreeSet<Tag>> for Tags {
    type Error = &'static str;

    fn try_from(tags: BTreeSet<Tag>) -> Result<Self, &'static str> {
        if tags.len() <= MOST_TAGS { Ok(Self(tags)) } else { Err("a contact has at most 50 tags") }
    }
}

/// Attributes to set, or to forget.
#[derive(Debug, Deserialize)]
#[serde(try_from = "BTreeMap<AttributeName, Option<Attribute>>")]
struct Attributes(BTreeMap<AttributeName, Option<Attribute>>);

impl TryFrom<BTreeMap<AttributeName, Option<Attribute>>> for Attributes {
    type Error = &'static str;

    fn try_from(all: BTreeMap<AttributeName, Option<Attribute>>) -> Result<Self, &'static str> {
        if all.len() <= MOST { Ok(Self(all)) } else { Err("a request has at most 50 attributes") }
    }
}

/// What an attribute is called: a word that can stand in a template's `{{placeholder}}`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
struct AttributeName(String);

impl TryFrom<String> for AttributeName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, &'static str> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if (1..=LONGEST_WORD).contains(&name.len()) && name.chars().all(is_word) {
            return Ok(Self(name));
        }
        Err("an attribute's name has 1 to 64 of a-z, A-Z, 0-9 and `_`")
    }
}

/// The value of an attribute.
#[derive(Debug)]
enum Attribute {
    Text(String),
    Number(Number),
    Truth(bool),
}

impl<'de> Deserialize<'de> for Attribute {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let unfit = "an attribute is a text of up to 1024 characters, a number, true or false";
        match Value::deserialize(source)? {
            // PostgreSQL cannot keep the character of code 0.
            Value::String(text) if text.chars().count() <= LONGEST_TEXT && !text.contains('\0') => {
                Ok(Self::Text(text))
            }
            Value::Number(number) => Ok(Self::Number(number)),
            Value::Bool(truth) => Ok(Self::Truth(truth)),
            Value::String(_) | Value::Null | Value::Array(_) | Value::Object(_) => {
                Err(serde::de::Error::custom(unfit))
            }
        }
    }
}

impl From<Attribute> for Value {
    fn from(attribute: Attribute) -> Self {
        match attribute {
            Attribute::Text(text) => Self::String(text),
            Attribute::Number(number) => Self::Number(number),
            Attribute::Truth(truth) => Self::Bool(truth),
        }
    }
}

/// An attribute that contacts are looked for by: `city:Berlin`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Condition(AttributeName, String);

impl Condition {
    pub(super) fn pair(&self) -> (String, String) {
        (self.0.0.clone(), self.1.clone())
    }
}

impl TryFrom<String> for Condition {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let (name, value) = text
            .split_once(':')
            .ok_or("an attribute is looked for by name and value: city:Berlin")?;
        if value.contains('\0') {
            return Err("an attribute has no character of code 0");
        }
        Ok(Self(AttributeName::try_from(name.to_owned())?, value.to_owned()))
    }
}

/// Where contacts came from.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CameFrom {
    Webhook,
    Api,
    Import,
    TemplateSend,
    Campaign,
}

impl From<CameFrom> for Source {
    fn from(from: CameFrom) -> Self {
        match from {
            CameFrom::Webhook => Self::Webhook,
            CameFrom::Api => Self::Api,
            CameFrom::Import => Self::Import,
            CameFrom::TemplateSend => Self::TemplateSend,
            CameFrom::Campaign => Self::Campaign,
        }
    }
}

/// A time in a query.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Moment(DateTime<Utc>);

impl TryFrom<String> for Moment {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        text.parse()
            .map(Self)
            .map_err(|_malformed: chrono::ParseError| "a time is written 2026-11-22T10:00:00Z")
    }
}

impl From<Moment> for DateTime<Utc> {
    fn from(moment: Moment) -> Self {
        moment.0
    }
}

/// What somebody types to find people.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Words(String);

impl Words {
    /// The words, without what is between them.
    pub(super) fn words(&self) -> Vec<String> {
        let words = self.0.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    }

    /// The digits of what is written like a phone number.
    pub(super) fn digits(&self) -> Option<String> {
        let text = self.0.trim();
        let is_like_number = text
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, ' ' | '+' | '-' | '.' | '(' | ')'));
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        is_like_number.then(|| digits.strip_prefix("00").map(str::to_owned).unwrap_or(digits))
    }
}

impl TryFrom<String> for Words {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let words = Self(text);
        let has_enough = words.words().iter().any(|word| word.len() >= FEWEST_BYTES);
        if has_enough && words.0.chars().count() <= LONGEST_WORD {
            return Ok(words);
        }
        Err("a search has 2 to 64 characters, and a word among them")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_patch_says_what_to_set_and_what_to_forget() {
        let patch: Patch = from_value(json!({
            "name": null, "tags": ["vip", " berlin ", "vip"],
            "attributes": { "city": "Berlin", "orders": 3, "is_member": true, "plan": null },
        }))
        .unwrap();
        let changes = Changes::from(patch);
        assert_eq!(
            (changes.name, changes.tags),
            (Some(None), Some(vec!["berlin".into(), "vip".into()]))
        );
        let attributes = Value::Object(changes.attributes.unwrap());
        let expected = json!({ "city": "Berlin", "orders": 3, "is_member": true, "plan": null });
        assert_eq!(attributes, expected);
        assert_eq!(Changes::from(from_value::<Patch>(json!({})).unwrap()), Changes::default());
    }

    #[test]
    fn what_cannot_be_kept_or_placed_in_a_template_is_refused() {
        let many: Vec<String> = (0..51).map(|n| n.to_string()).collect();
        for body in [
            json!({ "tags": null }),
            json!({ "tags": ["a,b"] }),
            json!({ "tags": [""] }),
            json!({ "tags": many }),
            json!({ "attributes": { "a b": 1 } }),
            json!({ "attributes": { "a": {} } }),
            json!({ "attributes": { "a": "\u{0}" } }),
            json!({ "attributes": { "a": "x".repeat(1025) } }),
            json!({ "phone": "+493055501200" }),
        ] {
            assert!(from_value::<Patch>(body.clone()).is_err(), "{body}");
        }
    }

    #[test]
    fn what_looks_like_a_number_is_one() {
        let words = |text: &str| Words::try_from(text.to_owned()).unwrap();
        for text in ["+49 157-555", "0049157555", "49157555", "(49) 157.555"] {
            assert_eq!(words(text).digits().as_deref(), Some("49157555"), "{text}");
        }
        assert_eq!(words("anna 2").digits(), None);
        assert_eq!(words("O'Neil-Smith, J.").words(), ["O", "Neil", "Smith", "J"]);
        assert_eq!(words("王").words(), ["王"]);
        for text in ["", " ", "a", "!?", &"x".repeat(65)] {
            assert!(Words::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn an_attribute_is_looked_for_by_name_and_value() {
        let condition = |text: &str| Condition::try_from(text.to_owned()).map(|c| c.pair());
        assert_eq!(condition("city:Bad: Ems"), Ok(("city".into(), "Bad: Ems".into())));
        assert!(
            condition("city").is_err() && condition("a b:1").is_err() && condition("a:\0").is_err()
        );
    }
}
