//! The end of a sync: what its pages said becomes the templates of its account, in one transaction.
//!
//! Invariants: only a complete pass marks templates deleted; news of a later moment than the page that
//! showed a template are kept (each value has the moment as of which it is known).

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use kernel::ids::TemplateId;
use kernel::statement;
use storage::{AsyncPgConnection, StorageError};
use uuid::Uuid;

use super::runs::Run;
use super::telling::{Facts, Turn};
use super::{accounts, pages};

/// What a sync changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Merged {
    pub(crate) added: i32,
    pub(crate) changed: i32,
    pub(crate) removed: i32,
    /// Each of them.
    pub(crate) turns: Vec<Turn>,
}

statement! {
    End(id: Uuid, pass: i32, pages: i32, now: DateTime<Utc>) -> Timestamptz {
        "UPDATE template_syncs SET status = 'completed', waits_for = NULL, finished_at = "
        [now: Timestamptz] " WHERE status = 'running' AND is_listed AND id = " [id: sql_types::Uuid]
        " AND pass = " [pass: Integer] " AND pages = " [pages: Integer] " RETURNING pass_began_at"
    }
}

type Row = (Uuid, String, String, bool, Option<String>, String, Option<String>, String);

// Each part reads the rows as they were before this statement, by their indexes: a table that was just
// filled has no statistics.
statement! {
    Merge(sync: Uuid, workspace: Uuid, waba: String, began_at: DateTime<Utc>, now: DateTime<Utc>)
    -> (sql_types::Uuid, Text, Text, Bool, Nullable<Text>, Text, Nullable<Text>, Text) {
        "WITH next AS (SELECT t.id, t.status AS old_status, t.quality AS old_quality, \
                t.deleted_at IS NOT NULL AS was_deleted, i.seen_at, i.meta_id, \
                i.seen_at >= t.status_at AS has_status, i.seen_at >= t.quality_at AS has_quality, \
                i.seen_at >= t.category_at AS has_category, i.seen_at >= t.content_at AS has_content, \
                i.status, i.rejected_reason, i.quality, i.category, i.previous_category, \
                i.correct_category, i.name, i.language, i.parameter_format, i.components, i.ttl_seconds, \
                i.seen_at >= t.status_at AND ((t.status, t.rejected_reason) IS DISTINCT FROM \
                    (i.status, i.rejected_reason) OR t.deleted_at IS NOT NULL) \
                OR i.seen_at >= t.quality_at AND t.quality <> i.quality \
                OR i.seen_at >= t.category_at AND (t.category, t.previous_category, t.correct_category) \
                    IS DISTINCT FROM (i.category, i.previous_category, i.correct_category) \
                OR i.seen_at >= t.content_at AND (t.name, t.language, t.parameter_format, \
                    t.components::text, t.ttl_seconds) IS DISTINCT FROM (i.name, i.language, \
                    i.parameter_format, i.components::text, i.ttl_seconds) AS is_changed \
            FROM templates t JOIN template_sync_items i ON i.meta_id = t.meta_id AND i.sync_id = " [sync: sql_types::Uuid]
        " WHERE t.workspace_id = " [workspace: sql_types::Uuid] " AND t.waba_id = " [waba: Text] "), \
         kept AS (UPDATE templates t SET \
                status = CASE WHEN n.has_status THEN n.status ELSE t.status END, \
                rejected_reason = CASE WHEN n.has_status THEN n.rejected_reason ELSE t.rejected_reason END, \
                deleted_at = CASE WHEN n.has_status THEN NULL ELSE t.deleted_at END, \
                status_at = greatest(t.status_at, n.seen_at), \
                quality = CASE WHEN n.has_quality THEN n.quality ELSE t.quality END, \
                quality_at = greatest(t.quality_at, n.seen_at), \
                category = CASE WHEN n.has_category THEN n.category ELSE t.category END, \
                previous_category = CASE WHEN n.has_category THEN n.previous_category \
                    ELSE t.previous_category END, \
                correct_category = CASE WHEN n.has_category THEN n.correct_category \
                    ELSE t.correct_category END, \
                category_changes_at = CASE WHEN n.has_category AND n.correct_category IS NULL THEN NULL \
                    ELSE t.category_changes_at END, \
                category_at = greatest(t.category_at, n.seen_at), \
                name = CASE WHEN n.has_content THEN n.name ELSE t.name END, \
                language = CASE WHEN n.has_content THEN n.language ELSE t.language END, \
                parameter_format = CASE WHEN n.has_content THEN n.parameter_format \
                    ELSE t.parameter_format END, \
                components = CASE WHEN n.has_content THEN n.components ELSE t.components END, \
                ttl_seconds = CASE WHEN n.has_content THEN n.ttl_seconds ELSE t.ttl_seconds END, \
                content_at = greatest(t.content_at, n.seen_at), \
                seen_at = greatest(t.seen_at, n.seen_at), \
                updated_at = CASE WHEN n.is_changed THEN " [now: Timestamptz] " ELSE t.updated_at END \
            FROM next n WHERE t.id = n.id RETURNING t.id, t.name, t.language, n.is_changed, \
                CASE WHEN n.was_deleted THEN 'DELETED' ELSE n.old_status END AS old_status, \
                CASE WHEN t.deleted_at IS NULL THEN t.status ELSE 'DELETED' END AS status, \
                n.old_quality, t.quality), \
         added AS (INSERT INTO templates (id, workspace_id, waba_id, meta_id, name, language, status, \
                rejected_reason, status_at, quality, quality_at, category, previous_category, \
                correct_category, category_at, parameter_format, components, ttl_seconds, content_at, \
                seen_at, created_at, updated_at) SELECT i.id, " [workspace: sql_types::Uuid] ", " [waba: Text]
        ", i.meta_id, i.name, i.language, i.status, i.rejected_reason, i.seen_at, i.quality, i.seen_at, \
                i.category, i.previous_category, i.correct_category, i.seen_at, i.parameter_format, \
                i.components, i.ttl_seconds, i.seen_at, i.seen_at, " [now: Timestamptz] ", " [now: Timestamptz]
        " FROM template_sync_items i WHERE i.sync_id = " [sync: sql_types::Uuid]
        " AND NOT EXISTS (SELECT 1 FROM templates t WHERE t.workspace_id = " [workspace: sql_types::Uuid]
        " AND t.waba_id = " [waba: Text] " AND t.meta_id = i.meta_id) \
            RETURNING id, name, language, status, quality), \
         removed AS (UPDATE templates t SET deleted_at = " [now: Timestamptz] ", updated_at = "
        [now: Timestamptz] ", status_at = greatest(t.status_at, " [began_at: Timestamptz]
        ") WHERE t.workspace_id = " [workspace: sql_types::Uuid] " AND t.waba_id = " [waba: Text]
        " AND t.deleted_at IS NULL AND t.seen_at < " [began_at: Timestamptz]
        " AND NOT EXISTS (SELECT 1 FROM template_sync_items i WHERE i.sync_id = " [sync: sql_types::Uuid]
        " AND i.meta_id = t.meta_id) \
            RETURNING t.id, t.name, t.language, t.status, t.quality) \
         SELECT id, name, language, true, NULL, status, NULL, quality FROM added \
         UNION ALL SELECT id, name, language, false, old_status, status, old_quality, quality FROM kept \
            WHERE is_changed \
         UNION ALL SELECT id, name, language, false, status, 'DELETED', quality, quality FROM removed"
    }
}

