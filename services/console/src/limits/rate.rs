//! Limits as people write them: `2000/min`.

use std::time::Duration;

/// Reads `2000/min`, `80/s`, `5/30s` or `2000` as units in a window of `per`; `None` when it is not
/// like that, or makes no whole number of at least 1.
pub fn parse(text: &str, per: Duration) -> Option<u32> {
    let (number, window) = match text.trim().split_once('/') {
        Some((number, window)) => (number.trim(), self::window(window.trim())?),
        None => (text.trim(), per),
    };
    let units =
        number.replace(['_', ','], "").parse::<u128>().ok()?.checked_mul(per.as_millis())?;
    let whole = units.is_multiple_of(window.as_millis());
    let most = u32::try_from(units / window.as_millis()).ok()?;
    (whole && most > 0).then_some(most)
}

fn window(text: &str) -> Option<Duration> {
    match text {
        "s" | "sec" | "second" => Some(Duration::from_secs(1)),
        "m" | "min" | "minute" => Some(Duration::from_mins(1)),
        "h" | "hour" => Some(Duration::from_hours(1)),
        other => settings::duration(other).filter(|window| !window.is_zero()),
    }
}

/// Writes it: `2000/min`, `5/30 s`.
pub fn shown(most: u32, per: Duration) -> String {
    match per.as_secs() {
        1 => format!("{most}/s"),
        60 => format!("{most}/min"),
        3_600 => format!("{most}/h"),
        seconds => format!("{most}/{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_in_the_policys_window() {
        let minute = Duration::from_mins(1);
        for (text, most) in [
            ("2000/min", 2_000),
            ("2,000 / min", 2_000),
            ("80/s", 4_800),
            ("6000/h", 100),
            ("5/30s", 10),
            ("250", 250),
        ] {
            assert_eq!(parse(text, minute), Some(most), "{text}");
        }
        for nonsense in
            ["", "0", "-1", "1/h", "ten/min", "5/", "5/0s", "5/fortnight", "99999999999/s"]
        {
            assert_eq!(parse(nonsense, minute), None, "{nonsense}");
        }
    }

    #[test]
    fn a_rate_is_written_with_its_window() {
        assert_eq!(shown(2_000, Duration::from_mins(1)), "2000/min");
        assert_eq!(shown(5, Duration::from_secs(30)), "5/30 s");
    }
}
