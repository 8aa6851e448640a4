//! Runs of the sync: started by one, worked on by whoever has the lock, shown to all.
//!
//! Invariant: a connection has one running sync (unique index), whatever becomes of locks.

use chrono::{DateTime, Utc};
use diesel::Queryable;
use diesel::sql_types::{
    self, Array, BigInt, Bool, Integer, Nullable, SmallInt, Text, Timestamptz,
};
use diesel_async::RunQueryDsl;
use kernel::ids::{ConnectionId, TemplateSyncId, WorkspaceId};
use kernel::{WabaId, statement};
use storage::{AsyncPgConnection, StorageError};
use uuid::Uuid;

/// Templates on a page at first.
pub(crate) const PAGE_SIZE: i32 = 100;

/// Why a sync runs. Somebody waits for one that was requested, so it comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// Somebody asked.
    Request,
    /// Meta told of a change that only a look can tell.
    Webhook,
    /// It was time.
    Schedule,
}

impl Trigger {
    /// As stored and shown.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Webhook => "webhook",
            Self::Schedule => "schedule",
        }
    }

    /// Lower ones first.
    const fn priority(self) -> i16 {
        match self {
            Self::Request => 0,
            Self::Webhook => 1,
            Self::Schedule => 2,
        }
    }
}

/// A run to start.
#[derive(Clone, Debug)]
pub(crate) struct NewRun {
    pub(crate) id: TemplateSyncId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) connection: ConnectionId,
    pub(crate) waba: WabaId,
    pub(crate) trigger: Trigger,
    /// An API key, or this service.
    pub(crate) requested_by: String,
}

statement! {
    Start(
        id: Uuid, workspace: Uuid, connection: Uuid, waba: String, trigger: &'static str,
        requested_by: String, priority: i16, page_size: i32, now: DateTime<Utc>,
    ) -> sql_types::Uuid {
        "INSERT INTO template_syncs (id, workspace_id, connection_id, waba_id, trigger, requested_by, \
            priority, status, page_size, next_look_at, created_at) VALUES (" [id: sql_types::Uuid] ", "
        [workspace: sql_types::Uuid] ", " [connection: sql_types::Uuid] ", " [waba: Text] ", "
        [trigger: Text] ", " [requested_by: Text] ", " [priority: SmallInt] ", 'running', "
        [page_size: Integer] ", " [now: Timestamptz] ", " [now: Timestamptz]
        ") ON CONFLICT (connection_id) WHERE status = 'running' DO NOTHING RETURNING id"
    }
}

/// Starts a run; `false` when one of the connection is running.
pub(crate) async fn start(
    tx: &mut AsyncPgConnection,
    new: NewRun,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let start = Start {
        id: new.id.as_uuid(),
        workspace: new.workspace.as_uuid(),
        connection: new.connection.as_uuid(),
        waba: new.waba.into_string(),
        trigger: new.trigger.as_str(),
        requested_by: new.requested_by,
        priority: new.trigger.priority(),
        page_size: PAGE_SIZE,
        now,
    };
    let started: Vec<Uuid> = start.load(tx).await?;
    Ok(!started.is_empty())
}

statement! {
    RunningOf(workspace: Uuid, connection: Uuid) -> sql_types::Uuid {
        "SELECT id FROM template_syncs WHERE status = 'running' AND workspace_id = "
        [workspace: sql_types::Uuid] " AND connection_id = " [connection: sql_types::Uuid]
    }
}

/// The running sync of a connection.
pub(crate) async fn running_of(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    connection: ConnectionId,
) -> Result<Option<TemplateSyncId>, StorageError> {
    let (workspace, connection) = (workspace.as_uuid(), connection.as_uuid());
    let ids: Vec<Uuid> = RunningOf { workspace, connection }.load(conn).await?;
    Ok(ids.into_iter().next().map(TemplateSyncId::from_uuid))
}

/// A running sync, as its worker sees it.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) id: TemplateSyncId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) connection: ConnectionId,
    pub(crate) waba: WabaId,
    pub(crate) pass: i32,
    pub(crate) pages: i32,
    pub(crate) after: Option<String>,
    /// Every page is there.
    pub(crate) is_listed: bool,
    pub(crate) page_size: i32,
    /// Calls in a row that failed.
    pub(crate) failures: i32,
    /// Whether no call was made yet.
    pub(crate) is_new: bool,
}

type RunRow = (Uuid, Uuid, String, i32, i32, Option<String>, bool, i32, i32, i32);

