//! `doctor`: looks at everything the services need, and says how to mend what is not well.

mod secrets;
mod servers;

use serde::Serialize;
use settings::{Settings, Source};

use crate::exit::{Exit, Failure};
use crate::screen::{Screen, Tone};

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// What one look found.
#[derive(Debug, Serialize)]
struct Finding {
    name: String,
    verdict: Verdict,
    detail: String,
    /// One line that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Finding {
    fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), verdict: Verdict::Ok, detail: detail.into(), fix: None }
    }

    fn warn(name: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        let fix = Some(fix.into());
        Self { name: name.into(), verdict: Verdict::Warn, detail: detail.into(), fix }
    }

    fn fail(name: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, ..Self::warn(name, detail, fix) }
    }
}

/// Looks at everything; exit code 3 when something fails.
pub(crate) async fn doctor(screen: Screen) -> Result<Exit, Failure> {
    let loaded = Settings::load(&[])?;
    let settings = &loaded.settings;
    let mut findings = vec![configuration(&loaded)];
    findings.extend(secrets::of_settings(settings));
    let (postgres, redis, rabbit, graph) = tokio::join!(
        servers::postgres(settings),
        servers::redis(settings),
        servers::rabbit(settings),
        servers::graph(settings),
    );
    findings.extend([postgres, redis, rabbit, graph]);
    findings.extend(secrets::of_database(settings).await);

    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (failed, warned) = (count(Verdict::Fail), count(Verdict::Warn));
    if screen.is_json {
        screen.json(&findings);
    } else {
        show(screen, &findings);
        screen.data("");
        screen.data(&summary(failed, warned));
    }
    Ok(if failed == 0 { Exit::Done } else { Exit::Unhealthy })
}

fn configuration(loaded: &settings::Loaded) -> Finding {
    let mut files = std::collections::BTreeSet::new();
    let (mut variables, mut secret_files) = (0_usize, 0_usize);
    for (_, source) in loaded.sources.changed() {
        match source {
            Source::File(path) => {
                files.insert(path.display().to_string());
            }
            Source::Variable(_) => variables += 1,
            Source::SecretFile { .. } => secret_files += 1,
            Source::Default | Source::Flag => (),
        }
    }
    let file = match files.into_iter().next() {
        Some(file) => format!("file {file}"),
        None => "no file".to_owned(),
    };
    let detail = format!("{file} + {variables} variables, {secret_files} values from secret files");
    Finding::ok("Configuration", detail)
}

fn show(screen: Screen, findings: &[Finding]) {
    let width = findings.iter().map(|finding| finding.name.chars().count()).max().unwrap_or(0);
    for finding in findings {
        let (word, tone) = match finding.verdict {
            Verdict::Ok => ("ok  ", Tone::Good),
            Verdict::Warn => ("warn", Tone::Warn),
            Verdict::Fail => ("FAIL", Tone::Bad),
        };
        let name = format!("{:<width$}", finding.name);
        screen.data(&format!("{name}  {}  {}", screen.tint(tone, word), finding.detail));
        if let Some(fix) = &finding.fix {
            let indent = " ".repeat(width + 8);
            screen.data(&format!("{indent}{} {fix}", screen.tint(Tone::Strong, "fix:")));
        }
    }
}

fn summary(failed: usize, warned: usize) -> String {
    match (failed, warned) {
        (0, 0) => "All is well. Next: switchyard run all".to_owned(),
        (0, warned) => format!("Nothing failed, {warned} to look at. Next: switchyard run all"),
        (failed, warned) => format!("{failed} failed, {warned} to look at."),
    }
}

/// A time in milliseconds with one digit after the point.
fn ms(time: std::time::Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_to_do_next() {
        assert!(summary(0, 0).contains("switchyard run all"));
        assert_eq!(summary(1, 2), "1 failed, 2 to look at.");
    }

    #[test]
    fn a_finding_that_is_well_has_no_fix_in_json() {
        let json = serde_json::to_string(&Finding::ok("Redis", "7.0")).unwrap();
        assert_eq!(json, r#"{"name":"Redis","verdict":"ok","detail":"7.0"}"#);
        let json = serde_json::to_string(&Finding::fail("Redis", "away", "start it")).unwrap();
        assert!(json.contains(r#""verdict":"fail""#) && json.contains(r#""fix":"start it""#));
    }
}
