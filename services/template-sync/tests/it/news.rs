//! Webhooks about templates.

use chrono::{DateTime, TimeDelta, Utc};
use graph_simulator::{Faults, TemplateRule};
use kernel::ids::WorkspaceId;
use serde_json::{Value, json};
use storage::templates::News;
use storage::webhook_records::{self, WebhookRecord};
use testkit::eventually_within;
use uuid::Uuid;

use super::world::{PATIENCE, WABA, World, now, templates};

impl World {
    /// A webhook arrived, as service conversations keeps it.
    pub(crate) async fn webhook(
        &self,
        field: &str,
        value: Value,
        at: DateTime<Utc>,
        app: Option<WorkspaceId>,
    ) {
        let event_id = Uuid::now_v7();
        let item = json!({ "field": field, "value": value }).to_string().into_bytes();
        let record = WebhookRecord {
            event_id,
            workspace_id: None,
            connection_id: None,
            field: field.to_owned(),
            waba_id: WABA.to_owned(),
            phone_number_id: String::new(),
            item,
            happened_at: DateTime::from_timestamp(at.timestamp(), 0),
        };
        let news = News { event_id, waba_id: WABA.to_owned(), app_workspace_id: app };
        let mut conn = self.db.database().connection().await.unwrap();
        webhook_records::insert(&mut conn, vec![record], now()).await.unwrap();
        storage::templates::report(&mut conn, &[news]).await.unwrap();
    }

    /// Meta decided about template number `number`.
    pub(crate) async fn decided(&self, number: u64, event: &str, at: DateTime<Utc>) {
        let value = json!({
            "event": event,
            "message_template_id": 1_203_948_857_600_000_u64 + number,
            "message_template_name": format!("template_{number}"),
            "message_template_language": "en-US",
            "reason": Value::Null,
        });
        self.webhook("message_template_status_update", value, at, None).await;
    }

    /// Waits until every webhook has been acted upon.
    pub(crate) async fn until_heard(&self) {
        eventually_within(PATIENCE, "news are taken in", async || {
            (self.count("template_news").await == 0).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn news_change_what_they_tell_of_and_older_ones_nothing() {
    let world = World::new().await;
    let processes = vec![world.process().await, world.process().await];
    world.meta.set_templates(WABA, templates(3));
    world.sync().await;
    world.age().await;
    let start = now() - TimeDelta::seconds(5);
    // The pause came later and arrived first.
    world.decided(1, "PAUSED", start).await;
    world.until_heard().await;
    assert_eq!(world.status("template_1").await, "PAUSED");
    world.decided(1, "APPROVED", start - TimeDelta::minutes(30)).await;
    let id = 1_203_948_857_600_001_u64;
    let quality = json!({ "message_template_id": id, "new_quality_score": "RED" });
    world.webhook("message_template_quality_update", quality, start, None).await;
    let category = json!({ "message_template_id": id, "new_category": "UTILITY",
        "correct_category": "MARKETING", "category_update_timestamp": 1_999_999_999 });
    world.webhook("template_category_update", category, start, None).await;
    world.until_heard().await;
    let template = world.named("template_1").await;
    let shown = world.get(&format!("/v1/templates/{template}")).await.body;
    assert_eq!((&shown["status"], &shown["quality"]), (&json!("PAUSED"), &json!("RED")));
    assert_eq!(
        (&shown["category"], &shown["correct_category"]),
        (&json!("UTILITY"), &json!("MARKETING"))
    );
    assert!(shown["category_changes_at"].as_str().unwrap().starts_with("2033-"));
    let told = "events WHERE type IN ('template.status_changed', 'template.quality_changed')";
    assert_eq!(world.count(told).await, 2);
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_keeps_what_webhooks_told_after_its_pages() {
    let world = World::new().await;
    world.meta.set_templates(WABA, templates(1_150));
    let process = world.process().await;
    world.sync().await;
    world.meta.set_faults(Faults { templates: vec![TemplateRule::slow(300)], ..Faults::default() });
    let path = world.begin().await;
    eventually_within(PATIENCE, "the first pages are there", async || {
        (world.get(&path).await.body["pages"].as_i64()? >= 2).then_some(())
    })
    .await;
    // Their pages say APPROVED; then Meta decides otherwise.
    for number in 1..=100 {
        world.decided(number, "PAUSED", now()).await;
    }
    world.until_heard().await;
    assert_eq!(world.get(&path).await.body["status"], "running", "the race is on");
    let sync = world.ended(&path).await;
    assert_eq!(sync["status"], "completed");
    assert_eq!(world.count("templates WHERE status = 'PAUSED'").await, 100);
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_look_can_tell_makes_a_sync() {
    let world = World::new().await;
    let processes = vec![world.process().await, world.process().await];
    world.meta.set_templates(WABA, templates(2));
    // Nobody has heard of this template.
    world.decided(2, "APPROVED", now()).await;
    // The neighbour shares the account, and has templates of its own.
    let home = format!("workspace_id = '{}'", world.workspace.as_uuid());
    eventually_within(PATIENCE, "the template is known", async || {
        (world.count(&format!("templates WHERE {home}")).await == 2).then_some(())
    })
    .await;
    let runs = world.get("/v1/template-syncs?status=completed").await;
    assert!(runs.data().iter().any(|run| run["trigger"] == "webhook"), "{}", runs.body);
    let id = 1_203_948_857_600_001_u64;
    let mut changed = templates(2);
    changed[0]["components"] = json!([{ "type": "BODY", "text": "New {{1}}" }]);
    world.meta.set_templates(WABA, changed);
    let value = json!({ "message_template_id": id, "message_template_element": "New {{1}}" });
    world.webhook("message_template_components_update", value, now(), None).await;
    eventually_within(PATIENCE, "the new text is known", async || {
        let text = world
            .text(&format!("SELECT components FROM templates WHERE name = 'template_1' AND {home}"))
            .await;
        text.contains("New").then_some(())
    })
    .await;
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_app_tells_nothing_of_others_templates() {
    let world = World::new().await;
    let process = world.process().await;
    world.meta.set_templates(WABA, templates(1));
    world.sync().await;
    let value = json!({ "event": "DISABLED", "message_template_id": 1_203_948_857_600_001_u64 });
    let field = "message_template_status_update";
    world.age().await;
    let at = now();
    world.webhook(field, value.clone(), at, Some(world.foreign)).await;
    world.until_heard().await;
    assert_eq!(world.status("template_1").await, "APPROVED");
    world.webhook(field, value, at, Some(world.workspace)).await;
    world.until_heard().await;
    assert_eq!(world.status("template_1").await, "DISABLED");
    world.end(vec![process]).await;
}
