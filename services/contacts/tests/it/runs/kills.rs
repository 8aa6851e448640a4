//! D2, D3, D12, D13: processes die and locks are lost in the middle of a run.

use serde_json::json;
use testkit::eventually_within;

use super::world::{PATIENCE, World, many};

const PEOPLE: i64 = 60_000;

/// Waits until the row of a run says this.
async fn until(world: &World, table: &str, what: &str) {
    let sql = format!("{table} WHERE {what}");
    eventually_within(PATIENCE, what, async || (world.count(&sql).await > 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_import_leaves_nothing_behind_and_another_process_ends_it() {
    let world = World::new().await;
    // Killed while the file is read, and while contacts are written.
    for (round, moment) in
        ["status = 'running' AND accepted > 0", "status = 'writing'"].iter().enumerate()
    {
        world.execute("DELETE FROM contacts").await;
        let victim = world.process().await;
        let path = world.upload(&victim, many(60_000).as_bytes(), &json!({})).await;
        until(&world, "contact_imports", moment).await;
        drop(victim);
        let before = world.count("contacts").await;
        assert!(before == 0 || before == PEOPLE, "half an import is visible: {before}");
        let heir = world.process().await;
        let import = world.over(&heir, &path).await;
        assert_eq!(import["status"], "completed", "{import:#}");
        assert_eq!(world.count("contacts").await, PEOPLE);
        let ended = world.count("events WHERE type = 'import.completed'").await;
        assert_eq!(ended, i64::try_from(round).unwrap() + 1, "it ended once");
        drop(heir);
    }
    world.end(Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_lock_is_lost_takes_effect_once() {
    let world = World::new().await;
    let processes = vec![world.process().await, world.process().await, world.process().await];
    let path = world.upload(&processes[0], many(60_000).as_bytes(), &json!({})).await;
    until(&world, "contact_imports", "status = 'running' AND accepted > 0").await;
    // The lock runs out over and over, so others begin beside whoever is at it.
    let mut begun = 1;
    for _ in 0..5 {
        world.forget_locks().await;
        until(&world, "contact_imports", &format!("attempts > {begun} OR ended_at IS NOT NULL"))
            .await;
        begun =
            world.db.count("SELECT attempts::bigint AS count FROM contact_imports").await.unwrap();
    }
    let import = world.over(&processes[1], &path).await;
    assert_eq!(import["status"], "completed", "{import:#}");
    assert_eq!(import["counts"]["created"], PEOPLE);
    assert_eq!(world.count("contacts").await, PEOPLE);
    assert_eq!(world.count("events WHERE type = 'import.completed'").await, 1);
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_export_is_written_again_and_there_is_one_file() {
    let world = World::new().await;
    let victim = world.process().await;
    world.import(&victim, &many(60_000), &json!({})).await;
    let answer = world.post(&victim, "/v1/contact-exports", &json!({ "format": "xlsx" })).await;
    until(&world, "contact_exports", "status = 'running' AND total > 0").await;
    drop(victim);
    let heir = world.process().await;
    let export = world.over(&heir, answer.header("location")).await;
    assert_eq!((&export["status"], &export["file"]["rows"]), (&json!("completed"), &json!(PEOPLE)));
    assert_eq!(world.files("exports"), [export["file"]["name"].as_str().unwrap()]);
    assert_eq!(world.count("events WHERE type = 'export.completed'").await, 1);
    world.end(vec![heir]).await;
}
