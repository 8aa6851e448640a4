//! A database of one's own for each test, and processes that keep their locks in it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use coordination::{Backend, Coordination, LockName, Locked, Options, Patience, PgConnect};
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::Pool;
use testkit::TestDatabase;
use tokio_util::task::TaskTracker;

/// Pools of connections to `database`.
pub(crate) fn pools(database: &TestDatabase) -> PgConnect {
    let url = database.url().to_owned();
    PgConnect::new(move || {
        let manager = AsyncDieselConnectionManager::<AsyncPgConnection>::new(url.clone());
        Pool::builder(manager).max_size(4).build()
    })
}

/// A process that needs no Redis.
pub(crate) async fn on_postgres(database: &TestDatabase) -> Coordination {
    let options = Options {
        postgres: Some(pools(database)),
        backend: Backend::Postgres,
        ..Options::new("", "sw")
    };
    Coordination::start(options, TaskTracker::new()).await.unwrap()
}

/// Ends every other session in the database, with what it was told to end them by.
pub(crate) async fn cut(database: &TestDatabase, which: &str) {
    let cut = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
         AND pid <> pg_backend_pid() AND {which}"
    );
    database.execute(&cut).await.unwrap();
}

/// Fails when two are inside at once.
#[derive(Default)]
pub(crate) struct Room(AtomicU32);

impl Room {
    pub(crate) async fn visit(&self, stay: Duration) {
        assert_eq!(self.0.fetch_add(1, Ordering::SeqCst), 0, "two holders");
        tokio::time::sleep(stay).await;
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Runs nothing under `name`.
pub(crate) async fn pass(here: &Coordination, name: LockName, patience: Patience) -> Locked<()> {
    here.locks().with_lock(name, patience, async || ()).await.unwrap()
}
