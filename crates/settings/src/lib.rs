//! Where a process learns what it is told: the one place that reads files and the environment.
//!
//! Layers, each over the one before: defaults in code, the file `/etc/switchyard/config.toml` (or
//! the one `SWITCHYARD_CONFIG` names), variables `SWITCHYARD__SECTION__KEY`, overrides from flags.
//! A key nobody knows is an error, because a mistyped limit is dangerous.
//!
//! Invariant: no secret is shown by `Debug`, [`Loaded::report`] or an error of this crate.

mod duration;
mod error;
mod field;
mod layers;
mod reference;
mod sections;
mod server_url;
mod validate;

pub use self::duration::parse as duration;
pub use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

pub use self::error::SettingsError;
pub use self::field::{CoordinationBackend, Entry, LogFormat, RedisMode, Secrecy};
pub use self::layers::{ReportLine, Source, Sources};
pub use self::reference::reference;
pub use self::sections::{
    Amqp, Chatbot, Conversations, Coordination, Database, Files, Http, Limits, MasterKey, Meta,
    Redis, Security, Sending, Telemetry, Templates,
};
pub use self::server_url::{InvalidServerUrl, ServerUrl};
pub use self::validate::Problem;

/// Where the file is looked for unless `SWITCHYARD_CONFIG` names another.
pub const DEFAULT_FILE: &str = "/etc/switchyard/config.toml";

/// Everything that can be set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// PostgreSQL.
    pub database: Database,
    /// Redis.
    pub redis: Redis,
    /// Locks and limits, by name.
    pub coordination: Coordination,
    /// RabbitMQ.
    pub amqp: Amqp,
    /// The listeners.
    pub http: Http,
    /// The Graph API and the webhooks it sends.
    pub meta: Meta,
    /// Encryption at rest.
    pub security: Security,
    /// Default rate limits.
    pub limits: Limits,
    /// Working off inbound events.
    pub conversations: Conversations,
    /// Handing messages to Meta.
    pub sending: Sending,
    /// Answering by rules.
    pub chatbot: Chatbot,
    /// Fetching templates from Meta.
    pub templates: Templates,
    /// Files of imports and exports.
    pub files: Files,
    /// Logs and traces.
    pub telemetry: Telemetry,
}

/// Settings together with where each value came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub settings: Settings,
    /// Per key, the layer that had the last word.
    pub sources: Sources,
}

impl Settings {
    /// Reads all layers and checks the outcome; `overrides` are `(key, value)` pairs from flags.
    ///
    /// # Errors
    ///
    /// When a layer cannot be read, names a key nobody knows, holds a value of the wrong kind, or
    /// when [`Settings::validate`] finds values that do not fit together.
    pub fn load(overrides: &[(&str, &str)]) -> Result<Loaded, SettingsError> {
        layers::load(std::env::vars_os(), overrides)
    }

    /// Refuses values that make no sense, alone or beside each other.
    ///
    /// What is absent is not refused: a command that needs a server's URL asks for it, so that
    /// `switchyard migrate` runs without Redis.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Unfit`] with every problem found.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let problems = validate::problems(self);
        if problems.is_empty() { Ok(()) } else { Err(SettingsError::Unfit { problems }) }
    }

    /// Every key with its meaning and its present value, secrets masked, in the order of the docs.
    pub fn entries(&self) -> Vec<Entry> {
        [
            self.database.entries(),
            self.redis.entries(),
            self.coordination.entries(),
            self.amqp.entries(),
            self.http.entries(),
            self.meta.entries(),
            self.security.entries(),
            self.limits.entries(),
            self.conversations.entries(),
            self.sending.entries(),
            self.chatbot.entries(),
            self.templates.entries(),
            self.files.entries(),
            self.telemetry.entries(),
        ]
        .concat()
    }
}

impl Loaded {
    /// One line per key for `config show --sources`; secrets and passwords are masked.
    pub fn report(&self) -> Vec<ReportLine> {
        self.settings
            .entries()
            .into_iter()
            .map(|entry| ReportLine {
                key: entry.key,
                value: entry.value,
                source: self.sources.of(entry.key),
            })
            .collect()
    }
}
