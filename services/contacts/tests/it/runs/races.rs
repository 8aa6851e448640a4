//! D6: an import, webhooks and programs are at the same people at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use diesel_async::{AsyncConnection, AsyncPgConnection};
use kernel::{Clock, Retryable, SystemClock, WaId};
use serde_json::json;
use storage::contacts::{self, Changes, Sighting};
use storage::{Database, StorageError};
use tokio::task::JoinSet;

use super::world::{World, many};

const PEOPLE: usize = 20_000;

fn number(n: usize) -> WaId {
    WaId::new(format!("49155{n:08}"))
}

/// Somebody writes to us, in batches of people that overlap and come in every order.
async fn webhooks(
    db: Database,
    workspace: kernel::ids::WorkspaceId,
    seed: usize,
    stop: Arc<AtomicBool>,
) -> (usize, Vec<StorageError>) {
    let (mut batches, mut errors) = (0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let sightings: Vec<Sighting> = (0..40)
            .map(|step| {
                let n = (seed * 7_919 + batches * 104_729 + step * 6_151) % PEOPLE;
                let name = Some(format!("Hook {seed} {batches}"));
                Sighting { workspace_id: workspace, wa_id: Some(number(n)), user_id: None, name }
            })
            .collect();
        let mut conn = db.connection().await.unwrap();
        let conn: &mut AsyncPgConnection = &mut conn;
        let stored = conn.transaction(async |tx| {
            contacts::resolve(tx, &sightings, SystemClock.now()).await.map(|_| ())
        });
        errors.extend(stored.await.err());
        batches += 1;
    }
    (batches, errors)
}

/// A program writes people down, one by one.
async fn programs(
    db: Database,
    workspace: kernel::ids::WorkspaceId,
    stop: Arc<AtomicBool>,
) -> (usize, Vec<StorageError>) {
    let (mut calls, mut errors) = (0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let mut conn = db.connection().await.unwrap();
        let changes = Changes { tags: Some(vec!["api".into()]), ..Changes::default() };
        let who = number(calls * 7_907 % PEOPLE);
        let kept = contacts::keep(&mut conn, workspace, who, changes, SystemClock.now()).await;
        errors.extend(kept.err());
        calls += 1;
    }
    (calls, errors)
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_webhooks_and_programs_make_each_person_once_and_never_deadlock() {
    let world = World::new().await;
    let process = world.process().await;
    let stop = Arc::new(AtomicBool::new(false));
    let db = world.db.database();
    let mut hooks = JoinSet::new();
    for seed in 1..4 {
        hooks.spawn(webhooks(db.clone(), world.home, seed, Arc::clone(&stop)));
    }
    let mut program = JoinSet::new();
    program.spawn(programs(db.clone(), world.home, Arc::clone(&stop)));
    let mut made = 0;
    for round in 0..3 {
        let import = world.import(&process, &many(PEOPLE), &json!({ "tags": ["imported"] })).await;
        assert_eq!(import["status"], "completed", "{round} {import:#}");
        made += import["counts"]["created"].as_i64().unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let mut errors = Vec::new();
    for (batches, failed) in hooks.join_all().await {
        assert!(batches > 3, "webhooks stood still");
        errors.extend(failed);
    }
    for (calls, failed) in program.join_all().await {
        assert!(calls > 3, "programs stood still");
        errors.extend(failed);
    }
    // Whoever waited too long comes again; a deadlock would be our fault.
    let deadlocks =
        errors.iter().filter(|error| kernel::chain(*error).to_string().contains("deadlock"));
    assert_eq!(deadlocks.count(), 0, "{errors:?}");
    assert!(errors.iter().all(Retryable::is_transient), "{errors:?}");
    let people = i64::try_from(PEOPLE).unwrap();
    assert_eq!(world.count("contacts").await, people);
    assert_eq!(
        world.count("contacts WHERE source = 'import'").await,
        made,
        "the first one's source stays"
    );
    assert!(world.count("contacts WHERE 'imported' = ANY(tags)").await > 0);
    world.end(vec![process]).await;
}
