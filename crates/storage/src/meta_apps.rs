//! Meta apps registered by tenants: whose secrets sign which webhooks.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{MetaAppId, WorkspaceId};
use uuid::Uuid;

use crate::StorageError;
use crate::schema::{meta_app_secrets, meta_apps};

/// The unique constraint on the slug.
pub const ONE_PER_SLUG: &str = "meta_apps_slug_key";

/// An app with its ciphertexts.
#[derive(Clone, Debug)]
pub struct MetaApp {
    /// Its identifier.
    pub id: MetaAppId,
    /// Its owner, who may speak only for its own connections.
    pub workspace_id: WorkspaceId,
    /// The last part of its callback path.
    pub slug: String,
    /// Ciphertext of the token that Meta repeats in the handshake.
    pub verify_token_sealed: Vec<u8>,
    /// Ciphertexts of the secrets in force.
    pub secrets_sealed: Vec<Vec<u8>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Stores an app with its first secret.
///
/// # Errors
///
/// A unique violation of [`ONE_PER_SLUG`] when the slug is taken; otherwise whatever PostgreSQL
/// reports.
pub async fn insert(
    tx: &mut AsyncPgConnection,
    app: &MetaApp,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    diesel::insert_into(meta_apps::table)
        .values((
            meta_apps::id.eq(app.id.as_uuid()),
            meta_apps::workspace_id.eq(app.workspace_id.as_uuid()),
            meta_apps::slug.eq(&app.slug),
            meta_apps::verify_token_sealed.eq(&app.verify_token_sealed),
            meta_apps::created_at.eq(now),
            meta_apps::updated_at.eq(now),
        ))
        .execute(tx)
        .await?;
    for secret in &app.secrets_sealed {
        insert_secret(tx, app.id, secret, now).await?;
    }
    Ok(())
}

/// Adds a secret and lets the older ones retire at `retire_others_at` at the latest; `false` when the workspace has
/// no such app.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn rotate_secret(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: MetaAppId,
    secret_sealed: &[u8],
    retire_others_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let app = meta_apps::table
        .filter(meta_apps::workspace_id.eq(workspace.as_uuid()))
        .filter(meta_apps::id.eq(id.as_uuid()));
    let touched = diesel::update(app).set(meta_apps::updated_at.eq(now)).execute(tx).await?;
    if touched == 0 {
        return Ok(false);
    }
    let others = meta_app_secrets::table.filter(meta_app_secrets::app_id.eq(id.as_uuid())).filter(
        meta_app_secrets::retires_at
            .is_null()
            .or(meta_app_secrets::retires_at.gt(retire_others_at)),
    );
    diesel::update(others)
        .set(meta_app_secrets::retires_at.eq(retire_others_at))
        .execute(tx)
        .await?;
    insert_secret(tx, id, secret_sealed, now).await?;
    Ok(true)
}

async fn insert_secret(
    tx: &mut AsyncPgConnection,
    app: MetaAppId,
    secret_sealed: &[u8],
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    diesel::insert_into(meta_app_secrets::table)
        .values((
            meta_app_secrets::id.eq(Uuid::now_v7()),
            meta_app_secrets::app_id.eq(app.as_uuid()),
            meta_app_secrets::secret_sealed.eq(secret_sealed),
            meta_app_secrets::created_at.eq(now),
        ))
        .execute(tx)
        .await?;
    Ok(())
}

/// Every app of the installation with the secrets in force at `now`, for the ingest's cache.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn all(
    conn: &mut AsyncPgConnection,
    now: DateTime<Utc>,
) -> Result<Vec<MetaApp>, StorageError> {
    load(conn, None, now).await
}

/// A workspace's apps, newest first.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn list(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    now: DateTime<Utc>,
) -> Result<Vec<MetaApp>, StorageError> {
    load(conn, Some(workspace), now).await
}

async fn load(
    conn: &mut AsyncPgConnection,
    workspace: Option<WorkspaceId>,
    now: DateTime<Utc>,
) -> Result<Vec<MetaApp>, StorageError> {
    type Row = (Uuid, Uuid, String, Vec<u8>, DateTime<Utc>);
    let mut query = meta_apps::table
        .order(meta_apps::id.desc())
        .select((
            meta_apps::id,
            meta_apps::workspace_id,
            meta_apps::slug,
            meta_apps::verify_token_sealed,
            meta_apps::created_at,
        ))
        .into_boxed();
    if let Some(workspace) = workspace {
        query = query.filter(meta_apps::workspace_id.eq(workspace.as_uuid()));
    }
    let rows: Vec<Row> = query.load(conn).await?;
    let secrets: Vec<(Uuid, Vec<u8>)> = meta_app_secrets::table
        .filter(meta_app_secrets::app_id.eq_any(rows.iter().map(|row| row.0)))
        .filter(meta_app_secrets::retires_at.is_null().or(meta_app_secrets::retires_at.gt(now)))
        .select((meta_app_secrets::app_id, meta_app_secrets::secret_sealed))
        .load(conn)
        .await?;
    Ok(rows
        .into_iter()
        .map(|(id, workspace, slug, verify_token_sealed, created_at)| MetaApp {
            id: MetaAppId::from_uuid(id),
            workspace_id: WorkspaceId::from_uuid(workspace),
            slug,
            verify_token_sealed,
            secrets_sealed: secrets
                .iter()
                .filter(|(app, _)| *app == id)
                .map(|(_, sealed)| sealed.clone())
                .collect(),
            created_at,
        })
        .collect())
}
