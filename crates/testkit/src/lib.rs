//! What tests share: servers to test against, and a database of one's own.
//!
//! A dev-dependency only. The servers' addresses come from the environment (`make test` sets them);
//! without it, the standard ports of this machine are used.

mod database;
mod deadline;

pub use self::database::TestDatabase;
pub use self::deadline::{eventually, eventually_within};

use secrecy::SecretString;
use uuid::Uuid;

/// The servers to test against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// PostgreSQL, with the right to create databases.
    pub database_url: String,
    /// Redis.
    pub redis_url: String,
    /// RabbitMQ.
    pub amqp_url: String,
}

impl Servers {
    /// Reads the environment.
    #[expect(clippy::disallowed_methods, reason = "a test has no settings of its own")]
    pub fn from_env() -> Self {
        let var =
            |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
        Self {
            database_url: var(
                "SWITCHYARD__DATABASE__URL",
                "postgres://postgres@127.0.0.1:5432/postgres",
            ),
            redis_url: var("SWITCHYARD__REDIS__URL", "redis://127.0.0.1:6379"),
            amqp_url: var("SWITCHYARD__AMQP__URL", "amqp://guest:guest@127.0.0.1:5672/%2f"),
        }
    }
}

/// A name that no other test uses: starts with a letter, lower case, fit for a Redis namespace, an
/// AMQP prefix or a database name.
pub fn unique_name() -> String {
    let random = Uuid::new_v4().simple().to_string();
    format!("t{}", random.get(..12).unwrap_or(&random))
}

/// A master key for tests.
pub fn master_key() -> SecretString {
    SecretString::from("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
}
