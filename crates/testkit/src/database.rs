//! A migrated database for one test, dropped with it.

use std::time::Duration;

use anyhow::Context;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::RunQueryDsl;
use storage::{Database, DatabaseOptions, Pooled, migrations};

use crate::{Servers, unique_name};

/// A database of one's own, with the current schema.
pub struct TestDatabase {
    name: String,
    admin_url: String,
    url: String,
    database: Database,
}

impl TestDatabase {
    /// Creates it. Needs a multi-threaded runtime.
    ///
    /// # Errors
    ///
    /// When PostgreSQL cannot be reached or refuses.
    pub async fn create() -> anyhow::Result<Self> {
        Self::create_on(&Servers::from_env().database_url).await
    }

    /// Creates it on the server at `admin_url`.
    ///
    /// # Errors
    ///
    /// When PostgreSQL cannot be reached or refuses.
    pub async fn create_on(admin_url: &str) -> anyhow::Result<Self> {
        let this = Self::create_empty_on(admin_url).await?;
        migrations::up(&this.database).await.context("migrating a test database")?;
        Ok(this)
    }

    /// Creates it without any table.
    ///
    /// # Errors
    ///
    /// When PostgreSQL cannot be reached or refuses.
    pub async fn create_empty() -> anyhow::Result<Self> {
        Self::create_empty_on(&Servers::from_env().database_url).await
    }

    async fn create_empty_on(admin_url: &str) -> anyhow::Result<Self> {
        let admin_url = admin_url.to_owned();
        let name = unique_name();
        let mut admin = session(&admin_url).await?;
        execute(&mut admin, &format!("CREATE DATABASE {name}")).await?;
        let url = with_database(&admin_url, &name);
        let database = open(&url)?;
        Ok(Self { name, admin_url, url, database })
    }

    /// Its pool.
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Counts what `sql` selects: a query of one `bigint`.
    ///
    /// # Errors
    ///
    /// Whatever PostgreSQL reports.
    pub async fn count(&self, sql: &str) -> anyhow::Result<i64> {
        #[derive(diesel::QueryableByName)]
        struct Count {
            #[diesel(sql_type = BigInt)]
            count: i64,
        }
        let mut conn = self.database.connection().await?;
        let row: Count = diesel::sql_query(sql).get_result(&mut conn).await?;
        Ok(row.count)
    }

    /// Reads what `sql` selects: a query of one `text` called `text`; empty for null.
    ///
    /// # Errors
    ///
    /// Whatever PostgreSQL reports.
    pub async fn text(&self, sql: &str) -> anyhow::Result<String> {
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = Nullable<Text>)]
            text: Option<String>,
        }
        let mut conn = self.database.connection().await?;
        let row: Row = diesel::sql_query(sql).get_result(&mut conn).await?;
        Ok(row.text.unwrap_or_default())
    }

    /// Runs one statement.
    ///
    /// # Errors
    ///
    /// Whatever PostgreSQL reports.
    pub async fn execute(&self, sql: &str) -> anyhow::Result<()> {
        execute(&mut self.database.connection().await?, sql).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (url, name) = (self.admin_url.clone(), self.name.clone());
        // The test's runtime may be ending: use one of our own.
        let cleaner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut admin = session(&url).await?;
                execute(&mut admin, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
            })
        });
        // A database that stays behind harms nobody; the test's own result matters more.
        drop(cleaner.join());
    }
}

fn open(url: &str) -> anyhow::Result<Database> {
    let options =
        DatabaseOptions { url: url.to_owned(), pool_size: 6, wait: Duration::from_secs(10) };
    Ok(Database::new(options)?)
}

async fn session(url: &str) -> anyhow::Result<Pooled> {
    open(url)?.connection().await.with_context(|| {
        "PostgreSQL does not answer: start the servers with `make up`, or set SWITCHYARD__DATABASE__URL"
    })
}

async fn execute(conn: &mut Pooled, sql: &str) -> anyhow::Result<()> {
    diesel::sql_query(sql).execute(conn).await.with_context(|| sql.to_owned())?;
    Ok(())
}

/// `url` with another database.
fn with_database(url: &str, name: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, None), |(base, q)| (base, Some(q)));
    let after_scheme = base.find("://").map_or(0, |at| at + 3);
    let server = base
        .get(after_scheme..)
        .and_then(|rest| rest.find('/'))
        .and_then(|slash| base.get(..after_scheme + slash))
        .unwrap_or(base);
    match query {
        Some(query) => format!("{server}/{name}?{query}"),
        None => format!("{server}/{name}"),
    }
}
