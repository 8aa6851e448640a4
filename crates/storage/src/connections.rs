//! Phone-number connections: which tenant a number belongs to, its token and its limits.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{ConnectionId, WorkspaceId};
use kernel::{PhoneNumberId, WabaId};
use uuid::Uuid;

use crate::StorageError;
use crate::schema::connections;

/// The unique index that refuses a second living connection for a number.
pub const ONE_PER_NUMBER: &str = "connections_by_phone_number";

/// A connection as stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = connections)]
pub struct Connection {
    id: Uuid,
    workspace_id: Uuid,
    /// What people call it.
    pub name: String,
    phone_number_id: String,
    waba_id: String,
    /// As shown to people, e.g. `+493055501200`.
    pub display_phone_number: Option<String>,
    /// Ciphertext of the access token.
    pub access_token_sealed: Vec<u8>,
    /// R1 for this number, if not the default.
    pub whatsapp_api_per_minute: Option<i32>,
    /// R4 for this number, if not the default.
    pub webhook_per_minute: Option<i32>,
    /// What happens to webhooks over R4: `slow_lane` or `refuse`.
    pub webhook_over_limit: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed; never the same twice.
    pub updated_at: DateTime<Utc>,
    /// When it ended.
    pub archived_at: Option<DateTime<Utc>>,
    /// Whether STOP ends campaigns to whoever writes it here.
    pub heeds_stop_words: bool,
}

impl Connection {
    /// Its identifier.
    pub fn id(&self) -> ConnectionId {
        ConnectionId::from_uuid(self.id)
    }

    /// The tenant.
    pub fn workspace_id(&self) -> WorkspaceId {
        WorkspaceId::from_uuid(self.workspace_id)
    }

    /// Meta's id of the number.
    pub fn phone_number_id(&self) -> PhoneNumberId {
        PhoneNumberId::new(self.phone_number_id.clone())
    }

    /// The WhatsApp Business Account.
    pub fn waba_id(&self) -> WabaId {
        WabaId::new(self.waba_id.clone())
    }
}

/// A connection to store.
#[derive(Clone, Debug)]
pub struct NewConnection {
    /// Its identifier.
    pub id: ConnectionId,
    /// The tenant.
    pub workspace_id: WorkspaceId,
    /// What people call it.
    pub name: String,
    /// Meta's id of the number.
    pub phone_number_id: PhoneNumberId,
    /// The WhatsApp Business Account.
    pub waba_id: WabaId,
    /// As shown to people.
    pub display_phone_number: Option<String>,
    /// Ciphertext of the access token.
    pub access_token_sealed: Vec<u8>,
    /// Its own limits.
    pub limits: Limits,
}

/// A connection's own limits; `None` means the installation's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// R1, requests to Meta per minute.
    pub whatsapp_api_per_minute: Option<i32>,
    /// R4, webhook events per minute.
    pub webhook_per_minute: Option<i32>,
    /// What happens over R4: `slow_lane` or `refuse`; `None` means `slow_lane`.
    pub webhook_over_limit: Option<String>,
}

/// Stores a connection.
///
/// # Errors
///
/// A unique violation of [`ONE_PER_NUMBER`] when the number is connected already, in whatever
/// workspace; otherwise whatever PostgreSQL reports.
pub async fn insert(
    tx: &mut AsyncPgConnection,
    new: NewConnection,
    now: DateTime<Utc>,
) -> Result<Connection, StorageError> {
    let over = new.limits.webhook_over_limit.unwrap_or_else(|| "slow_lane".to_owned());
    Ok(diesel::insert_into(connections::table)
        .values((
            connections::id.eq(new.id.as_uuid()),
            connections::workspace_id.eq(new.workspace_id.as_uuid()),
            connections::name.eq(new.name),
            connections::phone_number_id.eq(new.phone_number_id.into_string()),
            connections::waba_id.eq(new.waba_id.into_string()),
            connections::display_phone_number.eq(new.display_phone_number),
            connections::access_token_sealed.eq(new.access_token_sealed),
            connections::whatsapp_api_per_minute.eq(new.limits.whatsapp_api_per_minute),
            connections::webhook_per_minute.eq(new.limits.webhook_per_minute),
            connections::webhook_over_limit.eq(over),
            connections::created_at.eq(now),
            connections::updated_at.eq(now),
        ))
        .returning(Connection::as_returning())
        .get_result(tx)
        .await?)
}

