//! How a command ends: its exit code, and an error that says how to mend it.

use std::fmt;
use std::process::ExitCode;

use settings::SettingsError;

/// Exit codes, the same for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done.
    Done,
    /// It failed.
    Failed,
    /// The command line or the settings are wrong.
    Usage,
    /// Something that was looked at is not well.
    Unhealthy,
    /// What was named is not there.
    NotFound,
    /// Somebody else is at it.
    Conflict,
    /// It took too long, or a limit is used up.
    TimedOut,
    /// The key is missing, wrong, or may not do this.
    NotAllowed,
    /// It is over, and not all of it was done.
    Partly,
    /// Ctrl-C before the end.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Unhealthy => 3,
            Exit::NotFound => 4,
            Exit::Conflict => 5,
            Exit::TimedOut => 6,
            Exit::NotAllowed => 7,
            Exit::Partly => 8,
            Exit::Interrupted => 130,
        })
    }
}

/// Why a command ended early, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What went wrong.
    pub(crate) error: anyhow::Error,
    /// One line that mends it.
    pub(crate) fix: String,
}

impl Failure {
    pub(crate) fn new(error: impl Into<anyhow::Error>, fix: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, error: error.into(), fix: fix.into() }
    }

    /// The same failure with another exit code.
    pub(crate) fn with(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        let fix = match &error {
            SettingsError::Missing { key: "security.master_key" } => {
                "set SWITCHYARD__SECURITY__MASTER_KEY to what this prints: openssl rand -base64 32"
                    .to_owned()
            }
            SettingsError::Missing { key } => {
                let variable = format!("SWITCHYARD__{}", key.replace('.', "__").to_uppercase());
                format!("set {variable} (every key: switchyard config show)")
            }
            SettingsError::Unfit { .. } | SettingsError::MasterKey => {
                "change the values named above (where each comes from: switchyard config show --sources)"
                    .to_owned()
            }
            _ => "correct that setting (every key: docs/configuration.md)".to_owned(),
        };
        Self::new(error, fix).with(Exit::Usage)
    }
}

/// Turns errors into failures.
pub(crate) trait OrFix<T> {
    /// Says how to mend the error.
    fn or_fix(self, fix: &str) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrFix<T> for Result<T, E> {
    fn or_fix(self, fix: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(error, fix))
    }
}

/// What to do when PostgreSQL cannot be asked.
pub(crate) const DATABASE_AWAY: &str =
    "start PostgreSQL or correct database.url, then look again: switchyard doctor";
/// What to do when Redis cannot be used.
pub(crate) const REDIS_AWAY: &str = "correct redis.url, then look again: switchyard doctor";
/// What to do when locks or limits are set by names or values that are not understood.
pub(crate) const COORDINATION_UNFIT: &str =
    "correct coordination.locks or coordination.limits; docs/registry.md names them";
/// What to do when RabbitMQ cannot be used.
pub(crate) const BROKER_AWAY: &str =
    "start RabbitMQ or correct amqp.url, then look again: switchyard doctor";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_setting_names_the_variable_that_sets_it() {
        let failure = Failure::from(SettingsError::Missing { key: "database.url" });
        assert!(failure.fix.contains("SWITCHYARD__DATABASE__URL"), "{}", failure.fix);
        assert_eq!(failure.exit, Exit::Usage);
    }
}
