//! Templates that can be sent no more stop their campaigns.

use kernel::ids::CampaignId;
use serde_json::json;

use super::world::{WABA, World, now, templates};

impl World {
    /// A running campaign that sends template number `number`.
    async fn campaign(&self, number: usize, status: &str) -> String {
        let id = CampaignId::new().as_uuid();
        let (workspace, connection) = (self.workspace.as_uuid(), self.connection.as_uuid());
        let template = json!({ "name": format!("template_{number}"), "language": "en_US" });
        self.execute(&format!(
            "INSERT INTO campaigns (id, workspace_id, connection_id, name, status, template, audience, \
             on_uncertain, created_by, created_at, updated_at) VALUES ('{id}', '{workspace}', \
             '{connection}', 'Sale', '{status}', '{template}', '{{}}', 'hold', 'test', now(), now())"
        ))
        .await;
        id.to_string()
    }

    async fn standing(&self, campaign: &str) -> String {
        let columns = "SELECT status || coalesce(' ' || reason_code, '') FROM campaigns";
        self.text(&format!("{columns} WHERE id = '{campaign}'")).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_meta_pauses_pauses_its_campaigns_and_no_others() {
    let world = World::new().await;
    let process = world.process().await;
    world.meta.set_templates(WABA, templates(2));
    world.sync().await;
    let (running, preparing) =
        (world.campaign(1, "running").await, world.campaign(1, "preparing").await);
    let (other, draft) = (world.campaign(2, "running").await, world.campaign(1, "draft").await);
    world.age().await;
    let at = now();
    for _ in 0..2 {
        world.decided(1, "PAUSED", at).await;
    }
    world.until_heard().await;
    assert_eq!(world.standing(&running).await, "paused template_paused");
    assert_eq!(world.standing(&preparing).await, "paused template_paused");
    assert_eq!(world.standing(&other).await, "running");
    assert_eq!(world.standing(&draft).await, "draft");
    let logged =
        format!("campaign_log WHERE campaign_id = '{running}' AND actor = 'template-sync'");
    assert_eq!(world.count(&logged).await, 1, "once, although it was told twice");
    let reason = world.text(&format!("SELECT reason FROM campaigns WHERE id = '{running}'")).await;
    assert!(reason.contains("'template_1' (en_US)") && reason.contains("resume"), "{reason}");
    let told = "events WHERE type IN ('campaign.paused', 'campaign.needs_attention')";
    assert_eq!(world.count(told).await, 4);
    world.end(vec![process]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_finds_a_template_disabled_or_gone_pauses_its_campaigns() {
    let world = World::new().await;
    let process = world.process().await;
    world.meta.set_templates(WABA, templates(3));
    world.sync().await;
    let mut campaigns = Vec::new();
    for number in 1..=3 {
        campaigns.push(world.campaign(number, "running").await);
    }
    let mut found = templates(3);
    found[0]["status"] = "DISABLED".into();
    found.remove(1);
    world.meta.set_templates(WABA, found);
    world.sync().await;
    assert_eq!(world.standing(&campaigns[0]).await, "paused template_disabled");
    assert_eq!(world.standing(&campaigns[1]).await, "paused template_deleted");
    assert_eq!(world.standing(&campaigns[2]).await, "running");
    world.end(vec![process]).await;
}
