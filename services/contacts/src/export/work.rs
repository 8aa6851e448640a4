//! Works an export off.
//!
//! Invariants: the file is written where only this run writes, and named in the row by the statement
//! that ends the export; a run that comes too late removes its own file.

use std::fs::File;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::names::event::EXPORT_COMPLETED;
use diesel_async::AsyncConnection;
use kernel::ids::ExportId;
use storage::{AsyncPgConnection, events};
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use super::columns::Columns;
use super::filter::Filter;
use super::people::{self, PAGE, Person};
use super::store::{self, COMPLETED, Changes, Export, FAILED};
use super::table::{Table, TableError};
use crate::announce;
use crate::jobs::{Jobs, WorkError};

/// Pages that wait to be written: what memory holds.
const WAITING: usize = 2;
/// How often it is told how far an export is.
const TELL: Duration = Duration::from_millis(500);
/// An export that was begun so often and never ended takes its process with it: it is given up.
const MOST_ATTEMPTS: i32 = 20;

/// Works export `id` off.
pub(crate) async fn run(jobs: &Jobs, id: ExportId) -> Result<(), WorkError> {
    let mut conn = jobs.db.connection().await?;
    let Some(export) = store::begin(&mut conn, id, jobs.clock.now()).await? else { return Ok(()) };
    if export.attempts > MOST_ATTEMPTS {
        let changes = Changes {
            status: Some(FAILED),
            error_code: Some("given_up".to_owned()),
            error: Some(format!("given up after {MOST_ATTEMPTS} attempts; start another export")),
            ended_at: Some(jobs.clock.now()),
            ..Changes::default()
        };
        return end(jobs, &export, changes).await.map(|_| ());
    }
    let filter: Filter = serde_json::from_value(export.filter.clone())?;
    let survey = people::survey(&mut conn, export.workspace(), &filter).await?;
    let total = Changes { total: Some(survey.total), ..Changes::default() };
    if !store::change(&mut conn, &export, &total).await? {
        return Ok(());
    }
    drop(conn);
    let columns = Columns::of(survey.attributes);
    let Some((file, rows)) = write(jobs, &export, &filter, columns).await? else { return Ok(()) };
    keep(jobs, &export, file, rows).await
}

/// Writes everybody into a file, on a thread of its own; `None` when nobody wants it any more.
async fn write(
    jobs: &Jobs,
    export: &Export,
    filter: &Filter,
    columns: Columns,
) -> Result<Option<(File, i64)>, WorkError> {
    let (sender, mut pages) = mpsc::channel::<Vec<Person>>(WAITING);
    let (format, has_bom) = (export.format(), export.has_bom);
    let writer = jobs.life.tasks().spawn_blocking(move || {
        let mut table = Table::new(format, has_bom, columns.header())?;
        while let Some(page) = pages.blocking_recv() {
            for person in page {
                table.add(&columns.cells(person))?;
            }
        }
        table.finish()
    });
    let (mut after, mut rows, mut told) = (Uuid::nil(), 0_i64, Instant::now());
    loop {
        let mut conn = jobs.db.connection().await?;
        let page = people::page(&mut conn, export.workspace(), filter, after).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        let length = i64::try_from(page.len()).unwrap_or(PAGE);
        rows += length;
        if told.elapsed() >= TELL {
            told = Instant::now();
            let far = Changes { rows: Some(rows), ..Changes::default() };
            if !store::change(&mut conn, export, &far).await? {
                return Ok(None);
            }
        }
        drop(conn);
        // A writer that has stopped says why below.
        if sender.send(page).await.is_err() || length < PAGE {
            break;
        }
    }
    drop(sender);
    let file = writer.await.map_err(std::io::Error::other).map_err(TableError::from)??;
    Ok(Some((file, rows)))
}

/// Puts the file where it can be fetched, and ends the export.
async fn keep(jobs: &Jobs, export: &Export, file: File, rows: i64) -> Result<(), WorkError> {
    let now = jobs.clock.now();
    let name = file_name(export, now);
    let bytes = jobs.files.keep_file(&super::path(&name), file).await?;
    let kept = TimeDelta::from_std(jobs.keep_exports).unwrap_or(TimeDelta::MAX);
    let changes = Changes {
        status: Some(COMPLETED),
        rows: Some(rows),
        file_name: Some(name.clone()),
        file_bytes: i64::try_from(bytes).ok(),
        ended_at: Some(now),
        expires_at: now.checked_add_signed(kept),
        ..Changes::default()
    };
    if !end(jobs, export, changes).await? {
        jobs.files.remove(&super::path(&name)).await?;
    }
    Ok(())
}

/// Unique by workspace, time and run.
fn file_name(export: &Export, now: DateTime<Utc>) -> String {
    let (workspace, run) = (export.workspace(), Uuid::now_v7().simple());
    let time = now.format("%Y%m%dT%H%M%SZ");
    format!("contacts-{workspace}-{time}-{run}.{}", export.format().as_str())
}

/// Ends the export, if it is still this run's.
async fn end(jobs: &Jobs, export: &Export, changes: Changes) -> Result<bool, WorkError> {
    let now = jobs.clock.now();
    let how = (changes.status.unwrap_or_default(), changes.error_code.as_deref());
    let whose = (export.workspace(), export.id().as_uuid());
    let event = announce::ended(EXPORT_COMPLETED, whose, how, now);
    let conn: &mut AsyncPgConnection = &mut *jobs.db.connection().await?;
    let is_ours = conn
        .transaction(async |tx| {
            let is_ours = store::change(tx, export, &changes).await?;
            if is_ours {
                events::append(tx, std::slice::from_ref(&event), now).await?;
            }
            Ok::<_, WorkError>(is_ours)
        })
        .await?;
    if is_ours {
        jobs.relay.publish(vec![event]).await;
    }
    Ok(is_ours)
}
