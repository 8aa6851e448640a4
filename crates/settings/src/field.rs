//! How one setting is shown: its form for the docs, its value with secrets masked.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::{ServerUrl, duration};

/// What stands in place of a secret.
const MASK: &str = "***";

/// One key as the docs and `config show` list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `section.key`.
    pub key: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// What may be written, in words.
    pub form: &'static str,
    /// The present value, masked; empty when there is none.
    pub value: String,
    /// Whether a `…_FILE` twin is read and flags are refused.
    pub secrecy: Secrecy,
}

/// How carefully a value is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// Shown as it is.
    Plain,
    /// A URL that may hold a password: has a `…_FILE` twin, shown without the password.
    Url,
    /// Has a `…_FILE` twin, never shown, refused as a flag.
    Secret,
}

/// A kind of value that a setting can have.
pub(crate) trait Field {
    /// What may be written, in words.
    const FORM: &'static str;
    /// How carefully it is handled.
    const SECRECY: Secrecy = Secrecy::Plain;

    /// The value as shown to people.
    fn shown(&self) -> String;
}

impl<T: Field> Field for Option<T> {
    const FORM: &'static str = T::FORM;
    const SECRECY: Secrecy = T::SECRECY;

    fn shown(&self) -> String {
        self.as_ref().map(T::shown).unwrap_or_default()
    }
}

macro_rules! displayed {
    ($($kind:ty: $form:literal,)*) => {
        $(
            impl Field for $kind {
                const FORM: &'static str = $form;

                fn shown(&self) -> String {
                    self.to_string()
                }
            }
        )*
    };
}

displayed! {
    u32: "number",
    u64: "number",
    usize: "number",
    String: "text",
    SocketAddr: "address:port",
    Url: "URL",
}

impl Field for Duration {
    const FORM: &'static str = "duration";

    fn shown(&self) -> String {
        duration::shown(*self)
    }
}

impl Field for SecretString {
    const FORM: &'static str = "secret";
    const SECRECY: Secrecy = Secrecy::Secret;

    fn shown(&self) -> String {
        MASK.to_owned()
    }
}

impl Field for ServerUrl {
    const FORM: &'static str = "URL";
    const SECRECY: Secrecy = Secrecy::Url;

    fn shown(&self) -> String {
        self.masked()
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object per line, for machines.
    Json,
    /// Coloured lines, for people.
    Pretty,
    /// `Pretty` on a terminal, else `Json`.
    #[default]
    Auto,
}

impl Field for LogFormat {
    const FORM: &'static str = "json, pretty or auto";

    fn shown(&self) -> String {
        match self {
            Self::Json => "json",
            Self::Pretty => "pretty",
            Self::Auto => "auto",
        }
        .to_owned()
    }
}

/// How Redis is deployed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RedisMode {
    /// One primary.
    #[default]
    Single,
    /// A primary that Sentinel names.
    Sentinel,
    /// A Redis Cluster.
    Cluster,
}

impl Field for RedisMode {
    const FORM: &'static str = "single, sentinel or cluster";

    fn shown(&self) -> String {
        match self {
            Self::Single => "single",
            Self::Sentinel => "sentinel",
            Self::Cluster => "cluster",
        }
        .to_owned()
    }
}

/// Where locks and limits are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CoordinationBackend {
    /// On Redis.
    #[default]
    Redis,
    /// In PostgreSQL.
    Postgres,
}

impl Field for CoordinationBackend {
    const FORM: &'static str = "redis or postgres";

    fn shown(&self) -> String {
        match self {
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        }
        .to_owned()
    }
}