statement! {
    Count(id: Uuid, added: i32, changed: i32, removed: i32) -> () {
        "UPDATE template_syncs SET added = " [added: Integer] ", changed = " [changed: Integer]
        ", removed = " [removed: Integer] " WHERE id = " [id: sql_types::Uuid]
    }
}

statement! {
    Synced(workspace: Uuid, waba: String, began_at: DateTime<Utc>, every: i64, now: DateTime<Utc>) -> () {
        "WITH account AS (UPDATE template_accounts SET synced_at = " [now: Timestamptz]
        " WHERE workspace_id = " [workspace: sql_types::Uuid] " AND waba_id = " [waba: Text] ") \
         UPDATE template_schedules s SET next_at = CASE WHEN coalesce(s.every_seconds, " [every: BigInt]
        ") > 0 THEN " [now: Timestamptz] " + make_interval(secs => coalesce(s.every_seconds, " [every: BigInt]
        ") * (0.9 + random() * 0.2)) END, asked_at = CASE WHEN s.asked_at >= " [began_at: Timestamptz]
        " THEN s.asked_at END FROM connections c WHERE c.id = s.connection_id AND c.workspace_id = "
        [workspace: sql_types::Uuid] " AND c.waba_id = " [waba: Text]
    }
}

/// Ends a run whose pages are complete; `None` when it has gone on or ended meanwhile. `every` is the
/// installation's interval in seconds: whoever shares the account need not be synced before.
pub(crate) async fn finish(
    tx: &mut AsyncPgConnection,
    run: &Run,
    every: i64,
    now: DateTime<Utc>,
) -> Result<Option<Merged>, StorageError> {
    accounts::lock(tx, run.workspace, &run.waba).await?;
    let end = End { id: run.id.as_uuid(), pass: run.pass, pages: run.pages, now };
    let ended: Vec<DateTime<Utc>> = end.load(tx).await?;
    let Some(began_at) = ended.into_iter().next() else { return Ok(None) };
    let (workspace, waba) = (run.workspace.as_uuid(), run.waba.as_str().to_owned());
    let sync = run.id.as_uuid();
    let merge = Merge { sync, workspace, waba: waba.clone(), began_at, now };
    let rows: Vec<Row> = merge.load(tx).await?;
    let mut merged = Merged::default();
    for (id, name, language, is_new, old_status, status, old_quality, quality) in rows {
        match (is_new, status.as_str()) {
            (true, _) => merged.added += 1,
            (false, "DELETED") => merged.removed += 1,
            (false, _) => merged.changed += 1,
        }
        let before = old_status.zip(old_quality).map(|(status, quality)| Facts { status, quality });
        let id = TemplateId::from_uuid(id);
        let now = Facts { status, quality };
        merged.turns.push(Turn { id, name, language, before, now });
    }
    let Merged { added, changed, removed, .. } = merged;
    Count { id: sync, added, changed, removed }.execute(tx).await?;
    Synced { workspace, waba, began_at, every, now }.execute(tx).await?;
    pages::clear(tx, run).await?;
    Ok(Some(merged))
}
