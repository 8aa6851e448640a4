//! Credentials of the HTTP API: only a hash of the secret is kept.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{ApiKeyId, WorkspaceId};
use uuid::Uuid;

use crate::StorageError;
use crate::schema::api_keys;

/// A key as stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = api_keys)]
pub struct ApiKey {
    workspace_id: Uuid,
    /// The role whose scopes it has.
    pub role: String,
    /// SHA-256 of the secret part.
    pub secret_sha256: Vec<u8>,
    /// After this it is refused.
    pub expires_at: Option<DateTime<Utc>>,
    /// Since then it is refused.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl ApiKey {
    /// The tenant it belongs to.
    pub fn workspace_id(&self) -> WorkspaceId {
        WorkspaceId::from_uuid(self.workspace_id)
    }
}

/// A key to store.
#[derive(Clone, Debug)]
pub struct NewApiKey<'a> {
    /// Its identifier: the public part of the key.
    pub id: ApiKeyId,
    /// The tenant.
    pub workspace_id: WorkspaceId,
    /// The role.
    pub role: &'a str,
    /// SHA-256 of the secret part.
    pub secret_sha256: [u8; 32],
    /// The secret's last four characters, to recognise it by.
    pub last4: &'a str,
}

/// Stores a key.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn insert(
    tx: &mut AsyncPgConnection,
    key: NewApiKey<'_>,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    diesel::insert_into(api_keys::table)
        .values((
            api_keys::id.eq(key.id.as_uuid()),
            api_keys::workspace_id.eq(key.workspace_id.as_uuid()),
            api_keys::role.eq(key.role),
            api_keys::secret_sha256.eq(key.secret_sha256.as_slice()),
            api_keys::last4.eq(key.last4),
            api_keys::created_at.eq(now),
        ))
        .execute(tx)
        .await?;
    Ok(())
}

/// Finds a key by its public part, whatever its tenant: it decides the tenant.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn find(
    conn: &mut AsyncPgConnection,
    id: ApiKeyId,
) -> Result<Option<ApiKey>, StorageError> {
    Ok(api_keys::table
        .filter(api_keys::id.eq(id.as_uuid()))
        .select(ApiKey::as_select())
        .first(conn)
        .await
        .optional()?)
}
