//! Bots, and the connections they answer on.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use kernel::ids::{BotId, ConnectionId, WorkspaceId};
use storage::schema::{bot_connections, bots, connections};
use storage::{AsyncPgConnection, StorageError};
use uuid::Uuid;

use super::ChangeError;

/// A bot as stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = bots)]
pub(crate) struct Bot {
    id: Uuid,
    /// What people call it.
    pub(crate) name: String,
    /// Whether it answers at all.
    pub(crate) is_enabled: bool,
    /// Raised by every change of it or its rules.
    pub(crate) version: i64,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

impl Bot {
    pub(crate) fn id(&self) -> BotId {
        BotId::from_uuid(self.id)
    }
}

/// What to change; `None` leaves a column as it is.
#[derive(Clone, Debug, Default, AsChangeset)]
#[diesel(table_name = bots)]
pub(crate) struct Changes {
    pub(crate) name: Option<String>,
    pub(crate) is_enabled: Option<bool>,
}

/// Stores a new bot.
pub(crate) async fn insert(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    name: String,
    is_enabled: bool,
    now: DateTime<Utc>,
) -> Result<Bot, StorageError> {
    Ok(diesel::insert_into(bots::table)
        .values((
            bots::id.eq(BotId::new().as_uuid()),
            bots::workspace_id.eq(workspace.as_uuid()),
            bots::name.eq(name),
            bots::is_enabled.eq(is_enabled),
            bots::version.eq(1),
            bots::created_at.eq(now),
            bots::updated_at.eq(now),
        ))
        .returning(Bot::as_returning())
        .get_result(tx)
        .await?)
}

/// Begins every change of a bot or its rules: locks the bot, raises its version, applies `changes`.
/// `expected` is the version the caller has read, if they told.
pub(crate) async fn touch(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: BotId,
    expected: Option<i64>,
    changes: Changes,
    now: DateTime<Utc>,
) -> Result<Bot, ChangeError> {
    let target = bots::table
        .filter(bots::workspace_id.eq(workspace.as_uuid()))
        .filter(bots::id.eq(id.as_uuid()));
    let bot: Option<Bot> = diesel::update(target)
        .set((changes, bots::version.eq(bots::version + 1), bots::updated_at.eq(now)))
        .returning(Bot::as_returning())
        .get_result(tx)
        .await
        .optional()?;
    let bot = bot.ok_or(ChangeError::NotFound)?;
    // The transaction rolls back, and the version with it.
    if expected.is_some_and(|expected| bot.version != expected.saturating_add(1)) {
        return Err(ChangeError::Stale);
    }
    Ok(bot)
}

/// One bot of a workspace.
pub(crate) async fn find(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: BotId,
) -> Result<Option<Bot>, StorageError> {
    Ok(bots::table
        .filter(bots::workspace_id.eq(workspace.as_uuid()))
        .filter(bots::id.eq(id.as_uuid()))
        .select(Bot::as_select())
        .first(conn)
        .await
        .optional()?)
}

/// Lists a workspace's bots, newest first.
pub(crate) async fn list(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    before: Option<BotId>,
    limit: i64,
) -> Result<Vec<Bot>, StorageError> {
    let mut query = bots::table
        .filter(bots::workspace_id.eq(workspace.as_uuid()))
        .order(bots::id.desc())
        .limit(limit)
        .select(Bot::as_select())
        .into_boxed();
    if let Some(before) = before {
        query = query.filter(bots::id.lt(before.as_uuid()));
    }
    Ok(query.load(conn).await?)
}

/// Deletes a bot that [`touch`] has locked, with its rules.
pub(crate) async fn delete(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: BotId,
) -> Result<(), StorageError> {
    let target = bots::table
        .filter(bots::workspace_id.eq(workspace.as_uuid()))
        .filter(bots::id.eq(id.as_uuid()));
    diesel::delete(target).execute(tx).await?;
    Ok(())
}

/// The living connections that bots of a workspace answer on.
pub(crate) async fn connections_of(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    ids: &[BotId],
) -> Result<HashMap<BotId, Vec<ConnectionId>>, StorageError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<(Uuid, Uuid)> = bot_connections::table
        .inner_join(connections::table.on(connections::id.eq(bot_connections::connection_id)))
        .filter(connections::workspace_id.eq(workspace.as_uuid()))
        .filter(connections::archived_at.is_null())
        .filter(bot_connections::bot_id.eq_any(ids))
        .order(bot_connections::connection_id)
        .select((bot_connections::bot_id, bot_connections::connection_id))
        .load(conn)
        .await?;
    let mut found: HashMap<BotId, Vec<ConnectionId>> = HashMap::new();
    for (bot, connection) in rows {
        let connections = found.entry(BotId::from_uuid(bot)).or_default();
        connections.push(ConnectionId::from_uuid(connection));
    }
    Ok(found)
}

/// Lets a bot answer on `wanted` and nowhere else.
pub(crate) async fn connect(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    bot: BotId,
    wanted: &[ConnectionId],
) -> Result<(), ChangeError> {
    let ids: Vec<Uuid> = wanted.iter().map(|id| id.as_uuid()).collect();
    let living: Vec<Uuid> = connections::table
        .filter(connections::workspace_id.eq(workspace.as_uuid()))
        .filter(connections::archived_at.is_null())
        .filter(connections::id.eq_any(&ids))
        .select(connections::id)
        .load(tx)
        .await?;
    if let Some(position) = ids.iter().position(|id| !living.contains(id)) {
        return Err(ChangeError::UnknownConnection { position });
    }
    let unwanted = bot_connections::table
        .filter(bot_connections::bot_id.eq(bot.as_uuid()))
        .filter(bot_connections::connection_id.ne_all(&ids));
    diesel::delete(unwanted).execute(tx).await?;
    let mut sorted = living;
    sorted.sort_unstable();
    let rows: Vec<_> = sorted
        .into_iter()
        .map(|id| {
            (bot_connections::connection_id.eq(id), bot_connections::bot_id.eq(bot.as_uuid()))
        })
        .collect();
    diesel::insert_into(bot_connections::table)
        .values(rows)
        .on_conflict_do_nothing()
        .execute(tx)
        .await?;
    let taken: Option<(Uuid, Uuid)> = bot_connections::table
        .filter(bot_connections::connection_id.eq_any(&ids))
        .filter(bot_connections::bot_id.ne(bot.as_uuid()))
        .select((bot_connections::connection_id, bot_connections::bot_id))
        .first(tx)
        .await
        .optional()?;
    match taken {
        None => Ok(()),
        Some((connection, by)) => Err(ChangeError::Taken {
            connection: ConnectionId::from_uuid(connection),
            by: BotId::from_uuid(by),
        }),
    }
}
