//! The schema's history goes up, down and up again, and many processes may start at once.

use storage::migrations;
use testkit::TestDatabase;

#[tokio::test(flavor = "multi_thread")]
async fn four_processes_may_migrate_at_once() {
    let db = TestDatabase::create_empty().await.unwrap();
    let runs = (0..4).map(|_| {
        let database = db.database().clone();
        tokio::task::spawn(async move { migrations::up(&database).await })
    });
    let mut applied = 0;
    for run in runs.collect::<Vec<_>>() {
        applied += run.await.unwrap().unwrap().len();
    }
    let known = migrations::status(db.database()).await.unwrap();
    assert_eq!(applied, known.len(), "each migration was applied by exactly one");
    assert!(known.iter().all(|migration| migration.is_applied));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_migration_goes_down_and_up_again() {
    let db = TestDatabase::create().await.unwrap();
    let before = tables(&db).await;
    migrations::down_all(db.database()).await.unwrap();
    let left = "SELECT count(*) AS count FROM information_schema.tables \
                WHERE table_schema = 'public' AND table_name <> '__diesel_schema_migrations'";
    assert_eq!(db.count(left).await.unwrap(), 0, "a down.sql left a table behind");
    migrations::up(db.database()).await.unwrap();
    assert_eq!(tables(&db).await, before);
}

async fn tables(db: &TestDatabase) -> i64 {
    db.count(
        "SELECT count(*) AS count FROM information_schema.columns WHERE table_schema = 'public'",
    )
    .await
    .unwrap()
}
