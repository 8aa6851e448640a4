//! Templates as one workspace knows them.

use chrono::{DateTime, Utc};
use diesel::Queryable;
use diesel::sql_types::{self, Array, BigInt, Bool, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use kernel::ids::{ConnectionId, TemplateId, WorkspaceId};
use kernel::{WabaId, statement};
use storage::{AsyncPgConnection, StorageError};
use uuid::Uuid;

/// A template, as people see it.
#[derive(Clone, Debug, Queryable)]
pub(crate) struct Template {
    id: Uuid,
    waba_id: String,
    pub(crate) meta_id: String,
    pub(crate) name: String,
    pub(crate) language: String,
    pub(crate) status: String,
    pub(crate) rejected_reason: Option<String>,
    pub(crate) status_at: DateTime<Utc>,
    pub(crate) quality: String,
    pub(crate) category: String,
    pub(crate) previous_category: Option<String>,
    pub(crate) correct_category: Option<String>,
    pub(crate) category_changes_at: Option<DateTime<Utc>>,
    pub(crate) parameter_format: String,
    /// Meta's JSON, byte for byte.
    pub(crate) components: String,
    pub(crate) ttl_seconds: Option<i64>,
    pub(crate) seen_at: DateTime<Utc>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) deleted_at: Option<DateTime<Utc>>,
}

impl Template {
    pub(crate) fn id(&self) -> TemplateId {
        TemplateId::from_uuid(self.id)
    }

    pub(crate) fn waba(&self) -> WabaId {
        WabaId::new(self.waba_id.clone())
    }
}

/// Whether templates that Meta does not have any more are listed, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// Only those that Meta has.
    #[default]
    Left,
    /// All.
    Shown,
}

/// Which templates are listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) id: Option<TemplateId>,
    /// Those of its account.
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) statuses: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) languages: Vec<String>,
    pub(crate) name: Option<String>,
    pub(crate) name_part: Option<String>,
    pub(crate) deleted: Deleted,
    pub(crate) before: Option<TemplateId>,
}

statement! {
    List(
        workspace: Uuid, id: Option<Uuid>, connection: Option<Uuid>, statuses: Vec<String>,
        categories: Vec<String>, languages: Vec<String>, name: Option<String>, part: Option<String>,
        has_deleted: bool, before: Option<Uuid>, limit: i64,
    ) -> (sql_types::Uuid, Text, Text, Text, Text, Text, Nullable<Text>, Timestamptz, Text, Text,
        Nullable<Text>, Nullable<Text>, Nullable<Timestamptz>, Text, Text, Nullable<BigInt>, Timestamptz,
        Timestamptz, Timestamptz, Nullable<Timestamptz>) {
        "SELECT id, waba_id, meta_id, name, language, status, rejected_reason, status_at, quality, category, \
            previous_category, correct_category, category_changes_at, parameter_format, components::text, \
            ttl_seconds, seen_at, created_at, updated_at, deleted_at \
         FROM templates WHERE workspace_id = " [workspace: sql_types::Uuid] " AND ("
        [id: Nullable<sql_types::Uuid>] " IS NULL OR id = " [id: Nullable<sql_types::Uuid>] ") AND ("
        [connection: Nullable<sql_types::Uuid>] " IS NULL OR waba_id = (SELECT c.waba_id FROM connections c \
            WHERE c.workspace_id = " [workspace: sql_types::Uuid] " AND c.id = "
        [connection: Nullable<sql_types::Uuid>] ")) AND (cardinality(" [statuses: Array<Text>]
        ") = 0 OR status = ANY(" [statuses: Array<Text>] ")) AND (cardinality(" [categories: Array<Text>]
        ") = 0 OR category = ANY(" [categories: Array<Text>] ")) AND (cardinality(" [languages: Array<Text>]
        ") = 0 OR language = ANY(" [languages: Array<Text>] ")) AND (" [name: Nullable<Text>]
        " IS NULL OR name = " [name: Nullable<Text>] ") AND (" [part: Nullable<Text>]
        " IS NULL OR strpos(name, lower(" [part: Nullable<Text>] ")) > 0) AND (" [has_deleted: Bool]
        " OR deleted_at IS NULL) AND (" [before: Nullable<sql_types::Uuid>] " IS NULL OR id < "
        [before: Nullable<sql_types::Uuid>] ") ORDER BY id DESC LIMIT " [limit: BigInt]
    }
}

/// A workspace's templates, those we learnt of last first.
pub(crate) async fn list(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    filter: Filter,
    limit: i64,
) -> Result<Vec<Template>, StorageError> {
    let list = List {
        workspace: workspace.as_uuid(),
        id: filter.id.map(|id| id.as_uuid()),
        connection: filter.connection.map(|id| id.as_uuid()),
        statuses: filter.statuses,
        categories: filter.categories,
        languages: filter.languages,
        name: filter.name,
        part: filter.name_part,
        has_deleted: filter.deleted == Deleted::Shown,
        before: filter.before.map(|id| id.as_uuid()),
        limit,
    };
    Ok(list.load(conn).await?)
}