statement! {
    Read(id: Uuid) -> (sql_types::Uuid, sql_types::Uuid, Text, Integer, Integer, Nullable<Text>, Bool,
        Integer, Integer, Integer) {
        "SELECT workspace_id, connection_id, waba_id, pass, pages, after, is_listed, page_size, failures, \
            calls FROM template_syncs WHERE status = 'running' AND id = " [id: sql_types::Uuid]
    }
}

/// A run that is not over.
pub(crate) async fn read(
    conn: &mut AsyncPgConnection,
    id: TemplateSyncId,
) -> Result<Option<Run>, StorageError> {
    let rows: Vec<RunRow> = Read { id: id.as_uuid() }.load(conn).await?;
    let run = |row| {
        let (
            workspace,
            connection,
            waba,
            pass,
            pages,
            after,
            is_listed,
            page_size,
            failures,
            calls,
        ) = row;
        Run {
            id,
            workspace: WorkspaceId::from_uuid(workspace),
            connection: ConnectionId::from_uuid(connection),
            waba: WabaId::new(waba),
            pass,
            pages,
            after,
            is_listed,
            page_size,
            failures,
            is_new: calls == 0,
        }
    };
    Ok(rows.into_iter().next().map(run))
}

statement! {
    Due(now: DateTime<Utc>, most: i64) -> (sql_types::Uuid, sql_types::Uuid) {
        "SELECT id, connection_id FROM template_syncs WHERE status = 'running' AND next_look_at <= "
        [now: Timestamptz] " ORDER BY priority, next_look_at LIMIT " [most: BigInt]
    }
}

/// Runs that nobody works on although they could go on, of all tenants; the most urgent first.
pub(crate) async fn due(
    conn: &mut AsyncPgConnection,
    now: DateTime<Utc>,
    most: i64,
) -> Result<Vec<(TemplateSyncId, ConnectionId)>, StorageError> {
    let rows: Vec<(Uuid, Uuid)> = Due { now, most }.load(conn).await?;
    let ids =
        |(run, connection)| (TemplateSyncId::from_uuid(run), ConnectionId::from_uuid(connection));
    Ok(rows.into_iter().map(ids).collect())
}

statement! {
    Rest(id: Uuid, at: DateTime<Utc>, waits_for: Option<&'static str>) -> () {
        "UPDATE template_syncs SET next_look_at = " [at: Timestamptz] ", waits_for = "
        [waits_for: Nullable<Text>] " WHERE status = 'running' AND id = " [id: sql_types::Uuid]
    }
}

/// Says when somebody must look at the run again, and what it waits for until then.
pub(crate) async fn rest(
    conn: &mut AsyncPgConnection,
    id: TemplateSyncId,
    at: DateTime<Utc>,
    waits_for: Option<&'static str>,
) -> Result<(), StorageError> {
    Rest { id: id.as_uuid(), at, waits_for }.execute(conn).await?;
    Ok(())
}

statement! {
    LookAgain(id: Uuid, at: DateTime<Utc>, now: DateTime<Utc>) -> () {
        "UPDATE template_syncs SET next_look_at = " [at: Timestamptz]
        " WHERE status = 'running' AND id = " [id: sql_types::Uuid] " AND next_look_at <= "
        [now: Timestamptz]
    }
}

/// Says that nobody could work on a run that is due: it is looked at again at `at`.
pub(crate) async fn look_again(
    conn: &mut AsyncPgConnection,
    id: TemplateSyncId,
    at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    LookAgain { id: id.as_uuid(), at, now }.execute(conn).await?;
    Ok(())
}

statement! {
    Stumble(id: Uuid, pass: i32, pages: i32, page_size: i32, at: DateTime<Utc>, waits_for: Option<&'static str>) -> () {
        "UPDATE template_syncs SET calls = calls + 1, failures = failures + 1, page_size = "
        [page_size: Integer] ", next_look_at = " [at: Timestamptz] ", waits_for = "
        [waits_for: Nullable<Text>] " WHERE status = 'running' AND id = " [id: sql_types::Uuid]
        " AND pass = " [pass: Integer] " AND pages = " [pages: Integer]
    }
}

/// Counts a call that failed; the next one asks for `page_size` templates.
pub(crate) async fn stumble(
    conn: &mut AsyncPgConnection,
    run: &Run,
    page_size: i32,
    at: DateTime<Utc>,
    waits_for: Option<&'static str>,
) -> Result<(), StorageError> {
    let (id, pass, pages) = (run.id.as_uuid(), run.pass, run.pages);
    Stumble { id, pass, pages, page_size, at, waits_for }.execute(conn).await?;
    Ok(())
}

