//! `template`: templates over the HTTP API, as whoever holds the key may do.

mod sync;

use reqwest::Method;
use serde_json::Value;

use crate::cli::template::{Asked, Template};
use crate::command::campaign::api::{Api, ApiError};
use crate::command::locks::print_table;
use crate::command::ops::cut;
use crate::exit::{Exit, Failure};
use crate::screen::{Screen, Tone};

/// Characters of a name in a table.
const NAME: usize = 32;

/// Does what is asked of templates.
pub(crate) async fn template(screen: Screen, asked: Template) -> Result<Exit, Failure> {
    let Template { reach, asked } = asked;
    let api = Api::new(&reach)?;
    match asked {
        Asked::Ls { connection, status, limit } => {
            let connection = connection.map(|connection| ("connection", connection));
            let status = status.into_iter().map(|status| ("status", status));
            list(screen, &api, &connection.into_iter().chain(status).collect::<Vec<_>>(), limit)
                .await
        }
        Asked::Show { template } => show(screen, &api, &template).await,
        Asked::Sync(wanted) => sync::sync(screen, &api, &wanted).await,
    }
}

async fn list(
    screen: Screen,
    api: &Api,
    query: &[(&str, String)],
    limit: usize,
) -> Result<Exit, Failure> {
    let listed = api.list("v1/templates", query, limit).await.map_err(failure)?;
    if screen.is_json {
        listed.things.iter().for_each(|document| screen.json_line(document));
        return Ok(Exit::Done);
    }
    if listed.things.is_empty() {
        screen.talk("There is no such template. Fetch them:  switchyard template sync CONNECTION");
        return Ok(Exit::Done);
    }
    let head = ["ID", "NAME", "LANGUAGE", "STATUS", "CATEGORY", "QUALITY"];
    let mut rows = vec![head.map(str::to_owned)];
    for template in &listed.things {
        let word = |key| text(template, key);
        rows.push([
            word("id"),
            cut(&word("name"), NAME),
            word("language"),
            word("status"),
            word("category"),
            word("quality"),
        ]);
    }
    print_table(screen, &rows);
    if listed.has_more {
        screen.talk("There are more: --limit");
    }
    screen.talk("More about one:  switchyard template show ID");
    Ok(Exit::Done)
}

async fn show(screen: Screen, api: &Api, id: &str) -> Result<Exit, Failure> {
    let path = format!("v1/templates/{id}");
    let template = api.json(Method::GET, &path, &[], None).await.map_err(failure)?;
    if screen.is_json {
        screen.json(&template);
        return Ok(Exit::Done);
    }
    let word = |key| text(&template, key);
    let status = word("status");
    let tone = if status == "APPROVED" { Tone::Good } else { Tone::Warn };
    let head = format!("{} ({})", word("name"), word("language"));
    screen.data(&format!("{}   {}", screen.tint(Tone::Strong, &head), screen.tint(tone, &status)));
    for (label, key) in [
        ("category", "category"),
        ("quality", "quality"),
        ("rejected", "rejected_reason"),
        ("will be", "correct_category"),
        ("deleted", "deleted_at"),
        ("last seen", "last_seen_at"),
    ] {
        let value = word(key);
        if !value.is_empty() {
            screen.data(&format!("  {label:<10} {value}"));
        }
    }
    let parameters = template.get("parameters").and_then(Value::as_array);
    for parameter in parameters.into_iter().flatten() {
        let word = |key| text(parameter, key);
        let wanted = format!("{} {} ({})", word("place"), word("name"), word("kind"));
        screen.data(&format!("  {:<10} {wanted} {}", "wants", word("example")));
    }
    Ok(Exit::Done)
}

/// A member as text; empty when there is none.
fn text(document: &Value, key: &str) -> String {
    match document.get(key) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

/// A refusal with the command that leads on.
fn failure(error: ApiError) -> Failure {
    match error.status() {
        Some(404) => {
            Failure::new(error, "see which there are: switchyard template ls").with(Exit::NotFound)
        }
        _ => Failure::from(error),
    }
}
