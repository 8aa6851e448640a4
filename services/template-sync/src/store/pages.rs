//! The pages of a running sync.
//!
//! Invariant: whoever adds a page, or gives the pass up, names the pass and the pages before: of two
//! workers one succeeds, so a worker that lost its lock writes over nobody.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use kernel::ids::TemplateId;
use kernel::statement;
use storage::{AsyncPgConnection, StorageError};
use uuid::Uuid;
use whatsapp::graph::{ListedTemplate, TemplatePage};

use super::runs::Run;

statement! {
    Advance(
        id: Uuid, pass: i32, pages: i32, found: i32, after: Option<String>, is_listed: bool,
        asked_at: DateTime<Utc>, look_at: DateTime<Utc>,
    ) -> sql_types::Uuid {
        "UPDATE template_syncs SET pages = pages + 1, calls = calls + 1, failures = 0, found = found + "
        [found: Integer] ", after = " [after: Nullable<Text>] ", is_listed = " [is_listed: Bool]
        ", pass_began_at = coalesce(pass_began_at, " [asked_at: Timestamptz] "), next_look_at = "
        [look_at: Timestamptz] ", waits_for = NULL WHERE id = " [id: sql_types::Uuid]
        " AND status = 'running' AND pass = " [pass: Integer] " AND pages = " [pages: Integer]
        " AND NOT is_listed RETURNING id"
    }
}

statement! {
    Put(
        sync: Uuid, meta_ids: Vec<String>, ids: Vec<Uuid>, names: Vec<String>, languages: Vec<String>,
        statuses: Vec<String>, reasons: Vec<Option<String>>, qualities: Vec<String>, categories: Vec<String>,
        previous: Vec<Option<String>>, correct: Vec<Option<String>>, formats: Vec<String>,
        components: Vec<String>, ttls: Vec<Option<i64>>, asked_at: DateTime<Utc>,
    ) -> () {
        "INSERT INTO template_sync_items AS i (sync_id, meta_id, id, name, language, status, \
            rejected_reason, quality, category, previous_category, correct_category, parameter_format, \
            components, ttl_seconds, seen_at) SELECT " [sync: sql_types::Uuid]
        ", s.meta_id, s.id, s.name, s.language, s.status, s.reason, s.quality, s.category, s.previous, \
            s.correct, s.format, s.components::json, s.ttl, " [asked_at: Timestamptz] " FROM unnest("
        [meta_ids: Array<Text>] ", " [ids: Array<sql_types::Uuid>] ", " [names: Array<Text>] ", "
        [languages: Array<Text>] ", " [statuses: Array<Text>] ", " [reasons: Array<Nullable<Text>>] ", "
        [qualities: Array<Text>] ", " [categories: Array<Text>] ", " [previous: Array<Nullable<Text>>] ", "
        [correct: Array<Nullable<Text>>] ", " [formats: Array<Text>] ", " [components: Array<Text>] ", "
        [ttls: Array<Nullable<BigInt>>]
        ") AS s (meta_id, id, name, language, status, reason, quality, category, previous, correct, \
            format, components, ttl) \
         ON CONFLICT (sync_id, meta_id) DO UPDATE SET name = excluded.name, language = excluded.language, \
            status = excluded.status, rejected_reason = excluded.rejected_reason, \
            quality = excluded.quality, category = excluded.category, \
            previous_category = excluded.previous_category, correct_category = excluded.correct_category, \
            parameter_format = excluded.parameter_format, components = excluded.components, \
            ttl_seconds = excluded.ttl_seconds, seen_at = excluded.seen_at"
    }
}

/// Adds a page that was asked for at `asked_at`; `false` when somebody else has added it, or the run
/// is over. Nobody else needs to look at the run before `look_at`.
pub(crate) async fn keep(
    tx: &mut AsyncPgConnection,
    run: &Run,
    page: TemplatePage,
    asked_at: DateTime<Utc>,
    look_at: DateTime<Utc>,
) -> Result<bool, StorageError> {
    // One statement can change a row once: of two templates with one id the later one counts.
    let listed: BTreeMap<String, ListedTemplate> =
        page.templates.into_iter().map(|template| (template.id.clone(), template)).collect();
    let advance = Advance {
        id: run.id.as_uuid(),
        pass: run.pass,
        pages: run.pages,
        found: i32::try_from(listed.len()).unwrap_or(i32::MAX),
        is_listed: page.after.is_none(),
        after: page.after,
        asked_at,
        look_at,
    };
    let advanced: Vec<Uuid> = advance.load(tx).await?;
    if advanced.is_empty() {
        return Ok(false);
    }
    put(run.id.as_uuid(), &listed, asked_at).execute(tx).await?;
    Ok(true)
}

fn put(sync: Uuid, listed: &BTreeMap<String, ListedTemplate>, asked_at: DateTime<Utc>) -> Put {
    let each = || listed.values();
    Put {
        sync,
        meta_ids: listed.keys().cloned().collect(),
        ids: each().map(|_| TemplateId::new().as_uuid()).collect(),
        names: each().map(|t| t.name.clone()).collect(),
        languages: each().map(|t| t.language.replace('-', "_")).collect(),
        statuses: each().map(|t| t.status.clone()).collect(),
        reasons: each().map(|t| t.rejected_reason.clone()).collect(),
        qualities: each().map(|t| t.quality.clone()).collect(),
        categories: each().map(|t| t.category.clone()).collect(),
        previous: each().map(|t| t.previous_category.clone()).collect(),
        correct: each().map(|t| t.correct_category.clone()).collect(),
        formats: each().map(|t| t.parameter_format.clone()).collect(),
        components: each().map(|t| t.components.clone()).collect(),
        ttls: each().map(|t| t.ttl_seconds).collect(),
        asked_at,
    }
}

statement! {
    Restart(id: Uuid, pass: i32, pages: i32) -> sql_types::Uuid {
        "UPDATE template_syncs SET pass = pass + 1, pages = 0, calls = calls + 1, found = 0, after = NULL, \
            pass_began_at = NULL WHERE id = " [id: sql_types::Uuid] " AND status = 'running' AND pass = "
        [pass: Integer] " AND pages = " [pages: Integer] " AND NOT is_listed RETURNING id"
    }
}

statement! {
    Clear(sync: Uuid) -> () {
        "DELETE FROM template_sync_items WHERE sync_id = " [sync: sql_types::Uuid]
    }
}

/// Forgets the pages and begins again.
pub(crate) async fn restart(tx: &mut AsyncPgConnection, run: &Run) -> Result<(), StorageError> {
    let restart = Restart { id: run.id.as_uuid(), pass: run.pass, pages: run.pages };
    let restarted: Vec<Uuid> = restart.load(tx).await?;
    if !restarted.is_empty() {
        clear(tx, run).await?;
    }
    Ok(())
}

/// Deletes what the pages said.
pub(crate) async fn clear(tx: &mut AsyncPgConnection, run: &Run) -> Result<(), StorageError> {
    Clear { sync: run.id.as_uuid() }.execute(tx).await?;
    Ok(())
}
