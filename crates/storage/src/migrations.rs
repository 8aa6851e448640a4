//! The schema's history: applied under an advisory lock, so that many processes may start at once.

use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use thiserror::Error;

use crate::{Database, Pooled, StorageError};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// "switchyar" as a number: the advisory lock that serialises migrations (diesel #3707).
const LOCK: i64 = 0x7377_6974_6368_7961;

/// A migration could not be applied; the ones before it are.
#[derive(Debug, Error)]
pub enum MigrationError {
    /// The database could not be asked.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A migration's SQL failed, or the recorded history is not ours.
    #[error("migration failed")]
    Migration(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Whether a migration has been applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// The migration's name.
    pub name: String,
    /// Whether it is applied.
    pub is_applied: bool,
}

/// Applies what is missing; returns the names of what it applied.
///
/// Needs a multi-threaded runtime.
///
/// # Errors
///
/// [`MigrationError`]; each migration is its own transaction, so nothing is left half done.
pub async fn up(db: &Database) -> Result<Vec<String>, MigrationError> {
    // The session leaves the pool: it has other time-outs, and its end frees the lock.
    let mut conn = Pooled::take(db.connection().await?);
    let unlimited = "SET statement_timeout = 0; SET lock_timeout = 0;";
    conn.batch_execute(unlimited).await.map_err(StorageError::from)?;
    lock(&mut conn).await?;
    let mut harness = AsyncMigrationHarness::new(conn);
    let applied = harness.run_pending_migrations(MIGRATIONS).map_err(MigrationError::Migration)?;
    Ok(applied.iter().map(ToString::to_string).collect())
}

/// Takes every migration back, newest first: for tests of `down.sql`, and for nothing else.
///
/// # Errors
///
/// [`MigrationError`] when one cannot be taken back.
pub async fn down_all(db: &Database) -> Result<(), MigrationError> {
    let mut harness = AsyncMigrationHarness::new(Pooled::take(db.connection().await?));
    harness.revert_all_migrations(MIGRATIONS).map_err(MigrationError::Migration)?;
    Ok(())
}

async fn lock(conn: &mut AsyncPgConnection) -> Result<(), StorageError> {
    diesel::sql_query("SELECT pg_advisory_lock($1)")
        .bind::<diesel::sql_types::BigInt, _>(LOCK)
        .execute(conn)
        .await?;
    Ok(())
}

/// Every migration this program knows, in order.
///
/// # Errors
///
/// [`MigrationError`] when the database cannot be asked.
pub async fn status(db: &Database) -> Result<Vec<MigrationStatus>, MigrationError> {
    let mut harness = AsyncMigrationHarness::new(Pooled::take(db.connection().await?));
    let applied: Vec<String> = harness
        .applied_migrations()
        .map_err(MigrationError::Migration)?
        .iter()
        .map(ToString::to_string)
        .collect();
    let known: Vec<Box<dyn Migration<Pg>>> =
        MIGRATIONS.migrations().map_err(MigrationError::Migration)?;
    let mut all: Vec<MigrationStatus> = known
        .iter()
        .map(|migration| MigrationStatus {
            name: migration.name().to_string(),
            is_applied: applied.contains(&migration.name().version().to_string()),
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}
