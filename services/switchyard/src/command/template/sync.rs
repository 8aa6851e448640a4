//! `template sync`: starts a sync, and follows it.
//!
//! Invariant: whatever happens here, the sync goes on: Ctrl-C detaches.

use std::time::Duration;

use anyhow::anyhow;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{failure, text};
use crate::cli::template::Sync;
use crate::command::campaign::api::{Api, ApiError};
use crate::command::told_to_stop;
use crate::exit::{Exit, Failure, OrFix};
use crate::screen::Screen;

/// How long the API may be away before nobody believes in it any more.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) async fn sync(screen: Screen, api: &Api, wanted: &Sync) -> Result<Exit, Failure> {
    let connection = connection(api, wanted.connection.as_deref()).await?;
    let body = json!({ "connection": connection });
    let started = api.json(Method::POST, "v1/template-syncs", &[], Some(&body)).await;
    let mut run = match started {
        Ok(run) => run,
        Err(error) => match error.existing().filter(|_| wanted.watch) {
            Some(running) => read(api, running).await.map_err(failure)?,
            None if error.status() == Some(409) => {
                let fix = format!("follow it: switchyard template sync {connection} --watch");
                return Err(Failure::new(error, fix).with(Exit::Conflict));
            }
            None => return Err(failure(error)),
        },
    };
    if !wanted.watch {
        show(screen, &run);
        screen.talk(&format!("Follow it:  switchyard template sync {connection} --watch"));
        return Ok(Exit::Done);
    }
    let stopped = tokio::select! {
        ended = follow(screen, api, &mut run, wanted.every) => ended.map(|()| None),
        stopped = told_to_stop() => Ok(Some(stopped)),
    };
    if let Some(stopped) = stopped.map_err(failure)? {
        stopped.or_fix("run it where signals can be received")?;
        screen.talk("Detached. The sync goes on.");
        return Ok(Exit::Interrupted);
    }
    Ok(if text(&run, "status") == "completed" { Exit::Done } else { Exit::Failed })
}

/// The connection that is named, or the only one.
async fn connection(api: &Api, named: Option<&str>) -> Result<String, Failure> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let listed = api.list("v1/connections", &[], 2).await.map_err(failure)?;
    match listed.things.as_slice() {
        [only] => Ok(text(only, "id")),
        connections => {
            let problem = anyhow!("there are {} connections or more", connections.len());
            let fix = "name one: switchyard template sync cnx_…";
            Err(Failure::new(problem, fix).with(Exit::Usage))
        }
    }
}

async fn read(api: &Api, id: &str) -> Result<Value, ApiError> {
    api.json(Method::GET, &format!("v1/template-syncs/{id}"), &[], None).await
}

/// Looks again and again until it has ended.
async fn follow(
    screen: Screen,
    api: &Api,
    run: &mut Value,
    every: Duration,
) -> Result<(), ApiError> {
    let id = text(run, "id");
    let mut answered = Instant::now();
    show(screen, run);
    while text(run, "status") == "running" {
        sleep(every).await;
        match read(api, &id).await {
            Ok(now) => {
                answered = Instant::now();
                let has_changed = line(&now) != line(run);
                *run = now;
                if has_changed {
                    show(screen, run);
                }
            }
            Err(error) if error.is_transient() && answered.elapsed() < PATIENCE => {
                screen.talk(&format!("{error}; the sync goes on"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn show(screen: Screen, run: &Value) {
    if screen.is_json {
        screen.json_line(run);
    } else {
        screen.data(&line(run));
    }
}

/// How it stands, on one line.
fn line(run: &Value) -> String {
    let (id, status) = (text(run, "id"), text(run, "status"));
    let progress = &run["progress"];
    let so_far = format!(
        "sync {id} {status}   {} templates on {} pages",
        text(progress, "done"),
        text(run, "pages")
    );
    match status.as_str() {
        "completed" => format!(
            "{so_far}   added {} changed {} removed {}",
            text(run, "added"),
            text(run, "changed"),
            text(run, "removed")
        ),
        "failed" => format!("{so_far}   {}", text(&run["error"], "text")),
        _ => match text(run, "waits_for").as_str() {
            "" => so_far,
            waits_for => format!("{so_far}   waits for {}", waits_for.replace('_', " ")),
        },
    }
}
