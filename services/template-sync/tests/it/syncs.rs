//! Syncs that go well.

use std::time::Instant;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::world::{FAST, MARKETER, WABA, World, connect, template, templates};
use actix_web::http::Method;
use template_sync::Options;

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_brings_what_meta_has_and_says_what_changed() {
    let world = World::new().await;
    let process = world.process().await;
    world.meta.set_templates(WABA, templates(250));
    let first = world.sync().await;
    assert_eq!([&first["added"], &first["changed"], &first["removed"]], [250, 0, 0]);
    assert_eq!(
        (&first["pages"], &first["calls"], &first["trigger"]),
        (&json!(3), &json!(3), &json!("request"))
    );
    assert!(first["requested_by"].as_str().unwrap().starts_with("key_"));
    assert_eq!(first["progress"]["done"], 250);

    let mut changed = templates(250);
    changed.remove(0);
    changed[0]["status"] = "PAUSED".into();
    changed.push(template(999, "PENDING"));
    world.meta.set_templates(WABA, changed);
    let second = world.sync().await;
    assert_eq!([&second["added"], &second["changed"], &second["removed"]], [1, 1, 1]);
    assert_eq!(world.status("template_2").await, "PAUSED");
    assert_eq!(world.count("templates WHERE deleted_at IS NOT NULL").await, 1);
    let third = world.sync().await;
    assert_eq!([&third["added"], &third["changed"], &third["removed"]], [0, 0, 0]);

    // The address of the next page holds the token: it is kept nowhere.
    let kept = "template_syncs t WHERE t::text LIKE '%SECRET%'";
    assert_eq!(world.count(kept).await, 0);
    assert_eq!(world.count("template_sync_items").await, 0, "what pages said is gone");
    let history = world.get("/v1/template-syncs").await;
    assert_eq!(history.data().len(), 3);
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn six_thousand_templates_are_synced_in_one_go() {
    let world = World::new().await;
    let process = world.process().await;
    world.meta.set_templates(WABA, templates(6_000));
    let began = Instant::now();
    let sync = world.sync().await;
    println!(
        "6,000 templates: {:?} in all, {} ms as the sync says",
        began.elapsed(),
        sync["duration_ms"]
    );
    assert_eq!((&sync["added"], &sync["pages"]), (&json!(6_000), &json!(60)));
    assert_eq!(world.count("templates").await, 6_000);
    let again = Instant::now();
    // The minute's calls are used up: a second full sync would have to wait.
    world.execute("UPDATE templates SET seen_at = seen_at").await;
    println!("6,000 rows written again: {:?}", again.elapsed());
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn components_nobody_knows_survive_byte_for_byte() {
    let world = World::new().await;
    let process = world.process().await;
    // In an order that jsonb would change, with numbers that it would rewrite.
    let odd = json!([{ "aaaa": 1.50, "b": { "zz": [1e30, null, "é\u{fffd}"], "y": {} },
        "type": "HOLOGRAM_2027" }]);
    let mut one = template(1, "APPROVED");
    one["components"] = odd.clone();
    world.meta.set_templates(WABA, vec![one]);
    world.sync().await;
    let sent = odd.to_string();
    let stored = world.text("SELECT components::text FROM templates").await;
    assert_eq!(stored, sent);
    let id = world.named("template_1").await;
    let shown = world.get(&format!("/v1/templates/{id}")).await;
    assert!(shown.text.contains(&format!("\"components\":{sent}")), "{}", shown.text);
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_requests_at_once_over_four_processes_one_runs_and_the_others_are_told_which() {
    let world = World::new().await;
    world.meta.set_templates(WABA, templates(1_150));
    let mut processes = Vec::new();
    for _ in 0..4 {
        processes.push(world.process().await);
    }
    let body = || json!({ "connection": world.connection });
    let asked = (0..8).map(|_| world.call(MARKETER, Method::POST, "/v1/template-syncs", body()));
    let answers = join_all(asked).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|a| a.status == 202);
    assert_eq!((won.len(), lost.len()), (1, 7));
    for answer in &lost {
        assert_eq!(answer.outcome(), (409, "already_running"));
        assert_eq!(answer.body["detail"], "Template sync is already in progress");
        assert_eq!(answer.body["existing"]["id"], won[0].body["id"]);
    }
    let sync = world.ended(won[0].header("location")).await;
    assert_eq!((&sync["status"], &sync["added"]), (&json!("completed"), &json!(1_150)));
    assert_eq!(sync["calls"], 12, "no page was asked for twice");
    assert_eq!(world.meta.stats().template_calls, 12);
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_its_limit_a_connection_is_told_when_to_ask_again() {
    let world = World::with(Options { sync_per_minute: 3, ..FAST }).await;
    let process = world.process().await;
    world.meta.set_templates(WABA, templates(5));
    for _ in 0..3 {
        world.sync().await;
    }
    let answer = world.post("/v1/template-syncs", json!({ "connection": world.connection })).await;
    assert_eq!(answer.outcome(), (429, "quota_exceeded"));
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(world.count("template_syncs").await, 3, "nothing was begun");
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_one_account_share_its_templates_and_its_limit() {
    let world = World::with(Options { sync_per_minute: 60, ..FAST }).await;
    // Three connections know the account: 80 calls a minute are 26 for each.
    let sibling = connect(world.db.database(), world.workspace).await;
    let process = world.process().await;
    world.meta.set_templates(WABA, templates(10));
    world.sync().await;
    let answer = world.post("/v1/template-syncs", json!({ "connection": sibling })).await;
    assert_eq!(answer.status, 202);
    let sync = world.ended(answer.header("location")).await;
    assert_eq!([&sync["added"], &sync["changed"], &sync["removed"]], [0, 0, 0]);
    assert_eq!(world.count("templates").await, 10, "one set for the account");
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_paged() {
    let world = World::new().await;
    let process = world.process().await;
    let mut all = templates(30);
    all[3]["status"] = "REJECTED".into();
    all[3]["rejected_reason"] = "SCAM".into();
    all[4]["language"] = "pt-BR".into();
    world.meta.set_templates(WABA, all);
    world.sync().await;
    let rejected = world.get("/v1/templates?status=REJECTED").await;
    assert_eq!(rejected.data().len(), 1);
    assert_eq!(rejected.data()[0]["rejected_reason"], "SCAM");
    assert_eq!(world.get("/v1/templates?language=pt_BR").await.data().len(), 1);
    assert_eq!(world.get("/v1/templates?q=template_2").await.data().len(), 11);
    let elsewhere = format!("/v1/templates?connection={}", world.foreign_connection);
    assert_eq!(world.get(&elsewhere).await.data().len(), 0);
    let mut seen: Vec<Value> = Vec::new();
    let mut path = "/v1/templates?limit=7".to_owned();
    loop {
        let page = world.get(&path).await;
        seen.extend(page.data().iter().map(|template| template["id"].clone()));
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        path = format!("/v1/templates?limit=7&cursor={cursor}");
    }
    assert_eq!(seen.len(), 30);
    seen.dedup();
    assert_eq!(seen.len(), 30, "no template is on two pages");
    world.end(vec![process]).await;
}
