//! Who a campaign is for.
//!
//! An audience is chosen by one or several selectors, which are united; whoever is excluded is not
//! in it, whatever selected them. It is stored as it was written and looked up when the campaign is
//! frozen, so people who gain a tag until then are in.

mod phone;
mod preview;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use service::problem::FieldError;

pub use self::phone::phone;
pub use self::preview::{About, Cap, Person, Preview, PreviewError, Skipped, preview};

/// Tags, attributes or numbers in one audience at most; more numbers are given as a file.
const MOST: usize = 10_000;

/// Who gets a campaign's message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audience {
    /// Contacts with any of these tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Contacts with all of these tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub all_tags: Vec<String>,
    /// Contacts with all of these attributes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Value>,
    /// Numbers, contacts or not; see [`phone`] for how they may be written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phones: Vec<String>,
    /// The numbers of the uploaded file.
    #[serde(skip_serializing_if = "is_false")]
    pub upload: bool,
    /// Who is left out, whatever selected them.
    #[serde(skip_serializing_if = "Exclude::is_empty")]
    pub exclude: Exclude,
}

/// Who is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exclude {
    /// Contacts with any of these tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl Exclude {
    fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl Audience {
    /// Whether it can be looked up.
    ///
    /// # Errors
    ///
    /// Each value that is wrong, with a pointer into the audience; an audience that selects nobody.
    pub fn validate(&self) -> Result<(), Vec<FieldError>> {
        let mut errors = Vec::new();
        if !self.gives_numbers() && !self.describes_contacts() {
            errors.push(error("", "audience_empty", "An audience needs at least one selector."));
        }
        check_tags("/tags", &self.tags, &mut errors);
        check_tags("/all_tags", &self.all_tags, &mut errors);
        check_tags("/exclude/tags", &self.exclude.tags, &mut errors);
        for (key, value) in &self.attributes {
            if !(value.is_string() || value.is_number() || value.is_boolean()) {
                let pointer = format!("/attributes/{}", escaped(key));
                errors.push(error(
                    &pointer,
                    "invalid",
                    "An attribute is a text, number or boolean.",
                ));
            }
            if has_nul(key) || value.as_str().is_some_and(has_nul) {
                let pointer = format!("/attributes/{}", escaped(key));
                errors.push(error(&pointer, "invalid", "An attribute has no U+0000."));
            }
        }
        if self.phones.len() > MOST {
            errors.push(error("/phones", "too_many", "More than 10,000 numbers go into a file."));
        }
        if !self.phones.is_empty() && self.numbers().next().is_none() {
            errors.push(error("/phones", "invalid", "None of these is a phone number."));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// The listed numbers that are numbers, as Meta writes them, with their places in the list.
    pub fn numbers(&self) -> impl Iterator<Item = (usize, String)> {
        self.phones.iter().enumerate().filter_map(|(place, text)| Some((place, phone(text)?)))
    }

    /// How many of the listed numbers are none.
    pub fn invalid_numbers(&self) -> usize {
        self.phones.len() - self.numbers().count()
    }

    /// Whether numbers are given, as a list or a file.
    pub(crate) fn gives_numbers(&self) -> bool {
        self.upload || !self.phones.is_empty()
    }

    /// Whether contacts are described by what they have.
    pub(crate) fn describes_contacts(&self) -> bool {
        !(self.tags.is_empty() && self.all_tags.is_empty() && self.attributes.is_empty())
    }

    /// The attributes to look for, as PostgreSQL compares them.
    pub(crate) fn attributes_json(&self) -> Value {
        Value::Object(self.attributes.clone().into_iter().collect())
    }
}

fn check_tags(pointer: &str, tags: &[String], errors: &mut Vec<FieldError>) {
    if tags.len() > MOST {
        errors.push(error(pointer, "too_many", "These are more than 10,000 tags."));
    }
    for (place, tag) in tags.iter().enumerate() {
        if tag.is_empty() || has_nul(tag) {
            errors.push(error(&format!("{pointer}/{place}"), "invalid", "This is no tag."));
        }
    }
}

fn has_nul(text: &str) -> bool {
    text.contains('\0')
}

/// A member's name inside a JSON pointer (RFC 6901).
pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

pub(crate) fn error(pointer: &str, code: &str, detail: &str) -> FieldError {
    FieldError { pointer: pointer.to_owned(), code: code.to_owned(), detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn audience(json: Value) -> Audience {
        serde_json::from_value(json).unwrap()
    }

    fn pointers(json: Value) -> Vec<String> {
        let errors = audience(json).validate().err().unwrap_or_default();
        errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn an_audience_that_selects_nobody_is_refused() {
        assert_eq!(pointers(json!({})), [""]);
        assert_eq!(pointers(json!({ "exclude": { "tags": ["vip"] } })), [""]);
        assert!(pointers(json!({ "upload": true })).is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(pointers(json!({ "tags": ["vip", ""] })), ["/tags/1"]);
        assert_eq!(pointers(json!({ "attributes": { "a/b": [] } })), ["/attributes/a~1b"]);
        assert_eq!(pointers(json!({ "phones": ["nobody"] })), ["/phones"]);
        assert!(serde_json::from_value::<Audience>(json!({ "tag": ["vip"] })).is_err());
    }

    #[test]
    fn a_number_that_is_none_is_counted_and_the_others_stay() {
        let audience = audience(json!({ "phones": ["+49 155 123456", "x", "0049-155-123457"] }));
        assert_eq!(audience.validate(), Ok(()));
        assert_eq!(audience.invalid_numbers(), 1);
        let numbers: Vec<_> = audience.numbers().collect();
        assert_eq!(numbers, [(0, "49155123456".to_owned()), (2, "49155123457".to_owned())]);
    }

    #[test]
    fn an_audience_is_written_as_it_was_read() {
        let json = json!({ "tags": ["vip"], "exclude": { "tags": ["left"] } });
        assert_eq!(serde_json::to_value(audience(json.clone())).unwrap(), json);
    }
}
