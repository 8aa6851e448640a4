//! Names that Meta gives to things: kept as received, never parsed for meaning.
//!
//! A phone number, a business-scoped user id and a wamid (which holds the phone number in base64)
//! are personal data: their `Debug` shows only the last characters, so no log line can leak one.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $shown:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps the text as received.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text as received.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Gives the text away.
            pub fn into_string(self) -> String {
                self.0
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
    plain
);
name!(
    /// Meta's id of a WhatsApp Business Account.
    WabaId,
    plain
);
name!(
    /// Meta's id of one message, `wamid.…`: opaque, unique per business phone number, personal data.
    Wamid,
    tail
);
name!(
    /// A person's WhatsApp number: digits without `+`, as Meta writes it in webhooks.
    WaId,
    tail
);
name!(
    /// A business-scoped user id (BSUID), e.g. `DE.9081…`: opaque, case-sensitive.
    UserId,
    tail
);

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
    use super::*;

    #[test]
    fn debug_of_personal_data_shows_only_its_end() {
        assert_eq!(format!("{:?}", WaId::new("4915755512345")), "…2345");
        assert_eq!(format!("{:?}", Wamid::new("wamid.HBgNNDk=")), "…NDk=");
        assert_eq!(format!("{:?}", PhoneNumberId::new("290184457761305")), "290184457761305");
    }
}
