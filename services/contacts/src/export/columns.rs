//! What a file has of a contact: an import reads the same columns.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};
use kernel::ids::ContactId;
use serde_json::Value;

use super::people::Person;

/// Of every contact.
const FIXED: [&str; 9] = [
    "contact_id",
    "phone",
    "name",
    "tags",
    "user_id",
    "source",
    "opted_out_at",
    "created_at",
    "updated_at",
];
/// Attributes that get a column of their own at most; more stand in one, as JSON.
const MOST: usize = 200;

/// The columns of one file.
pub(super) enum Columns {
    /// Each attribute has its own.
    Each(Vec<String>),
    /// There are too many for that.
    Together,
}

impl Columns {
    pub(super) fn of(attributes: BTreeSet<String>) -> Self {
        match attributes.len() <= MOST {
            true => Self::Each(attributes.into_iter().collect()),
            false => Self::Together,
        }
    }

    pub(super) fn header(&self) -> Vec<String> {
        let fixed = FIXED.into_iter().map(str::to_owned);
        match self {
            Self::Each(names) => {
                fixed.chain(names.iter().map(|name| format!("attributes.{name}"))).collect()
            }
            Self::Together => fixed.chain(["attributes".to_owned()]).collect(),
        }
    }

    pub(super) fn cells(&self, person: Person) -> Vec<String> {
        let mut cells = vec![
            ContactId::from_uuid(person.id).to_string(),
            person.wa_id.map(|wa_id| format!("+{wa_id}")).unwrap_or_default(),
            person.name.unwrap_or_default(),
            person.tags.join(","),
            person.user_id.unwrap_or_default(),
            person.source,
            person.opted_out_at.map(time).unwrap_or_default(),
            time(person.created_at),
            time(person.updated_at),
        ];
        match self {
            Self::Each(names) => cells.extend(
                names.iter().map(|name| person.attributes.get(name).map(text).unwrap_or_default()),
            ),
            Self::Together => cells.push(person.attributes.to_string()),
        }
        cells
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
