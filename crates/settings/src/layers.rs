//! Collects `key = value` from every layer; the last layer that names a key wins.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, File, FileFormat, Map, Value, ValueKind};

use crate::field::{Entry, Secrecy};
use crate::{DEFAULT_FILE, Loaded, Settings, SettingsError};

const PREFIX: &str = "SWITCHYARD__";
const FILE_VARIABLE: &str = "SWITCHYARD_CONFIG";
/// Known keys less alike than this are not offered; `limit.bots_per_minute` should still find one.
const ALIKE: f64 = 0.8;

/// Which layer gave a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The code.
    #[default]
    Default,
    /// A settings file.
    File(PathBuf),
    /// A variable.
    Variable(String),
    /// The file that a `…_FILE` variable names.
    SecretFile {
        /// The variable.
        variable: String,
        /// The file it names.
        path: PathBuf,
    },
    /// A flag on the command line.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::SecretFile { variable, path } => {
                write!(f, "file {} by {variable}", path.display())
            }
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// Where each value came from.
#[derive(Clone, Debug, Default)]
pub struct Sources(BTreeMap<&'static str, Source>);

impl Sources {
    /// The layer that gave the value of `key`.
    pub fn of(&self, key: &str) -> Source {
        self.0.get(key).cloned().unwrap_or_default()
    }

    /// Only keys that a layer above the defaults names.
    pub fn changed(&self) -> impl Iterator<Item = (&'static str, &Source)> {
        self.0.iter().map(|(key, source)| (*key, source))
    }
}

/// One line of `config show --sources`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportLine {
    /// `section.key`.
    pub key: &'static str,
    /// The value, masked.
    pub value: String,
    /// Where it came from.
    pub source: Source,
}

/// The variable that sets `key`.
pub(crate) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

/// Reads file, `variables` and `overrides`, in this order, and checks what comes out.
pub(crate) fn load(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    overrides: &[(&str, &str)],
) -> Result<Loaded, SettingsError> {
    let (file, variables) = ours(variables)?;
    let mut layers = Layers::new();
    match file {
        Some(path) => layers.add_file(&path)?,
        None if Path::new(DEFAULT_FILE).exists() => layers.add_file(Path::new(DEFAULT_FILE))?,
        None => (),
    }
    layers.add_variables(variables)?;
    layers.add_overrides(overrides)?;
    layers.settle()
}

type Variables = BTreeMap<String, String>;