statement! {
    Fail(id: Uuid, pass: i32, pages: i32, code: String, text: String, now: DateTime<Utc>) -> sql_types::Uuid {
        "UPDATE template_syncs SET status = 'failed', calls = calls + 1, error_code = " [code: Text]
        ", error = " [text: Text] ", waits_for = NULL, finished_at = " [now: Timestamptz]
        " WHERE status = 'running' AND id = " [id: sql_types::Uuid] " AND pass = " [pass: Integer]
        " AND pages = " [pages: Integer] " RETURNING id"
    }
}

/// Ends a run without changing a template; `false` when it has gone on or ended meanwhile.
pub(crate) async fn fail(
    tx: &mut AsyncPgConnection,
    run: &Run,
    (code, text): (String, String),
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let (id, pass, pages) = (run.id.as_uuid(), run.pass, run.pages);
    let failed: Vec<Uuid> = Fail { id, pass, pages, code, text, now }.load(tx).await?;
    if failed.is_empty() {
        return Ok(false);
    }
    super::pages::clear(tx, run).await?;
    Ok(true)
}

/// A run, as people see it.
#[derive(Clone, Debug, Queryable)]
pub(crate) struct Seen {
    id: Uuid,
    connection_id: Uuid,
    pub(crate) waba_id: String,
    pub(crate) trigger: String,
    pub(crate) requested_by: String,
    pub(crate) status: String,
    pub(crate) pages: i32,
    pub(crate) calls: i32,
    pub(crate) found: i32,
    pub(crate) waits_for: Option<String>,
    pub(crate) next_look_at: DateTime<Utc>,
    pub(crate) added: Option<i32>,
    pub(crate) changed: Option<i32>,
    pub(crate) removed: Option<i32>,
    pub(crate) error_code: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
}

impl Seen {
    pub(crate) fn id(&self) -> TemplateSyncId {
        TemplateSyncId::from_uuid(self.id)
    }

    pub(crate) fn connection(&self) -> ConnectionId {
        ConnectionId::from_uuid(self.connection_id)
    }
}

/// Which runs are listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) id: Option<TemplateSyncId>,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) statuses: Vec<String>,
    pub(crate) before: Option<TemplateSyncId>,
}

statement! {
    List(
        workspace: Uuid, id: Option<Uuid>, connection: Option<Uuid>, statuses: Vec<String>,
        before: Option<Uuid>, limit: i64,
    ) -> (sql_types::Uuid, sql_types::Uuid, Text, Text, Text, Text, Integer, Integer, Integer,
        Nullable<Text>, Timestamptz, Nullable<Integer>, Nullable<Integer>, Nullable<Integer>,
        Nullable<Text>, Nullable<Text>, Timestamptz, Nullable<Timestamptz>) {
        "SELECT id, connection_id, waba_id, trigger, requested_by, status, pages, calls, found, waits_for, \
            next_look_at, added, changed, removed, error_code, error, created_at, finished_at \
         FROM template_syncs WHERE workspace_id = " [workspace: sql_types::Uuid] " AND ("
        [id: Nullable<sql_types::Uuid>] " IS NULL OR id = " [id: Nullable<sql_types::Uuid>] ") AND ("
        [connection: Nullable<sql_types::Uuid>] " IS NULL OR connection_id = "
        [connection: Nullable<sql_types::Uuid>] ") AND (cardinality(" [statuses: Array<Text>]
        ") = 0 OR status = ANY(" [statuses: Array<Text>] ")) AND (" [before: Nullable<sql_types::Uuid>]
        " IS NULL OR id < " [before: Nullable<sql_types::Uuid>] ") ORDER BY id DESC LIMIT "
        [limit: BigInt]
    }
}

/// A workspace's runs, newest first.
pub(crate) async fn list(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    filter: Filter,
    limit: i64,
) -> Result<Vec<Seen>, StorageError> {
    let list = List {
        workspace: workspace.as_uuid(),
        id: filter.id.map(|id| id.as_uuid()),
        connection: filter.connection.map(|id| id.as_uuid()),
        statuses: filter.statuses,
        before: filter.before.map(|id| id.as_uuid()),
        limit,
    };
    Ok(list.load(conn).await?)
}
