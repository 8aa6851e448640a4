//! A connection that breaks is nobody's fault: what was to be done over it is done again.

use diesel::sql_types::Integer;
use diesel_async::RunQueryDsl;
use kernel::Retryable;
use storage::StorageError;
use testkit::TestDatabase;

#[derive(diesel::QueryableByName)]
struct Backend {
    #[diesel(sql_type = Integer)]
    pid: i32,
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_said_over_a_broken_connection_may_be_said_again() {
    let db = TestDatabase::create().await.unwrap();
    let mut conn = db.database().connection().await.unwrap();
    let asked = diesel::sql_query("SELECT pg_backend_pid() AS pid");
    let Backend { pid }: Backend = asked.get_result(&mut conn).await.unwrap();
    let end = format!("SELECT pg_terminate_backend({pid}, 5000)::int::bigint AS count");
    assert_eq!(db.count(&end).await.unwrap(), 1);
    // The first hears why the connection ends, the second that it has.
    for _ in 0..2 {
        let done = diesel::sql_query("SELECT 1").execute(&mut conn).await;
        let error = StorageError::from(done.unwrap_err());
        assert!(error.is_transient(), "{error:?}");
    }
}
