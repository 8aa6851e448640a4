//! Address cards.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Flaws;

/// One address card, as Meta's API takes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    name: Name,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    phones: Vec<Phone>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    emails: Vec<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    urls: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<Value>,
    /// `YYYY-MM-DD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    birthday: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    formatted_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    middle_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suffix: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Phone {
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wa_id: Option<String>,
}

impl Contact {
    /// The name as it is shown.
    pub(super) fn formatted_name(&self) -> &str {
        &self.name.formatted_name
    }

    pub(super) fn check(&self, flaws: &mut Flaws) {
        let Name { formatted_name, first_name, last_name, middle_name, prefix, suffix } =
            &self.name;
        let is_named = !formatted_name.trim().is_empty();
        flaws.require("name/formatted_name", is_named, "a name");
        let parts = [first_name, last_name, middle_name, prefix, suffix];
        let has_part = parts.into_iter().flatten().any(|part| !part.trim().is_empty());
        flaws.require("name", has_part, "one more part of the name beside `formatted_name`");
        for (place, phone) in self.phones.iter().enumerate() {
            let has_number = phone.phone.is_some() || phone.wa_id.is_some();
            flaws.require(format_args!("phones/{place}"), has_number, "`phone` or `wa_id`");
        }
        let is_date = |text: &String| chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok();
        let is_birthday = self.birthday.as_ref().is_none_or(is_date);
        flaws.require("birthday", is_birthday, "a day written 1990-12-31");
    }
}