/// What to change; `None` leaves a column as it is.
#[derive(Clone, Debug, Default, AsChangeset)]
#[diesel(table_name = connections)]
pub struct Changes {
    /// What people call it.
    pub name: Option<String>,
    /// Ciphertext of a new access token.
    pub access_token_sealed: Option<Vec<u8>>,
    /// R1; `Some(None)` returns to the default.
    pub whatsapp_api_per_minute: Option<Option<i32>>,
    /// R4; `Some(None)` returns to the default.
    pub webhook_per_minute: Option<Option<i32>>,
    /// What happens over R4.
    pub webhook_over_limit: Option<String>,
    /// Whether STOP ends campaigns to whoever writes it here.
    pub heeds_stop_words: Option<bool>,
    /// Ends the connection.
    pub archived_at: Option<DateTime<Utc>>,
}

/// Changes a living connection of a workspace; `None` when there is no such connection, or when it
/// was last changed at none of the times in `unchanged_since`.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn update(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: ConnectionId,
    changes: Changes,
    unchanged_since: Option<&[DateTime<Utc>]>,
    now: DateTime<Utc>,
) -> Result<Option<Connection>, StorageError> {
    let target = connections::table
        .filter(connections::workspace_id.eq(workspace.as_uuid()))
        .filter(connections::id.eq(id.as_uuid()))
        .filter(connections::archived_at.is_null())
        .filter(
            unchanged_since
                .is_none()
                .into_sql::<Bool>()
                .or(connections::updated_at.eq_any(unchanged_since.unwrap_or_default())),
        );
    // The time tells versions apart, so it moves on even when the clock does not.
    let updated_at = sql::<Timestamptz>("GREATEST(")
        .bind::<Timestamptz, _>(now)
        .sql(", connections.updated_at + interval '1 microsecond')");
    Ok(diesel::update(target)
        .set((changes, connections::updated_at.eq(updated_at)))
        .returning(Connection::as_returning())
        .get_result(tx)
        .await
        .optional()?)
}

/// Lists a workspace's living connections, newest first.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn list(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    before: Option<ConnectionId>,
    limit: i64,
) -> Result<Vec<Connection>, StorageError> {
    let mut query = connections::table
        .filter(connections::workspace_id.eq(workspace.as_uuid()))
        .filter(connections::archived_at.is_null())
        .order(connections::id.desc())
        .limit(limit)
        .select(Connection::as_select())
        .into_boxed();
    if let Some(before) = before {
        query = query.filter(connections::id.lt(before.as_uuid()));
    }
    Ok(query.load(conn).await?)
}

/// One living connection of a workspace.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn find(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: ConnectionId,
) -> Result<Option<Connection>, StorageError> {
    Ok(connections::table
        .filter(connections::workspace_id.eq(workspace.as_uuid()))
        .filter(connections::id.eq(id.as_uuid()))
        .filter(connections::archived_at.is_null())
        .select(Connection::as_select())
        .first(conn)
        .await
        .optional()?)
}

/// Living connections by Meta's number ids, whatever their tenant: the number decides the tenant.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn by_phone_number_ids(
    conn: &mut AsyncPgConnection,
    numbers: &[&str],
) -> Result<Vec<Connection>, StorageError> {
    Ok(connections::table
        .filter(connections::phone_number_id.eq_any(numbers))
        .filter(connections::archived_at.is_null())
        .select(Connection::as_select())
        .load(conn)
        .await?)
}

/// Every living connection of the installation, for caches.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn all(conn: &mut AsyncPgConnection) -> Result<Vec<Connection>, StorageError> {
    Ok(connections::table
        .filter(connections::archived_at.is_null())
        .select(Connection::as_select())
        .load(conn)
        .await?)
}

/// Living connections by id, whatever their tenant: for senders, whose ledger rows name them.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn by_ids(
    conn: &mut AsyncPgConnection,
    ids: &[ConnectionId],
) -> Result<Vec<Connection>, StorageError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    Ok(connections::table
        .filter(connections::id.eq_any(ids))
        .filter(connections::archived_at.is_null())
        .select(Connection::as_select())
        .load(conn)
        .await?)
}