/// One template of a workspace, also one that is deleted.
pub(crate) async fn find(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: TemplateId,
) -> Result<Option<Template>, StorageError> {
    let filter = Filter { id: Some(id), deleted: Deleted::Shown, ..Filter::default() };
    Ok(list(conn, workspace, filter, 1).await?.pop())
}

/// A template that somebody has just made at Meta.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) id: TemplateId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) waba: WabaId,
    pub(crate) meta_id: String,
    pub(crate) name: String,
    pub(crate) language: String,
    pub(crate) status: String,
    pub(crate) category: String,
    pub(crate) parameter_format: String,
    pub(crate) components: String,
    pub(crate) ttl_seconds: Option<i64>,
}

statement! {
    Insert(
        id: Uuid, workspace: Uuid, waba: String, meta_id: String, name: String, language: String,
        status: String, category: String, format: String, components: String, ttl: Option<i64>,
        now: DateTime<Utc>,
    ) -> sql_types::Uuid {
        "INSERT INTO templates AS t (id, workspace_id, waba_id, meta_id, name, language, status, status_at, \
            quality, quality_at, category, category_at, parameter_format, components, ttl_seconds, \
            content_at, seen_at, created_at, updated_at) VALUES (" [id: sql_types::Uuid] ", "
        [workspace: sql_types::Uuid] ", " [waba: Text] ", " [meta_id: Text] ", " [name: Text] ", "
        [language: Text] ", " [status: Text] ", " [now: Timestamptz] ", 'UNKNOWN', " [now: Timestamptz]
        ", " [category: Text] ", " [now: Timestamptz] ", " [format: Text] ", " [components: Text]
        "::json, " [ttl: Nullable<BigInt>] ", " [now: Timestamptz] ", " [now: Timestamptz] ", "
        [now: Timestamptz] ", " [now: Timestamptz]
        ") ON CONFLICT (workspace_id, waba_id, meta_id) DO UPDATE SET seen_at = excluded.seen_at RETURNING id"
    }
}

/// Writes down a template that was made at `now`; a sync or a webhook may have been faster. Returns
/// its id.
pub(crate) async fn insert(
    tx: &mut AsyncPgConnection,
    made: Made,
    now: DateTime<Utc>,
) -> Result<TemplateId, StorageError> {
    let insert = Insert {
        id: made.id.as_uuid(),
        workspace: made.workspace.as_uuid(),
        waba: made.waba.into_string(),
        meta_id: made.meta_id,
        name: made.name,
        language: made.language,
        status: made.status,
        category: made.category,
        format: made.parameter_format,
        components: made.components,
        ttl: made.ttl_seconds,
        now,
    };
    let id: Uuid = insert.get_result(tx).await?;
    Ok(TemplateId::from_uuid(id))
}

statement! {
    Edit(
        id: Uuid, status: Option<&'static str>, category: Option<String>, components: Option<String>,
        ttl: Option<i64>, is_deleted: bool, now: DateTime<Utc>,
    ) -> () {
        "UPDATE templates SET status = coalesce(" [status: Nullable<Text>]
        ", status), status_at = CASE WHEN " [status: Nullable<Text>] "::text IS NULL THEN status_at ELSE "
        [now: Timestamptz] " END, category = coalesce(" [category: Nullable<Text>]
        ", category), components = coalesce(" [components: Nullable<Text>]
        "::json, components), ttl_seconds = coalesce(" [ttl: Nullable<BigInt>]
        ", ttl_seconds), category_at = CASE WHEN " [category: Nullable<Text>]
        "::text IS NULL THEN category_at ELSE " [now: Timestamptz] " END, content_at = " [now: Timestamptz]
        ", seen_at = " [now: Timestamptz] ", updated_at = " [now: Timestamptz]
        ", deleted_at = CASE WHEN " [is_deleted: Bool] " THEN " [now: Timestamptz]
        " ELSE deleted_at END WHERE id = " [id: sql_types::Uuid]
    }
}

/// What somebody has just changed at Meta.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edited {
    pub(crate) status: Option<&'static str>,
    pub(crate) category: Option<String>,
    pub(crate) components: Option<String>,
    pub(crate) ttl_seconds: Option<i64>,
    pub(crate) is_deleted: bool,
}

/// Writes down what was changed at `now`. The account is locked.
pub(crate) async fn edit(
    tx: &mut AsyncPgConnection,
    id: TemplateId,
    edited: Edited,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let Edited { status, category, components, ttl_seconds: ttl, is_deleted } = edited;
    let edit = Edit { id: id.as_uuid(), status, category, components, ttl, is_deleted, now };
    edit.execute(tx).await?;
    Ok(())
}
