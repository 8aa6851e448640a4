//! The values in requests and answers of every service: what deserialises is fit to be used, and what
//! is not is pointed at.

use chrono::{DateTime, SecondsFormat, Utc};
use kernel::WaId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longer names fit on no screen.
const LONGEST_NAME: usize = 100;
/// E.164 allows 15 digits; the shortest numbers of a country have 4 behind its code.
const E164_DIGITS: std::ops::RangeInclusive<usize> = 5..=15;

/// The query of a request that takes no parameters: one that is sent was meant to do something.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Reads a member that may be left out, but not be `null`: there is nothing to remove. For serde's
/// `deserialize_with`.
///
/// # Errors
///
/// When the member is not a `T`.
pub fn given<'de, T, D>(source: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(source).map(Some)
}

/// What people call a thing.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(pub String);

impl TryFrom<String> for Name {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let name = text.trim();
        let length = name.chars().count();
        if (1..=LONGEST_NAME).contains(&length) && !name.contains(char::is_control) {
            return Ok(Self(name.to_owned()));
        }
        Err("a name has 1 to 100 characters on one line")
    }
}

/// A phone number: E.164 with `+`. Spaces, dashes, dots and brackets, as Meta's pages show them, are
/// left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Phone {
    digits: String,
}

impl Phone {
    /// As stored and shown.
    pub fn with_plus(&self) -> String {
        format!("+{}", self.digits)
    }

    /// As Meta's webhooks name a person.
    pub fn wa_id(&self) -> WaId {
        WaId::new(self.digits.clone())
    }
}

impl TryFrom<String> for Phone {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        // A `+` that a caller did not escape arrives from a query as a space.
        let rest = text.strip_prefix('+').or_else(|| text.strip_prefix(' ')).unwrap_or_default();
        let digits = rest.replace([' ', '-', '.', '(', ')'], "");
        if E164_DIGITS.contains(&digits.len()) && is_digits(&digits) {
            return Ok(Self { digits });
        }
        Err("a phone number is written +493055501200")
    }
}

/// A moment, shown as RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Time(pub DateTime<Utc>);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_number_is_read_as_people_write_it() {
        for text in ["+493055501200", " 493055501200", "+49 30 555-012.00", "+49 (30) 55501200"] {
            let phone = Phone::try_from(text.to_owned()).ok().unwrap();
            assert_eq!(phone.with_plus(), "+493055501200");
            assert_eq!(phone.wa_id().as_str(), "493055501200");
        }
        for text in ["", "+", "493055501200", "+4930x", "+12", "++4930555", "+1234567890123456"] {
            assert!(Phone::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_the_database_cannot_hold_is_no_name() {
        for text in ["", " ", "a\0b", "a\nb", &"a".repeat(101)] {
            assert!(Name::try_from(text.to_owned()).is_err(), "{text:?}");
        }
    }
}
