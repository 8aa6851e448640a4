//! Removes files that nobody needs any more: uploads of imports that are over, files of exports that
//! have expired, and what dead processes left behind.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use kernel::chain;
use tracing::warn;

use super::{Jobs, WorkError};
use crate::{export, import};

/// How often it looks.
const EVERY: Duration = Duration::from_mins(10);
/// A file this young may belong to a request or a run that has not said so yet.
const YOUNG: TimeDelta = TimeDelta::hours(2);

pub(super) async fn run(jobs: Arc<Jobs>) -> anyhow::Result<()> {
    let stop = jobs.life.stopping();
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        if let Err(error) = clean(&jobs).await {
            warn!(error = %chain(&error), "old files will be removed later");
        }
    }
    Ok(())
}

async fn clean(jobs: &Jobs) -> Result<(), WorkError> {
    let now = jobs.clock.now();
    let mut conn = jobs.db.connection().await?;
    export::store::expire(&mut conn, now).await?;
    let imports = import::store::all_open(&mut conn).await?;
    let exports = export::store::files(&mut conn).await?;
    drop(conn);
    let wanted: HashSet<String> =
        imports.into_iter().map(|(id, _)| import::path(id)).chain(exports).collect();
    for folder in [import::FOLDER, export::FOLDER] {
        for (path, since) in jobs.files.list(folder).await? {
            if since + YOUNG < now && !wanted.contains(&path) {
                jobs.files.remove(&path).await?;
            }
        }
    }
    Ok(())
}
