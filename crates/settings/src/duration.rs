//! Durations as people write them: a whole number and a unit, `250ms`, `30s`, `15m`, `2h`, `7d`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a duration; for `#[serde(deserialize_with)]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(source)?;
    parse(&text).ok_or_else(|| {
        de::Error::custom(format_args!("`{text}` is not a duration such as \"250ms\" or \"30s\""))
    })
}

/// Reads a whole number and a unit, e.g. `250ms`; `None` when it is not like that.
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (digits, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
    digits.parse::<u64>().ok()?.checked_mul(*millis).map(Duration::from_millis)
}

/// Writes a duration in the largest unit that divides it.
pub(crate) fn shown(duration: Duration) -> String {
    let millis = duration.as_millis();
    let fitting = UNITS.iter().rev().find(|(_, size)| millis.is_multiple_of(u128::from(*size)));
    match fitting {
        Some((unit, size)) if millis > 0 => format!("{}{unit}", millis / u128::from(*size)),
        _ => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_written_back() {
        for text in ["5ms", "250ms", "1s", "30s", "15m", "2h", "7d", "0ms"] {
            assert_eq!(parse(text).map(shown).as_deref(), Some(text));
        }
        assert_eq!(parse(" 90 s "), Some(Duration::from_secs(90)));
    }

    #[test]
    fn a_number_without_a_unit_is_refused_because_nobody_knows_what_it_means() {
        for text in ["", "5", "ms", "-5s", "1.5s", "5 parsecs", "99999999999999999999s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
