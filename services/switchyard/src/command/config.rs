//! `config show`: every key, its value and where it comes from.

use serde_json::json;
use settings::{ReportLine, Settings};

use crate::exit::{Exit, Failure};
use crate::screen::{Screen, columns};

/// Shows the settings in force, secrets masked.
pub(crate) fn show(screen: Screen, sources: bool) -> Result<Exit, Failure> {
    let lines = Settings::load(&[])?.report();
    if screen.is_json {
        let document: Vec<_> = lines
            .iter()
            .map(|line| {
                let (key, value) = (line.key, &line.value);
                json!({ "key": key, "value": value, "source": line.source.to_string() })
            })
            .collect();
        screen.json(&document);
        return Ok(Exit::Done);
    }
    for line in table(&lines, sources) {
        screen.data(&line);
    }
    screen.talk("What each key means: docs/configuration.md");
    Ok(Exit::Done)
}

fn table(lines: &[ReportLine], sources: bool) -> Vec<String> {
    let rows: Vec<[String; 3]> = lines
        .iter()
        .map(|line| {
            let value = if line.value.is_empty() { "(not set)" } else { &line.value };
            let source = if sources { line.source.to_string() } else { String::new() };
            [line.key.to_owned(), value.to_owned(), source]
        })
        .collect();
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use settings::Source;

    use super::*;

    #[test]
    fn what_is_not_set_says_so_and_sources_are_shown_on_demand() {
        let lines = [
            ReportLine { key: "a.b", value: String::new(), source: Source::Default },
            ReportLine { key: "a.long", value: "1".to_owned(), source: Source::Flag },
        ];
        assert_eq!(table(&lines, false), ["a.b     (not set)", "a.long  1"]);
        assert_eq!(table(&lines, true), ["a.b     (not set)  default", "a.long  1          flag"]);
    }
}
