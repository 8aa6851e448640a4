//! Why settings could not be read.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use config::ConfigError;
use thiserror::Error;

use crate::layers::{Source, variable_of};
use crate::validate::Problem;

/// Why settings could not be read; tells where to look and, where it can, what to write.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// A layer names a key that does not exist.
    #[error("unknown setting `{key}` ({from}){}", did_you_mean(.near))]
    UnknownKey {
        /// The key as written.
        key: String,
        /// The layer that names it.
        from: Source,
        /// Known keys that look alike, nearest first.
        near: Vec<&'static str>,
    },
    /// The file cannot be read.
    #[error("cannot read the settings file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML. Its lines are not repeated: one may hold a secret.
    #[error("the settings file {} is not TOML: {place}", path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// Line, column and what was expected there.
        place: String,
    },
    /// The file that a `…_FILE` variable names cannot be read.
    #[error("cannot read {}, which {variable} names", path.display())]
    SecretFile {
        /// The variable.
        variable: String,
        /// The file it names.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A variable and its `…_FILE` twin are both set.
    #[error("both {variable} and {variable}_FILE are set; remove one")]
    Twice {
        /// The variable without `_FILE`.
        variable: String,
    },
    /// A variable is not UTF-8.
    #[error("the variable {} is not UTF-8", variable.display())]
    NotUtf8 {
        /// The variable.
        variable: OsString,
    },
    /// A secret came by a flag, where every user of the machine can see it.
    #[error("`{key}` is a secret and is not taken from a flag; set {}_FILE", variable_of(key))]
    SecretInFlag {
        /// The key.
        key: &'static str,
    },
    /// A value is of the wrong kind; the source names its key.
    #[error("a setting has a wrong value ({from})")]
    Value {
        /// The layer that gave it.
        from: Source,
        /// What was expected.
        source: Box<ConfigError>,
    },
    /// A setting that has no default is needed and was not given.
    #[error("`{key}` is not set; set {0} or {0}_FILE", variable_of(key))]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// The master key is unusable.
    #[error(
        "`security.master_key` is not the base64 of 32 bytes; make one: openssl rand -base64 32"
    )]
    MasterKey,
    /// Values make no sense, alone or beside each other.
    #[error("settings do not fit together:{}", problems.iter().map(|p| format!("\n  {p}")).collect::<String>())]
    Unfit {
        /// Everything found.
        problems: Vec<Problem>,
    },
}

fn did_you_mean(near: &[&str]) -> String {
    match near {
        [] => String::new(),
        near => format!("; did you mean `{}`?", near.join("` or `")),
    }
}
