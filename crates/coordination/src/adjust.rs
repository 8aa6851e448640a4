//! Reads what an installation sets by a lock's or limit's name, e.g. `campaign_send.ttl=30s`.
//!
//! Invariant: a name or a value that is not understood refuses to start, because a mistyped one
//! would leave the registry's value in force unseen.

use std::time::Duration;

use thiserror::Error;

use crate::overrides::Mode;
use crate::registry::{LockClass, Policy};
use crate::{LockTimes, Options};

/// Names less alike than this are not offered.
const ALIKE: f64 = 0.7;

/// What can be set of a lock.
const OF_LOCKS: [&str; 4] = ["mode", "ttl", "max_hold", "wait"];
/// What can be set of a limit.
const OF_LIMITS: [&str; 1] = ["mode"];

/// A setting of locks or limits is not understood.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AdjustError {
    /// Not `name.what=value`.
    #[error("`{0}` is not like campaign_send.ttl=30s")]
    Form(String),
    /// No such lock, limit or property.
    #[error("there is no `{name}`{}", near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    Unknown {
        /// As written.
        name: String,
        /// The nearest known one.
        near: Option<&'static str>,
    },
    /// The value is of another kind.
    #[error("`{value}` is not {wanted} ({name})")]
    Value {
        /// What it was for.
        name: String,
        /// As written.
        value: String,
        /// What can be written.
        wanted: &'static str,
    },
    /// A lock that runs out before a holder could do anything, or is renewed for less than its ttl.
    #[error("{name}: the ttl is at least 1s and at most max_hold")]
    Ttl {
        /// The lock.
        name: &'static str,
    },
}

impl Options {
    /// Sets locks by name: `campaign_send.ttl=30s, webhook_message.mode=observe`. The mode is off,
    /// observe or enforce; `ttl`, `max_hold` and `wait` are durations.
    ///
    /// # Errors
    ///
    /// [`AdjustError`] for the first part that is not understood.
    pub fn adjust_locks(&mut self, text: &str) -> Result<(), AdjustError> {
        let labels = LockClass::ALL.map(|class| class.spec().label);
        for part in parts(text) {
            let (name, what, value) = split(part)?;
            let class = LockClass::ALL.into_iter().find(|class| class.spec().label == name);
            let class = class.ok_or_else(|| unknown(name, &labels))?;
            if what == "mode" {
                self.overriding.lock_modes.insert(class, mode(part, value)?);
                continue;
            }
            let times = self.lock_times.entry(class).or_insert_with(|| LockTimes::of(class));
            let time = duration(part, value);
            match what {
                "ttl" => times.ttl = time?,
                "max_hold" => times.max_hold = Some(time?),
                "wait" => times.wait = time?,
                _ => return Err(unknown(what, &OF_LOCKS)),
            }
        }
        for (class, times) in &self.lock_times {
            let is_capped = times.max_hold.is_some_and(|max_hold| max_hold < times.ttl);
            if times.ttl < Duration::from_secs(1) || is_capped {
                return Err(AdjustError::Ttl { name: class.spec().label });
            }
        }
        Ok(())
    }

    /// Sets limits by name: `bot.mode=observe`.
    ///
    /// # Errors
    ///
    /// [`AdjustError`] for the first part that is not understood.
    pub fn adjust_limits(&mut self, text: &str) -> Result<(), AdjustError> {
        let labels = Policy::ALL.map(|policy| policy.spec().label);
        for part in parts(text) {
            let (name, what, value) = split(part)?;
            let policy = Policy::ALL.into_iter().find(|policy| policy.spec().label == name);
            let policy = policy.ok_or_else(|| unknown(name, &labels))?;
            if what != "mode" {
                return Err(unknown(what, &OF_LIMITS));
            }
            self.overriding.limit_modes.insert(policy, mode(part, value)?);
        }
        Ok(())
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '\n']).filter(|part| !part.is_empty())
}

fn split(part: &str) -> Result<(&str, &str, &str), AdjustError> {
    let found = part
        .split_once('=')
        .and_then(|(left, value)| left.split_once('.').map(|(name, what)| (name, what, value)));
    found.ok_or_else(|| AdjustError::Form(part.to_owned()))
}

fn unknown(name: &str, known: &[&'static str]) -> AdjustError {
    let scored = known.iter().map(|known| (strsim::jaro_winkler(name, known), *known));
    let nearest = scored.max_by(|(one, _), (other, _)| one.total_cmp(other));
    let near = nearest.filter(|(score, _)| *score >= ALIKE).map(|(_, known)| known);
    AdjustError::Unknown { name: name.to_owned(), near }
}

fn mode(part: &str, value: &str) -> Result<Mode, AdjustError> {
    match value {
        "off" => Ok(Mode::Off),
        "observe" => Ok(Mode::Observe),
        "enforce" => Ok(Mode::Enforce),
        _ => Err(wrong(part, value, "off, observe or enforce")),
    }
}

fn duration(part: &str, value: &str) -> Result<Duration, AdjustError> {
    settings::duration(value).ok_or_else(|| wrong(part, value, "a duration such as 250ms or 30s"))
}

fn wrong(part: &str, value: &str, wanted: &'static str) -> AdjustError {
    let name = part.split('=').next().unwrap_or(part).to_owned();
    AdjustError::Value { name, value: value.to_owned(), wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options::new("redis://127.0.0.1:1", "sw")
    }

    #[test]
    fn locks_and_limits_are_set_by_name() {
        let mut options = options();
        let text = "campaign_send.ttl=30s, campaign_send.max_hold=10m webhook_message.mode=observe";
        options.adjust_locks(text).unwrap();
        options.adjust_limits("bot.mode=off").unwrap();
        let times = options.lock_times[&LockClass::CampaignSend];
        assert_eq!(times.ttl, Duration::from_secs(30));
        assert_eq!(times.max_hold, Some(Duration::from_mins(10)));
        assert_eq!(options.overriding.lock_modes[&LockClass::WebhookMessage], Mode::Observe);
        assert_eq!(options.overriding.limit_modes[&Policy::Bot], Mode::Off);
    }

    #[test]
    fn a_name_nobody_knows_is_refused_with_the_nearest_one() {
        let refused = |text: &str| options().adjust_locks(text).unwrap_err().to_string();
        assert_eq!(
            refused("campain_send.ttl=30s"),
            "there is no `campain_send`; did you mean `campaign_send`?"
        );
        assert_eq!(refused("campaign_send.tll=30s"), "there is no `tll`; did you mean `ttl`?");
        assert_eq!(refused("xyz.ttl=1s"), "there is no `xyz`");
        let limits = options().adjust_limits("bott.mode=off").unwrap_err().to_string();
        assert_eq!(limits, "there is no `bott`; did you mean `bot`?");
    }

    #[test]
    fn a_value_that_makes_no_sense_is_refused() {
        for text in [
            "campaign_send",
            "campaign_send.ttl=soon",
            "campaign_send.mode=maybe",
            "campaign_send.ttl=10ms",
            "campaign_send.max_hold=5s",
        ] {
            assert!(options().adjust_locks(text).is_err(), "{text}");
        }
    }
}
