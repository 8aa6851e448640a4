//! Syncs during which something breaks.

use std::time::Duration;

use graph_simulator::{Answer, Faults, TemplateRule};
use serde_json::{Value, json};
use testkit::{eventually_within, unique_name};

use super::world::{PATIENCE, WABA, World, template, templates};

fn script(rules: Vec<TemplateRule>) -> Faults {
    Faults { templates: rules, ..Faults::default() }
}

/// Other templates than [`templates`], on as many pages.
fn others(count: usize) -> Vec<Value> {
    (1..=count)
        .map(|number| {
            let mut other = template(50_000 + number, "PENDING");
            other["name"] = format!("other_{number}").into();
            other
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn meta_failing_on_page_7_of_12_leaves_the_old_state() {
    let world = World::new().await;
    let process = world.process().await;
    world.meta.set_templates(WABA, templates(1_150));
    world.sync().await;
    let before = world.state().await;
    world.meta.set_templates(WABA, others(1_150));
    world.meta.set_faults(script(vec![TemplateRule::graph(100).after(6)]));
    let path = world.begin().await;
    let sync = world.ended(&path).await;
    assert_eq!((&sync["status"], &sync["pages"]), (&json!("failed"), &json!(6)));
    assert_eq!(sync["error"]["code"], "meta_refused");
    let text = sync["error"]["text"].as_str().unwrap();
    assert!(text.contains("(100)") && text.contains("correct the request"), "{text}");
    assert_eq!(world.state().await, before, "not one template changed");
    assert_eq!(world.count("templates").await, 1_150);
    assert_eq!(world.count("template_sync_items").await, 0);

    world.meta.set_faults(Faults::default());
    let sync = world.sync().await;
    assert_eq!([&sync["added"], &sync["removed"]], [1_150, 1_150]);
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_waited_for_and_the_sync_goes_on_where_it_was() {
    let world = World::new().await;
    let process = world.process().await;
    world.meta.set_templates(WABA, templates(1_150));
    let page = |code| TemplateRule::graph(code).after(6).times(1);
    let asked = Answer::Graph { code: 80_008, http_status: None, retry_after: Some(1) };
    world.meta.set_faults(script(vec![
        page(131_000),
        TemplateRule::new(Answer::Html { http_status: 502 }).after(7).times(1),
        TemplateRule::new(Answer::Unreadable).after(8).times(1),
        TemplateRule::new(asked).after(9).times(1),
    ]));
    let path = world.begin().await;
    let waits = eventually_within(PATIENCE, "it waits", async || {
        let sync = world.get(&path).await.body;
        sync["waits_for"].as_str().map(str::to_owned)
    })
    .await;
    assert!(["meta", "meta_limit"].contains(&waits.as_str()), "{waits}");
    let sync = world.ended(&path).await;
    assert_eq!((&sync["status"], &sync["added"]), (&json!("completed"), &json!(1_150)));
    assert_eq!((&sync["pages"], &sync["calls"]), (&json!(12), &json!(16)));
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_cursor_begins_again_and_deletes_nothing() {
    let world = World::new().await;
    let process = world.process().await;
    world.meta.set_templates(WABA, templates(450));
    world.sync().await;
    world.meta.set_faults(script(vec![TemplateRule::graph(131_059).after(3).times(1)]));
    let sync = world.sync().await;
    assert_eq!((&sync["pages"], &sync["calls"]), (&json!(5), &json!(9)));
    assert_eq!([&sync["added"], &sync["changed"], &sync["removed"]], [0, 0, 0]);
    assert_eq!(world.count("templates WHERE deleted_at IS NULL").await, 450);
    world.meta.set_faults(script(vec![TemplateRule::graph(131_059).after(1)]));
    let path = world.begin().await;
    let sync = world.ended(&path).await;
    assert_eq!(sync["status"], "failed", "one that always expires is given up");
    assert_eq!(world.count("templates WHERE deleted_at IS NULL").await, 450);
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_become_smaller_when_meta_asks_for_it() {
    let world = World::new().await;
    let process = world.process().await;
    world.meta.set_templates(WABA, templates(300));
    world.meta.set_faults(script(vec![TemplateRule::graph(1).above(25).after(2)]));
    let sync = world.sync().await;
    assert_eq!(sync["added"], 300);
    assert_eq!(sync["pages"], 2 + 4, "two pages of 100, then four of 25");
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_valid_ends_the_sync_and_says_what_to_do() {
    let world = World::new().await;
    let process = world.process().await;
    world.meta.set_faults(script(vec![TemplateRule::graph(190)]));
    let path = world.begin().await;
    let sync = world.ended(&path).await;
    assert_eq!((&sync["status"], &sync["calls"]), (&json!("failed"), &json!(1)));
    assert_eq!(sync["error"]["code"], "auth");
    assert!(sync["error"]["text"].as_str().unwrap().contains("renew the access token"));
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_whose_process_dies_is_gone_on_with_where_it_was() {
    let world = World::new().await;
    world.meta.set_templates(WABA, templates(1_150));
    world.meta.set_faults(script(vec![TemplateRule::slow(150)]));
    let first = world.process().await;
    let path = world.begin().await;
    eventually_within(PATIENCE, "some pages are there", async || {
        let pages = world.get(&path).await.body["pages"].as_i64()?;
        (pages >= 3).then_some(())
    })
    .await;
    drop(first);
    // What the dead one had promised to look at is due at once, as if its minute had passed.
    world.execute("UPDATE template_syncs SET next_look_at = now()").await;
    let second = world.process().await;
    let sync = world.ended(&path).await;
    assert_eq!((&sync["status"], &sync["added"]), (&json!("completed"), &json!(1_150)));
    assert_eq!(sync["pages"], 12);
    let asked = world.meta.stats().template_calls;
    assert!(asked <= 14, "it did not begin again: {asked} calls");
    world.end(vec![second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_both_believe_to_have_the_lock_do_no_harm() {
    let world = World::new().await;
    world.meta.set_templates(WABA, templates(1_150));
    world.sync_with(vec![]).await;
    let mut changed = templates(1_150);
    changed.truncate(1_100);
    changed[5]["status"] = "PAUSED".into();
    world.meta.set_templates(WABA, changed);
    world.meta.set_faults(script(vec![TemplateRule::slow(100)]));
    // Three namespaces: as if Redis had lost the lock again and again.
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(world.process_in(&unique_name()).await);
    }
    let path = world.begin().await;
    let poke = "UPDATE template_syncs SET next_look_at = now() WHERE id IN (SELECT id FROM \
                template_syncs WHERE status = 'running' FOR UPDATE SKIP LOCKED)";
    let sync = eventually_within(PATIENCE, "the sync is over", async || {
        world.execute(poke).await;
        let answer = world.get(&path).await;
        (answer.body["status"] != "running").then_some(answer.body)
    })
    .await;
    assert_eq!(sync["status"], "completed", "{sync}");
    assert_eq!([&sync["added"], &sync["changed"], &sync["removed"]], [0, 1, 50]);
    assert_eq!(sync["pages"], 11);
    let asked = world.meta.stats().template_calls;
    assert!(asked > 12 + 11, "they did collide: {asked} calls");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.count("templates WHERE deleted_at IS NOT NULL").await, 50);
    world.end(processes).await;
}

impl World {
    /// Syncs once by a process of its own.
    async fn sync_with(&self, rules: Vec<TemplateRule>) {
        self.meta.set_faults(script(rules));
        let process = self.process().await;
        self.sync().await;
        drop(process);
    }
}
