//! What a request says about a contact: what deserialises is fit to be kept.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};
use service::values::{Name, given};
use storage::contacts::Changes;

/// Characters of a tag or of an attribute's name, at most: what a column of a table can show.
const LONGEST_WORD: usize = 64;
/// Characters of an attribute, at most: the longest body of a template (Meta, "Templates", 1,024).
const LONGEST_TEXT: usize = 1024;
/// Tags of a contact and attributes of a request, at most; more is a mistake in a program.
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
        if tags.len() <= MOST { Ok(Self(tags)) } else { Err("a contact has at most 50 tags") }
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
}