/// Picks our variables out of the environment. An empty one counts as not set: compose files and
/// charts write `NAME=` for what they do not know.
fn ours(
    all: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<(Option<PathBuf>, Variables), SettingsError> {
    let mut file = None;
    let mut variables = Variables::new();
    for (name, value) in all {
        let Some(known) = name.to_str() else { continue };
        if value.is_empty() {
            continue;
        }
        if known == FILE_VARIABLE {
            file = Some(PathBuf::from(value));
        } else if known.starts_with(PREFIX) {
            let Some(text) = value.to_str() else {
                return Err(SettingsError::NotUtf8 { variable: name });
            };
            variables.insert(known.to_owned(), text.to_owned());
        }
    }
    Ok((file, variables))
}

struct Layers {
    known: BTreeMap<&'static str, Secrecy>,
    values: BTreeMap<&'static str, (Value, Source)>,
}

impl Layers {
    fn new() -> Self {
        let known = Settings::default().entries();
        let known = known.iter().map(|Entry { key, secrecy, .. }| (*key, *secrecy)).collect();
        Self { known, values: BTreeMap::new() }
    }

    fn add_file(&mut self, path: &Path) -> Result<(), SettingsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SettingsError::File { path: path.to_owned(), source })?;
        let table = Config::builder()
            .add_source(File::from_str(&text, FileFormat::Toml))
            .build()
            .and_then(|file| file.cache.into_table())
            .map_err(|error| not_toml(path, &error))?;
        let mut flat = Vec::new();
        flatten(String::new(), table, &mut flat);
        let source = Source::File(path.to_owned());
        for (key, value) in flat {
            self.set(&key, value.kind, source.clone())?;
        }
        Ok(())
    }

    fn add_variables(&mut self, variables: Variables) -> Result<(), SettingsError> {
        let mut seen = BTreeSet::new();
        for (variable, text) in variables {
            let key = variable.replacen(PREFIX, "", 1).to_ascii_lowercase().replace("__", ".");
            let twin_of = key.strip_suffix("_file").filter(|key| self.has_twin(key));
            let (key, text, source) = match twin_of {
                Some(key) => {
                    let (text, path) = read_secret(&variable, text)?;
                    (key.to_owned(), text, Source::SecretFile { variable, path })
                }
                None => (key, text, Source::Variable(variable)),
            };
            if !seen.insert(key.clone()) {
                return Err(SettingsError::Twice { variable: variable_of(&key) });
            }
            self.set(&key, ValueKind::String(text), source)?;
        }
        Ok(())
    }

    fn add_overrides(&mut self, overrides: &[(&str, &str)]) -> Result<(), SettingsError> {
        for (key, text) in overrides {
            match self.known.get_key_value(*key) {
                Some((&key, Secrecy::Secret)) => return Err(SettingsError::SecretInFlag { key }),
                _ => self.set(key, ValueKind::String((*text).to_owned()), Source::Flag)?,
            }
        }
        Ok(())
    }

    fn has_twin(&self, key: &str) -> bool {
        matches!(self.known.get(key), Some(Secrecy::Secret | Secrecy::Url))
    }

    fn set(&mut self, key: &str, kind: ValueKind, source: Source) -> Result<(), SettingsError> {
        let Some((&known, _)) = self.known.get_key_value(key) else {
            let near = self.near(key);
            return Err(SettingsError::UnknownKey { key: key.to_owned(), from: source, near });
        };
        self.values.insert(known, (Value::new(None, kind), source));
        Ok(())
    }

    /// Up to two known keys that look like `key`, nearest first.
    fn near(&self, key: &str) -> Vec<&'static str> {
        let mut scored: Vec<(f64, &'static str)> = self
            .known
            .keys()
            .map(|known| (strsim::jaro_winkler(key, known), *known))
            .filter(|(score, _)| *score >= ALIKE)
            .collect();
        scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        scored.into_iter().map(|(_, known)| known).take(2).collect()
    }

    fn settle(self) -> Result<Loaded, SettingsError> {
        let mut builder = Config::builder();
        let mut sources = Sources::default();
        for (key, (value, source)) in self.values {
            builder = builder.set_override(key, value).map_err(|e| wrong_value(&sources, e))?;
            sources.0.insert(key, source);
        }
        let settings: Settings = builder
            .build()
            .and_then(Config::try_deserialize)
            .map_err(|error| wrong_value(&sources, error))?;
        settings.validate()?;
        Ok(Loaded { settings, sources })
    }
}

fn wrong_value(sources: &Sources, error: ConfigError) -> SettingsError {
    let key = match &error {
        ConfigError::At { key, .. } | ConfigError::Type { key, .. } => key.as_deref(),
        _ => None,
    };
    SettingsError::Value { from: sources.of(key.unwrap_or_default()), source: Box::new(error) }
}

fn flatten(prefix: String, table: Map<String, Value>, flat: &mut Vec<(String, Value)>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value.kind {
            ValueKind::Table(inner) => flatten(key, inner, flat),
            _ => flat.push((key, value)),
        }
    }
}

fn read_secret(variable: &str, path: String) -> Result<(String, PathBuf), SettingsError> {
    let path = PathBuf::from(path);
    match std::fs::read_to_string(&path) {
        // Editors and `echo` end a file with a line break that is not part of the secret.
        Ok(text) => Ok((text.trim_end().to_owned(), path)),
        Err(source) => {
            Err(SettingsError::SecretFile { variable: variable.to_owned(), path, source })
        }
    }
}

/// Keeps the position and the expectation, drops the lines of the file, which may hold a secret.
fn not_toml(path: &Path, error: &ConfigError) -> SettingsError {
    let shown = error.to_string();
    let place: Vec<&str> = shown
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.contains('|'))
        .collect();
    SettingsError::NotToml { path: path.to_owned(), place: place.join(": ") }
}

#[cfg(test)]
mod tests;
