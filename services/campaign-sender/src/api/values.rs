//! The values in requests: what deserialises is fit to be used, and what is not is pointed at.

use chrono::{DateTime, NaiveTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use storage::campaigns::standing::Status;

/// Longer names fit on no screen.
const LONGEST_NAME: usize = 200;
/// The longest name of the IANA database has 32 characters.
const LONGEST_ZONE: usize = 64;
/// A cap over a longer time would read too much of the ledger for each message.
const LONGEST_CAP_DAYS: i32 = 365;

/// The query of a request that takes no parameters: one that is sent was meant to do something.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// What people call a campaign.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Name(pub(super) String);

impl TryFrom<String> for Name {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let name = text.trim();
        let length = name.chars().count();
        if (1..=LONGEST_NAME).contains(&length) && !name.contains(char::is_control) {
            return Ok(Self(name.to_owned()));
        }
        Err("a name has 1 to 200 characters on one line")
    }
}

/// A part of a name that is looked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct NamePart(pub(super) String);

impl TryFrom<String> for NamePart {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        if text.chars().count() <= LONGEST_NAME && !text.contains('\0') {
            return Ok(Self(text));
        }
        Err("a part of a name has 200 characters at most")
    }
}

/// A campaign's status, in a filter.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct WantedStatus(pub(super) Status);

impl TryFrom<String> for WantedStatus {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Status::read(&text).map(Self).ok_or_else(|| {
            let all = Status::ALL.map(Status::as_str).join(", ");
            format!("a status is one of {all}")
        })
    }
}

/// What becomes of a send whose outcome stays unknown.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnUncertain {
    /// A person decides.
    #[default]
    Hold,
    /// It counts as sent.
    AssumeSent,
    /// It is sent again, once nothing speaks for the first one.
    Resend,
}

impl OnUncertain {
    /// As stored.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::AssumeSent => "assume_sent",
            Self::Resend => "resend",
        }
    }
}

/// Whose clock a schedule goes by.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum Clock {
    /// Each recipient's own.
    Recipients,
    /// That of a zone of the IANA database; whether there is one of this name, the database knows.
    Zone(String),
}

impl Clock {
    /// As shown.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Recipients => "recipient",
            Self::Zone(name) => name,
        }
    }
}

impl TryFrom<String> for Clock {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '/');
        match text.as_str() {
            "recipient" => Ok(Self::Recipients),
            name if name.len() <= LONGEST_ZONE && name.chars().all(is_fit) => Ok(Self::Zone(text)),
            _ => Err("a time zone is written Europe/Berlin, or `recipient`"),
        }
    }
}

/// At most so many campaign messages of the workspace to one person in so many days.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, try_from = "Unchecked")]
pub(super) struct Cap {
    pub(super) messages: i32,
    pub(super) days: i32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    messages: i32,
    days: i32,
}

impl TryFrom<Unchecked> for Cap {
    type Error = &'static str;

    fn try_from(Unchecked { messages, days }: Unchecked) -> Result<Self, &'static str> {
        if (1..=1_000).contains(&messages) && (1..=LONGEST_CAP_DAYS).contains(&days) {
            return Ok(Self { messages, days });
        }
        Err("a cap is 1 to 1000 messages in 1 to 365 days")
    }
}

/// Times of a day between which nothing is begun; over midnight, where `from` is the later one.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "UncheckedHours")]
pub(super) struct QuietHours {
    pub(super) from: NaiveTime,
    pub(super) to: NaiveTime,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UncheckedHours {
    from: String,
    to: String,
}

impl TryFrom<UncheckedHours> for QuietHours {
    type Error = &'static str;

    fn try_from(hours: UncheckedHours) -> Result<Self, &'static str> {
        let read = |text: &str| {
            let time = NaiveTime::parse_from_str(text, "%H:%M").ok();
            time.or_else(|| NaiveTime::parse_from_str(text, "%H:%M:%S").ok())
        };
        match (read(&hours.from), read(&hours.to)) {
            (Some(from), Some(to)) if from != to => Ok(Self { from, to }),
            (Some(_), Some(_)) => Err("quiet hours end at another time than they begin"),
            _ => Err("a time of day is written 21:00"),
        }
    }
}

/// A member that tells "left out" from `null`, which empties it.
pub(super) fn nullable<'de, T, D>(source: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(source).map(Some)
}

/// Whether a JSON value holds a U+0000, which `PostgreSQL` cannot.
pub(super) fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => {
            members.iter().any(|(name, value)| name.contains('\0') || has_nul(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The end of a campaign: `None` when it is fit to be one.
pub(super) fn wrong_end(ends_at: DateTime<Utc>, now: DateTime<Utc>) -> Option<&'static str> {
    (ends_at <= now).then_some("a campaign ends in the future")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(from: &str, to: &str) -> Result<QuietHours, &'static str> {
        QuietHours::try_from(UncheckedHours { from: from.to_owned(), to: to.to_owned() })
    }

    #[test]
    fn quiet_hours_are_two_different_times_of_a_day() {
        assert!(hours("21:00", "08:00").is_ok() && hours("12:00", "13:30:30").is_ok());
        for (from, to) in [("21:00", "21:00"), ("24:00", "08:00"), ("9", "10"), ("", "08:00")] {
            assert!(hours(from, to).is_err(), "{from} {to}");
        }
    }

    #[test]
    fn what_the_database_cannot_hold_is_refused() {
        for text in ["", " ", "a\0b", "a\nb", &"a".repeat(201)] {
            assert!(Name::try_from(text.to_owned()).is_err(), "{text:?}");
        }
        assert!(NamePart::try_from("a\0".to_owned()).is_err());
    }
}
