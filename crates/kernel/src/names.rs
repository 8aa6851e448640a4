//! Names that Meta gives to things: kept as received, never parsed for meaning, but for one: a phone number
//! is written in one way only, so that one person has one name.
//!
//! A phone number, a business-scoped user id and a wamid (which holds the phone number in base64)
//! are personal data: their `Debug` shows only the last characters, so no log line can leak one.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $read:ident, $shown:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(from = "String")]
        pub struct $name(String);

        impl $name {
            /// Wraps the text.
            pub fn new(text: impl Into<String>) -> Self {
                Self($read(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Gives the text away.
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::new(text)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&$shown(&self.0))
            }
        }
    };
}

name!(
    /// Meta's id of a business phone number, e.g. `290184457761305`.
    PhoneNumberId,
    as_received,
    plain
);
name!(
    /// Meta's id of a WhatsApp Business Account.
    WabaId,
    as_received,
    plain
);
name!(
    /// Meta's id of one message, `wamid.…`: opaque, unique per business phone number, personal data.
    Wamid,
    as_received,
    tail
);
name!(
    /// A person's WhatsApp number: digits without `+`, as it is dialled today. Meta writes some mobile
    /// numbers of Brazil and Mexico as they were in former years, and takes both.
    WaId,
    as_dialled,
    tail
);
name!(
    /// A business-scoped user id (BSUID), e.g. `DE.9081…`: opaque, case-sensitive.
    UserId,
    as_received,
    tail
);

fn as_received(text: String) -> String {
    text
}

/// Brazil gave its mobile numbers a ninth digit (55, two digits of the area, `9`, eight digits from 6 to 9
/// on); Mexico took the `1` behind 52 away. Meta's webhooks and answers may show the other form.
fn as_dialled(mut number: String) -> String {
    let digit = |at: usize| number.as_bytes().get(at).copied();
    match number.len() {
        12 if number.starts_with("55") && matches!(digit(4), Some(b'6'..=b'9')) => {
            number.insert(4, '9');
        }
        13 if number.starts_with("521") => {
            number.remove(2);
        }
        _ => (),
    }
    number
}

fn plain(text: &str) -> String {
    text.to_owned()
}

/// The last four characters, behind a mark that something is missing.
fn tail(text: &str) -> String {
    let mut last: Vec<char> = text.chars().rev().take(4).collect();
    last.reverse();
    format!("…{}", last.into_iter().collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer;

    use super::*;

    #[test]
    fn both_ways_to_write_a_mobile_number_of_brazil_or_mexico_are_one_person() {
        for (old, new) in [
            ("551187654321", "5511987654321"),
            ("552161234567", "5521961234567"),
            ("5215512345678", "525512345678"),
        ] {
            assert_eq!(WaId::new(old), WaId::new(new));
            assert_eq!(WaId::new(old).as_str(), new);
            let read: Result<WaId, serde::de::value::Error> =
                WaId::deserialize(old.into_deserializer());
            assert_eq!(read.unwrap(), WaId::new(new));
        }
    }

    #[test]
    fn every_other_number_stays_as_it_is() {
        for number in [
            "551134567890",  // a fixed line of Brazil: with a 9 it would be somebody's mobile
            "5511987654321", // Brazil, nine digits already
            "5255123456789", // no number of Mexico
            "521551234567",  // Mexico, one digit too few
            "4915755512345",
            "1",
            "",
        ] {
            assert_eq!(WaId::new(number).as_str(), number);
        }
    }

    #[test]
    fn debug_of_personal_data_shows_only_its_end() {
        assert_eq!(format!("{:?}", WaId::new("4915755512345")), "…2345");
        assert_eq!(format!("{:?}", Wamid::new("wamid.HBgNNDk=")), "…NDk=");
        assert_eq!(format!("{:?}", PhoneNumberId::new("290184457761305")), "290184457761305");
    }
}
