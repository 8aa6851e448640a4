//! `campaign start`, `pause`, `resume`, `cancel` and `retry-failed`.
//!
//! The API decides what a campaign's state allows, and does nothing twice; this only says it well.

use reqwest::Method;
use serde_json::{Value, json};

use super::api::Api;
use super::lines;
use super::model::{Campaign, Seen};
use crate::cli::campaign::Act;
use crate::exit::{Exit, Failure};
use crate::screen::{Screen, grouped};

/// What is done with a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Start,
    Pause,
    Resume,
    Cancel,
}

impl Verb {
    /// Its name in `actions`, in addresses and on the command line.
    const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }

    /// What it means now that it is done.
    fn outcome(self, campaign: &Campaign) -> String {
        let (name, counts) = (&campaign.name, campaign.counts);
        match self {
            Self::Start => format!("{name} is {}.", lines::words(&campaign.status)),
            Self::Pause if counts.in_flight > 0 => format!(
                "{name} is {}. {} in flight will still finish.",
                lines::words(&campaign.status),
                grouped(counts.in_flight)
            ),
            Self::Pause => format!("{name} is {}.", lines::words(&campaign.status)),
            Self::Resume => format!(
                "{name} is {}. {} will be sent.",
                lines::words(&campaign.status),
                grouped(counts.pending)
            ),
            Self::Cancel => format!(
                "{name} is {}. {} have a message, {} were skipped.",
                lines::words(&campaign.status),
                grouped(counts.accepted),
                grouped(counts.skipped)
            ),
        }
    }
}

/// Does it, or says what would happen.
pub(super) async fn act(screen: Screen, api: &Api, verb: Verb, act: &Act) -> Result<Exit, Failure> {
    let seen = api.find(&act.campaign).await?;
    if act.dry_run { would(screen, verb, &seen) } else { done(screen, api, verb, &seen).await }
}

/// Ends a campaign for good, if its name was given twice.
pub(super) async fn cancel(
    screen: Screen,
    api: &Api,
    act: &Act,
    confirm: Option<&str>,
) -> Result<Exit, Failure> {
    let seen = api.find(&act.campaign).await?;
    if act.dry_run {
        return would(screen, Verb::Cancel, &seen);
    }
    let Campaign { name, counts, .. } = &seen.campaign;
    if confirm != Some(name.as_str()) {
        let left = grouped(counts.pending);
        let problem = anyhow::anyhow!(
            "this cannot be undone: {left} recipients of '{name}' have no message yet, and will get none"
        );
        let id = &seen.campaign.id;
        let fix = format!("switchyard campaign cancel {id} --confirm {}", quoted(name));
        return Err(Failure::new(problem, fix).with(Exit::Usage));
    }
    done(screen, api, Verb::Cancel, &seen).await
}

/// `text` as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

async fn done(screen: Screen, api: &Api, verb: Verb, seen: &Seen) -> Result<Exit, Failure> {
    let path = format!("/{}", verb.name());
    let seen = api.campaign(Method::POST, &seen.campaign.id, &path, None).await?;
    if screen.is_json {
        screen.json(&seen.document);
        return Ok(Exit::Done);
    }
    screen.data(&verb.outcome(&seen.campaign));
    lines::next(&seen.campaign).iter().for_each(|line| screen.talk(line));
    Ok(Exit::Done)
}

/// Says whether it may be done; it is a conflict when not.
fn would(screen: Screen, verb: Verb, seen: &Seen) -> Result<Exit, Failure> {
    let (campaign, verb) = (&seen.campaign, verb.name());
    let status = lines::words(&campaign.status);
    if !campaign.allows(verb) {
        let problem =
            anyhow::anyhow!("{} is {status}: this key cannot {verb} it now", campaign.name);
        let fix = format!("switchyard campaign show {}", campaign.id);
        return Err(Failure::new(problem, fix).with(Exit::Conflict));
    }
    if screen.is_json {
        screen.json(&seen.document);
    } else {
        screen.data(&format!(
            "{} is {status}, with {} pending. To {verb} it, leave out --dry-run.",
            campaign.name,
            grouped(campaign.counts.pending)
        ));
    }
    screen.talk("Nothing was changed (--dry-run).");
    Ok(Exit::Done)
}

/// Sends again what failed and may go well another time; what is uncertain is never touched.
pub(super) async fn retry_failed(screen: Screen, api: &Api, act: &Act) -> Result<Exit, Failure> {
    let Seen { campaign, .. } = api.find(&act.campaign).await?;
    let path = format!("v1/campaigns/{}/retry-failed", campaign.id);
    let body = json!({ "dry_run": act.dry_run });
    let answer = api.json(Method::POST, &path, &[], Some(&body)).await?;
    if screen.is_json {
        screen.json(&answer);
        return Ok(Exit::Done);
    }
    let matched = answer.get("matched").and_then(Value::as_i64);
    let matched = grouped(matched.unwrap_or(campaign.attention.failed_retryable));
    let (name, id) = (&campaign.name, &campaign.id);
    if act.dry_run {
        screen.data(&format!("{matched} failed sends of {name} would be tried again."));
        screen.talk(&format!(
            "Nothing was changed (--dry-run). Do it:  switchyard campaign retry-failed {id}"
        ));
    } else {
        screen.data(&format!("{matched} failed sends of {name} are tried again."));
        screen.talk(&format!("Follow it:  switchyard campaign watch {id}"));
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_word_of_a_shell_whatever_it_holds() {
        assert_eq!(quoted("Spring sale"), "'Spring sale'");
        assert_eq!(quoted("It's $HOME"), r"'It'\''s $HOME'");
    }
}
