//! The URL of a server we connect to; it may hold a password, so it is kept like a secret.

use std::fmt;
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de};
use thiserror::Error;
use url::Url;

/// A well-formed URL whose password never shows up in `Debug` or in an error.
#[derive(Clone)]
pub struct ServerUrl(SecretString);

/// The text is not a URL. It is not repeated here: it may hold a password.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("not a URL of the form scheme://user:password@host:port/name")]
pub struct InvalidServerUrl;

impl ServerUrl {
    /// The whole URL with its password, for the library that connects.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The URL with `***` in place of its password.
    pub fn masked(&self) -> String {
        let Ok(mut url) = Url::parse(self.expose()) else { return "***".to_owned() };
        if url.password().is_some() && url.set_password(Some("***")).is_err() {
            return "***".to_owned();
        }
        // libpq's URLs may carry the password as a parameter.
        if url.query_pairs().any(|(name, _)| name.eq_ignore_ascii_case("password")) {
            url.set_query(Some("***"));
        }
        url.into()
    }

    /// The part before `://`.
    pub(crate) fn scheme(&self) -> &str {
        self.expose().split_once(':').map_or("", |(scheme, _)| scheme)
    }
}

impl FromStr for ServerUrl {
    type Err = InvalidServerUrl;

    fn from_str(text: &str) -> Result<Self, InvalidServerUrl> {
        match Url::parse(text) {
            Ok(url) if url.has_host() => Ok(Self(text.into())),
            Ok(_) | Err(_) => Err(InvalidServerUrl),
        }
    }
}

impl<'de> Deserialize<'de> for ServerUrl {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        String::deserialize(source)?.parse().map_err(de::Error::custom)
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_masked_wherever_it_stands_in_the_url() {
        for (text, shown) in [
            ("postgres://me:pa%20ss@db:5432/sy", "postgres://me:***@db:5432/sy"),
            ("postgres://me@db/sy", "postgres://me@db/sy"),
            ("postgres://db/sy?user=me&password=pass", "postgres://db/sy?***"),
            ("redis://:pass@cache", "redis://:***@cache"),
            ("amqp://guest:pass@mq:5672/%2f", "amqp://guest:***@mq:5672/%2f"),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!(url.expose(), text);
            assert_eq!(format!("{url:?}"), shown);
        }
    }

    #[test]
    fn an_unreadable_url_is_refused_without_repeating_it() {
        let error = "me:secret@".parse::<ServerUrl>().map(|_| ());
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        for text in ["localhost", "localhost:6379", "redis:/me:secret@host", "unix:/run/redis.sock"]
        {
            assert!(text.parse::<ServerUrl>().is_err(), "{text}");
        }
    }
}
