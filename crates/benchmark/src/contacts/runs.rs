//! Imports and exports of contacts: an import beside `COPY` of the same rows into the same table, an
//! export, and the memory of the process that does both.

use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::driver::number;
use crate::figures::{Series, Target};
use crate::installation::Installation;
use crate::report::{Report, Row};
use crate::{Options, say};

const SERVICE: &str = "contacts";
const PATIENCE: Duration = Duration::from_mins(10);
const GLANCE: Duration = Duration::from_millis(20);
/// What an import of django-meta-whatsapp does per second, measured once on a machine like this one.
const PEER: f64 = 49.0;

/// What was measured, one value from each run.
#[derive(Default)]
struct Found {
    copied: Series,
    imported: Series,
    share: Series,
    csv: Series,
    xlsx: Series,
    memory: Series,
    peer: Series,
}

pub(super) async fn run(
    options: &Options,
    install: &mut Installation,
    report: &mut Report,
) -> anyhow::Result<()> {
    let people = if options.quick { 50_000 } else { 1_000_000 };
    let runs = options.pairs.min(3);
    let folder = std::env::temp_dir().join(format!("switchyard-bench-{}", std::process::id()));
    install.set("SWITCHYARD__FILES__FOLDER", folder.to_str().context("a folder's name")?);
    let file = file(people);
    let mut found = Found::default();
    for _ in 0..runs {
        install.db().forget_people().await?;
        let copied = number(people) / install.db().copy_people(people).await?.as_secs_f64();
        install.db().forget_people().await?;
        install.run(&[SERVICE]).await?;
        let took = import(install, &file).await?;
        let rows = install.db().count("SELECT count(*) FROM contacts").await?;
        report.count(rows.abs_diff(people), "imported people lost or doubled");
        let imported = number(people) / took.as_secs_f64();
        found.copied.push(copied);
        found.imported.push(imported);
        found.share.push(imported / copied);
        found.peer.push(imported / PEER);
        say(&format!("{imported:.0} people imported per second, {copied:.0} copied"));
        found.csv.push(number(people) / export(install, "csv", people).await?.as_secs_f64());
        found.xlsx.push(number(people) / export(install, "xlsx", people).await?.as_secs_f64());
        found.memory.push(install.peak_mib(SERVICE)?);
        install.stop().await?;
    }
    install.db().forget_people().await?;
    std::fs::remove_dir_all(&folder)?;
    told(report, people, found);
    Ok(())
}

fn told(report: &mut Report, people: u64, found: Found) {
    report.section(&format!("{people} contacts from a CSV file and back"));
    let rows = [
        ("rows per second by COPY into the same table", found.copied, Target::None),
        (
            "people imported per second, from upload to commit",
            found.imported,
            Target::AtLeast(50_000.0),
        ),
        ("of COPY", found.share, Target::AtLeast(0.4)),
        ("times django-meta-whatsapp's 49 rows per second", found.peer, Target::None),
        ("people exported per second, CSV", found.csv, Target::None),
        ("people exported per second, XLSX", found.xlsx, Target::None),
        ("MiB of memory at most", found.memory, Target::AtMost(200.0)),
    ];
    for (what, series, target) in rows {
        report.row(Row::new(what, series).wanted(target));
    }
}

/// People as `Database::copy_people` has them.
fn file(people: u64) -> Vec<u8> {
    let mut file = b"phone,name,city,plan\n".to_vec();
    for n in 1..=people {
        file.extend_from_slice(format!("+49160{n:08},Lena {n},Berlin,gold\n").as_bytes());
    }
    file
}

async fn import(install: &Installation, file: &[u8]) -> anyhow::Result<Duration> {
    let mut form =
        b"--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n"
            .to_vec();
    form.extend_from_slice(file);
    form.extend_from_slice(b"\r\n--XX--\r\n");
    let begun = Instant::now();
    let import = install.send_form(SERVICE, "v1/contact-imports", "XX", form).await?;
    over(install, "v1/contact-imports", &import).await?;
    Ok(begun.elapsed())
}

async fn export(install: &Installation, format: &str, people: u64) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let wanted = json!({ "format": format });
    let export = install.api(SERVICE, Method::POST, "v1/contact-exports", Some(&wanted)).await?;
    let ended = over(install, "v1/contact-exports", &export).await?;
    let rows = ended.pointer("/file/rows").and_then(Value::as_u64);
    ensure!(rows == Some(people), "an export has {rows:?} rows of {people}");
    Ok(begun.elapsed())
}

/// Waits until a run has ended well.
async fn over(install: &Installation, path: &str, run: &Value) -> anyhow::Result<Value> {
    let id = run.get("id").and_then(Value::as_str).context("no id")?;
    let path = format!("{path}/{id}");
    let begun = Instant::now();
    loop {
        let shown = install.api(SERVICE, Method::GET, &path, None).await?;
        match shown.get("status").and_then(Value::as_str) {
            Some("completed") => return Ok(shown),
            Some("queued" | "running" | "writing") => (),
            other => anyhow::bail!("{path} is {other:?}: {shown}"),
        }
        ensure!(begun.elapsed() < PATIENCE, "{path} does not end");
        sleep(GLANCE).await;
    }
}
