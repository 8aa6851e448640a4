//! What is refused, and how.

use coordination::LockName;
use serde_json::json;
use testkit::eventually;

use super::world::{MARKETER, World};

const FILE: &[u8] = b"phone\n+4915500000001\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_second_import_is_refused_and_names_the_first() {
    let world = World::new().await;
    let (process, other) = (world.process().await, world.process().await);
    let held = world.hold(&process, LockName::ContactImport(world.home)).await;
    let first = world.upload(&process, FILE, &json!({})).await;
    let second = world.upload_as(&other, MARKETER, FILE, &json!({})).await;
    assert_eq!(second.outcome(), (409, "already_running"));
    assert_eq!(second.body["detail"], "Contact import is already in progress");
    assert_eq!(
        format!("/v1/contact-imports/{}", second.body["existing"]["id"].as_str().unwrap()),
        first
    );
    held.release().await;
    assert_eq!(world.over(&process, &first).await["status"], "completed");
    assert_eq!(
        world.import(&other, "phone\n+4915500000002\n", &json!({})).await["status"],
        "completed"
    );
    world.end(vec![process, other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_imports_sent_at_once_to_four_processes_one_runs() {
    let world = World::new().await;
    let mut processes = Vec::new();
    for _ in 0..4 {
        processes.push(world.process().await);
    }
    let held = world.hold(&processes[0], LockName::ContactImport(world.home)).await;
    let options = json!({});
    let sent = processes.iter().map(|process| world.upload_as(process, MARKETER, FILE, &options));
    let answers = futures_util::future::join_all(sent).await;
    let mut outcomes: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, [202, 409, 409, 409]);
    held.release().await;
    let path = answers.iter().find(|answer| answer.status == 202).unwrap().header("location");
    world.over(&processes[0], path).await;
    assert_eq!(world.count("contact_imports").await, 1);
    eventually("no upload is left", async || world.files("imports").is_empty().then_some(())).await;
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_export_is_refused_and_names_the_first() {
    let world = World::new().await;
    let process = world.process().await;
    let held = world.hold(&process, LockName::ContactExport(world.home)).await;
    let first = world.post(&process, "/v1/contact-exports", &json!({})).await;
    assert_eq!(first.status, 202);
    let second = world.post(&process, "/v1/contact-exports", &json!({})).await;
    assert_eq!(second.outcome(), (409, "already_running"));
    assert_eq!(second.body["detail"], "Contact export is already in progress");
    assert_eq!(second.body["existing"]["id"], first.body["id"]);
    held.release().await;
    world.over(&process, first.header("location")).await;
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_can_be_cancelled_and_then_nothing_of_it_is_kept() {
    let world = World::new().await;
    let process = world.process().await;
    let held = world.hold(&process, LockName::ContactImport(world.home)).await;
    let path = world.upload(&process, FILE, &json!({})).await;
    for _ in 0..2 {
        let cancelled = world.post(&process, &format!("{path}/cancel"), &json!(null)).await;
        assert_eq!((cancelled.status, &cancelled.body["status"]), (200, &json!("cancelled")));
    }
    held.release().await;
    assert_eq!(
        world.import(&process, "phone\n+4915500000009\n", &json!({})).await["status"],
        "completed"
    );
    assert_eq!(world.count("contacts").await, 1);
    let done =
        world.db.text("SELECT id::text AS text FROM contact_imports WHERE status = 'completed'");
    let done = format!("/v1/contact-imports/imp_{}", done.await.unwrap().replace('-', ""));
    let late = world.post(&process, &format!("{done}/cancel"), &json!(null)).await;
    assert_eq!(late.outcome(), (409, "state_conflict"));
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_are_not_understood_are_pointed_at() {
    let world = World::new().await;
    let process = world.process().await;
    for (options, pointer) in [
        (json!({ "on_conflit": "skip" }), "/options/on_conflit"),
        (json!({ "default_country": "Atlantis" }), "/options/default_country"),
        (json!({ "mapping": { "phnoe": "x" } }), "/options/mapping/phnoe"),
    ] {
        let answer = world.upload_as(&process, MARKETER, FILE, &options).await;
        assert_eq!(answer.outcome(), (422, "validation_failed"), "{}", answer.text);
        assert_eq!(answer.body["errors"][0]["pointer"], pointer);
    }
    let large = vec![b'x'; 65 << 20];
    let answer = world.upload_as(&process, MARKETER, &large, &json!({})).await;
    assert_eq!(answer.outcome(), (413, "too_large"));
    let no_form = world.post(&process, "/v1/contact-imports", &json!({})).await;
    assert_eq!(no_form.outcome(), (400, "bad_request"));
    assert_eq!(world.count("contact_imports").await, 0);
    assert!(world.files("imports").is_empty());
    world.end(vec![process]).await;
}
