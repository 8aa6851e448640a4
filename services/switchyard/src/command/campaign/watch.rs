//! `campaign watch`: follows a campaign until it ends.
//!
//! Invariant: whatever happens here, the campaign goes on: Ctrl-C detaches.

use std::time::Duration;

use reqwest::Method;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::api::{Api, ApiError};
use super::bar::Show;
use super::list::present;
use super::model::{End, Seen};
use crate::cli::campaign::Watch;
use crate::command::told_to_stop;
use crate::exit::{Exit, Failure, OrFix};
use crate::screen::Screen;

/// How long the API may be away before nobody believes in it any more.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) async fn watch(screen: Screen, api: &Api, wanted: &Watch) -> Result<Exit, Failure> {
    let mut seen = api.find(&wanted.campaign).await?;
    let mut show = Show::new(screen, wanted.progress);
    let stopped = tokio::select! {
        ended = follow(screen, api, &mut seen, &mut show, wanted.every) => ended.map(|()| None),
        stopped = told_to_stop() => Ok(Some(stopped)),
    };
    show.end();
    if let Some(stopped) = stopped? {
        stopped.or_fix("run it where signals can be received")?;
        detached(screen, &seen);
        return Ok(Exit::Interrupted);
    }
    // With --json the last document has been printed already.
    if !screen.is_json {
        present(screen, &seen);
    }
    Ok(match seen.campaign.end() {
        Some(End::Done) | None => Exit::Done,
        Some(End::Partly) => Exit::Partly,
        Some(End::Failed) => Exit::Failed,
    })
}

/// Looks again and again until it has ended.
async fn follow(
    screen: Screen,
    api: &Api,
    seen: &mut Seen,
    show: &mut Show,
    every: Duration,
) -> Result<(), ApiError> {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let id = seen.campaign.id.clone();
    let mut answered = Instant::now();
    ticks.tick().await;
    report(screen, seen, show);
    while seen.campaign.end().is_none() {
        ticks.tick().await;
        match api.campaign(Method::GET, &id, "", None).await {
            Ok(now) => {
                answered = Instant::now();
                let has_changed = now.document != seen.document;
                *seen = now;
                if has_changed || !screen.is_json {
                    report(screen, seen, show);
                }
            }
            Err(error) if error.is_transient() && answered.elapsed() < PATIENCE => {
                show.away(&error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// One look: a document on stdout with `--json`, else progress.
fn report(screen: Screen, seen: &Seen, show: &mut Show) {
    if screen.is_json {
        screen.json_line(&seen.document);
    }
    show.update(&seen.campaign);
}

fn detached(screen: Screen, seen: &Seen) {
    let campaign = &seen.campaign;
    let id = &campaign.id;
    screen.talk(&match campaign.status.as_str() {
        "preparing" | "running" => format!(
            "Detached. The campaign keeps running. Pause it with:  switchyard campaign pause {id}"
        ),
        status => format!(
            "Detached. The campaign stays {}. Look again:  switchyard campaign watch {id}",
            super::lines::words(status)
        ),
    });
}
