//! The values in requests that only this service reads; those of every service are in [`service::values`].

use kernel::{PhoneNumberId, WabaId};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// Meta's ids have 15 to 17 digits today; this is room enough, and fits an index.
const LONGEST_META_ID: usize = 64;
/// Meta's tokens have some 200 characters.
const LONGEST_TOKEN: usize = 4096;
/// Secrets of Meta apps have 32 characters; verify tokens are made by people.
const LONGEST_SECRET: usize = 256;

/// An id that Meta gave out.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct MetaId(String);

impl TryFrom<String> for MetaId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        if (1..=LONGEST_META_ID).contains(&text.len()) && is_digits(&text) {
            return Ok(Self(text));
        }
        Err("an id of Meta's has 1 to 64 digits and nothing else")
    }
}

impl From<MetaId> for PhoneNumberId {
    fn from(id: MetaId) -> Self {
        Self::new(id.0)
    }
}

impl From<MetaId> for WabaId {
    fn from(id: MetaId) -> Self {
        Self::new(id.0)
    }
}

/// A token that goes into a header of requests to Meta.
#[derive(Debug, Deserialize)]
#[serde(try_from = "SecretString")]
pub(super) struct AccessToken(pub(super) SecretString);

impl TryFrom<SecretString> for AccessToken {
    type Error = &'static str;

    fn try_from(text: SecretString) -> Result<Self, &'static str> {
        let is_fit = is_printable(&text, LONGEST_TOKEN);
        if is_fit { Ok(Self(text)) } else { Err("a token has 1 to 4096 visible ASCII characters") }
    }
}

/// A secret shared with Meta: an app's secret, or what Meta repeats in its handshake.
#[derive(Debug, Deserialize)]
#[serde(try_from = "SecretString")]
pub(super) struct SharedSecret(pub(super) SecretString);

impl TryFrom<SecretString> for SharedSecret {
    type Error = &'static str;

    fn try_from(text: SecretString) -> Result<Self, &'static str> {
        let is_fit = is_printable(&text, LONGEST_SECRET);
        if is_fit { Ok(Self(text)) } else { Err("a secret has 1 to 256 visible ASCII characters") }
    }
}

/// The last part of a Meta app's callback path.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Slug(pub(super) String);

impl TryFrom<String> for Slug {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let is_fit = text.len() <= 64
            && text.starts_with(is_plain)
            && text.ends_with(is_plain)
            && text.chars().all(|c| is_plain(c) || c == '-');
        if is_fit {
            return Ok(Self(text));
        }
        Err("a slug has 1 to 64 of a-z, 0-9 and, in between, `-`")
    }
}

/// A type of event, e.g. `message.received`. One that does not exist yet is no mistake: there are none.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct EventType(pub(super) String);

impl TryFrom<String> for EventType {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let is_fit = |c: char| c.is_ascii_lowercase() || matches!(c, '.' | '_');
        if (1..=64).contains(&text.len()) && text.chars().all(is_fit) {
            return Ok(Self(text));
        }
        Err("a type is written message.received")
    }
}

/// How much per minute: 1 to 1,000,000. Meta's largest throughput is 60,000 messages a minute.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "i64")]
pub(super) struct PerMinute(pub(super) i32);

impl TryFrom<i64> for PerMinute {
    type Error = &'static str;

    fn try_from(number: i64) -> Result<Self, &'static str> {
        match i32::try_from(number) {
            Ok(number @ 1..=1_000_000) => Ok(Self(number)),
            Ok(_) | Err(_) => Err("a limit is a number from 1 to 1000000"),
        }
    }
}

/// What happens to webhook events over their limit.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OverLimit {
    /// They are made durable and worked off behind those of others.
    SlowLane,
    /// The sender is told to come back.
    Refuse,
}

impl OverLimit {
    /// As stored.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::SlowLane => "slow_lane",
            Self::Refuse => "refuse",
        }
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_printable(secret: &SecretString, longest: usize) -> bool {
    let text = secret.expose_secret();
    (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_can_stand_in_a_path_as_it_is() {
        for text in ["a", "acme-2", "0"] {
            assert!(Slug::try_from(text.to_owned()).is_ok(), "{text}");
        }
        for text in ["", "-a", "a-", "A", "a/b", "a.b", "ä", &"a".repeat(65)] {
            assert!(Slug::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_header_cannot_hold_is_refused() {
        for text in ["", "EA AG", "EAAG\r\nX: y", "ÄÖ", &"a".repeat(4097)] {
            assert!(AccessToken::try_from(SecretString::from(text)).is_err(), "{text:?}");
        }
    }
}
