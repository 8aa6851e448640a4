//! `import` and `export`: contacts in and out over the HTTP API, followed to the end.
//!
//! Invariant: whatever happens here, the import or export goes on: Ctrl-C detaches.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::{StreamExt, stream};
use reqwest::{Body, Method};
use serde_json::{Map, Value, json};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use super::campaign::api::{Api, ApiError};
use super::told_to_stop;
use crate::cli::transfer::{Export, Import};
use crate::exit::{Exit, Failure, OrFix};
use crate::screen::{Screen, grouped};

/// How often to look.
const EVERY: Duration = Duration::from_millis(500);
/// How often to say how far it is.
const SAY: Duration = Duration::from_secs(5);
/// How long the API may be away before nobody believes in it any more.
const PATIENCE: Duration = Duration::from_secs(300);
/// Bytes of the file sent at once.
const PART: usize = 256 * 1024;
const BOUNDARY: &str = "switchyard-7f3a9c51d2e84b60";

/// Sends a file, and follows its import.
pub(crate) async fn import(screen: Screen, asked: Import) -> Result<Exit, Failure> {
    let api = Api::new(&asked.reach)?;
    let mapping: Map<String, Value> =
        asked.map.into_iter().map(|(meaning, column)| (meaning, Value::String(column))).collect();
    let mut options = json!({
        "on_conflict": asked.on_conflict.as_str(), "tags": asked.tag, "dry_run": asked.dry_run,
    });
    if let Some(members) = options.as_object_mut() {
        members.extend(asked.country.map(|country| ("default_country".to_owned(), country.into())));
        members.extend((!mapping.is_empty()).then(|| ("mapping".to_owned(), mapping.into())));
    }
    let form = form(&asked.file, &options).await.or_fix("name a file that can be read")?;
    let import = api.send_form("v1/contact-imports", BOUNDARY, form).await?;
    let ended = follow(screen, &api, "v1/contact-imports", import).await?;
    let Some(import) = ended else { return Ok(Exit::Interrupted) };
    let id = text(&import, "/id").to_owned();
    told(screen, &import, &imported(&import));
    if number(&import, "/counts/rejected") > 0 {
        screen.talk(&format!("What was left out, and why:  GET /v1/contact-imports/{id}/rejects"));
    }
    Ok(exit(&import, number(&import, "/counts/rejected")))
}

/// Writes contacts into a file, and fetches it.
pub(crate) async fn export(screen: Screen, asked: Export) -> Result<Exit, Failure> {
    let api = Api::new(&asked.reach)?;
    let wanted = json!({
        "filter": { "tags": asked.tag }, "format": asked.format.as_str(), "bom": asked.bom,
    });
    let export = api.json(Method::POST, "v1/contact-exports", &[], Some(&wanted)).await?;
    let ended = follow(screen, &api, "v1/contact-exports", export).await?;
    let Some(export) = ended else { return Ok(Exit::Interrupted) };
    let rows = grouped(number(&export, "/file/rows"));
    told(screen, &export, &format!("{rows} contacts in {}", text(&export, "/file/name")));
    if let Some(out) = asked.out.filter(|_| text(&export, "/status") == "completed") {
        fetch(&api, text(&export, "/id"), &out).await?;
        screen.talk(&format!("Written to {}", out.display()));
    }
    Ok(exit(&export, 0))
}

/// Looks again and again until it is over; `None` when somebody had enough of that.
async fn follow(
    screen: Screen,
    api: &Api,
    path: &str,
    begun: Value,
) -> Result<Option<Value>, Failure> {
    let path = format!("{path}/{}", text(&begun, "/id"));
    tokio::select! {
        ended = until_over(screen, api, &path, begun) => Ok(Some(ended?)),
        stopped = told_to_stop() => {
            stopped.or_fix("run it where signals can be received")?;
            screen.talk(&format!("Detached. It goes on. Look again:  GET /{path}"));
            Ok(None)
        }
    }
}

async fn until_over(
    screen: Screen,
    api: &Api,
    path: &str,
    mut seen: Value,
) -> Result<Value, ApiError> {
    let (mut answered, mut said) = (Instant::now(), Instant::now());
    while matches!(text(&seen, "/status"), "queued" | "running" | "writing") {
        sleep(EVERY).await;
        match api.json(Method::GET, path, &[], None).await {
            Ok(now) => (answered, seen) = (Instant::now(), now),
            Err(error) if error.is_transient() && answered.elapsed() < PATIENCE => (),
            Err(error) => return Err(error),
        }
        if said.elapsed() >= SAY {
            said = Instant::now();
            let (done, total) = (number(&seen, "/progress/done"), number(&seen, "/progress/total"));
            let percent = (done * 100).checked_div(total).unwrap_or_default();
            screen.talk(&format!("{} {percent} %", text(&seen, "/status")));
        }
    }
    Ok(seen)
}

/// How it ended: the document with `--json`, else in words.
fn told(screen: Screen, run: &Value, words: &str) {
    if screen.is_json {
        return screen.json(run);
    }
    match text(run, "/status") {
        "completed" => screen.data(words),
        status => screen.data(&format!("{status}: {}", text(run, "/error/detail"))),
    }
}

fn imported(import: &Value) -> String {
    let of = |name: &str| grouped(number(import, &format!("/counts/{name}")));
    let would =
        if import.pointer("/dry_run") == Some(&Value::Bool(true)) { " (dry run)" } else { "" };
    format!(
        "created {}   updated {}   unchanged {}   duplicates {}   rejected {}{would}",
        of("created"),
        of("updated"),
        of("unchanged"),
        of("duplicates"),
        of("rejected")
    )
}

fn exit(run: &Value, rejected: i64) -> Exit {
    match text(run, "/status") {
        "completed" if rejected > 0 => Exit::Partly,
        "completed" => Exit::Done,
        _ => Exit::Failed,
    }
}

/// `multipart/form-data` whose file is read while it is sent.
async fn form(path: &Path, options: &Value) -> anyhow::Result<Body> {
    let file = File::open(path).await.with_context(|| path.display().to_string())?;
    let name: String =
        path.file_name().unwrap_or_default().to_string_lossy().replace(['"', '\r', '\n'], "");
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"options\"\r\n\r\n{options}\r\n\
         --{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
    );
    let tail = format!("\r\n--{BOUNDARY}--\r\n");
    let file = stream::try_unfold(file, |mut file| async move {
        let mut part = vec![0; PART];
        let length = file.read(&mut part).await?;
        part.truncate(length);
        Ok::<_, std::io::Error>((length > 0).then_some((part, file)))
    });
    let once = |text: String| stream::once(async move { Ok(text.into_bytes()) });
    Ok(Body::wrap_stream(once(head).chain(file).chain(once(tail))))
}

async fn fetch(api: &Api, id: &str, out: &Path) -> Result<(), Failure> {
    let fix = "name a file that can be written: --out FILE";
    let path = format!("v1/contact-exports/{id}/file");
    let mut answer = api.call(Method::GET, &path, &[], None, "*/*").await?;
    let mut file = File::create(out).await.or_fix(fix)?;
    while let Some(part) = answer.chunk().await.map_err(|cause| api.away(cause))? {
        file.write_all(&part).await.or_fix(fix)?;
    }
    file.flush().await.or_fix(fix)
}

fn text<'a>(document: &'a Value, pointer: &str) -> &'a str {
    document.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(document: &Value, pointer: &str) -> i64 {
    document.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}
