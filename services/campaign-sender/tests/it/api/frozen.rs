//! A campaign whose audience is frozen, with one recipient in each state.

use serde_json::json;

use super::world::{MARKETER, World, uuid};

/// What became of the recipients, in order: their message's state, if there is one, and more.
const RECIPIENTS: [(&str, &str); 12] = [
    ("accepted", "read_at = now(), delivered_at = now(), sent_at = now(), accepted_at = now()"),
    ("accepted", "delivered_at = now(), sent_at = now(), accepted_at = now()"),
    ("accepted", "accepted_at = now()"),
    ("failed", "failed_at = now(), error_code = 131026"),
    ("failed", "failed_at = now(), error_code = 131000"),
    ("failed", "failed_at = now(), error_code = 131026"),
    ("unknown", "claimed_at = now()"),
    ("sending", "claimed_at = now()"),
    ("ready", "claimed_at = NULL"),
    ("cancelled", "claimed_at = NULL"),
    ("none", ""),
    ("skipped", ""),
];

/// Makes a campaign with [`RECIPIENTS`] that stands at `status`, and returns its path.
pub(crate) async fn frozen(world: &World, status: &str) -> String {
    let path = world.drafted().await;
    let (id, ws, cnx) = (uuid(&path), world.workspace.as_uuid(), world.connection.as_uuid());
    for (n, (state, more)) in (1..).zip(RECIPIENTS) {
        let skipped = if state == "skipped" { "'opted_out'" } else { "NULL" };
        world
            .execute(&format!(
                "WITH c AS (INSERT INTO contacts (id, workspace_id, wa_id, name, source, created_at, \
                 updated_at) VALUES (gen_random_uuid(), '{ws}', '49157555{n:05}', '=HYPERLINK(\"x{n}\")', \
                 'api', now(), now()) ON CONFLICT DO NOTHING RETURNING id) \
                 INSERT INTO campaign_recipients (campaign_id, n, id, chunk, contact_id, \
                 recipient_kind, recipient, params, skip_reason) SELECT '{id}', {n}, \
                 gen_random_uuid(), 1, c.id, 'number', '49157555{n:05}', '[]', {skipped} FROM \
                 (SELECT id FROM c UNION ALL SELECT id FROM contacts WHERE workspace_id = '{ws}' \
                 AND wa_id = '49157555{n:05}') AS c LIMIT 1"
            ))
            .await;
        if matches!(state, "none" | "skipped") {
            continue;
        }
        world
            .execute(&format!(
                "INSERT INTO outbound_messages (id, workspace_id, connection_id, conversation_id, \
                 dedupe_key, recipient_kind, recipient, source, campaign_id, on_doubt, content, \
                 state, created_at) SELECT id, '{ws}', '{cnx}', gen_random_uuid(), 'c:' || id, \
                 'number', recipient, 'campaign', '{id}', 'hold', '{{}}', '{state}', now() \
                 FROM campaign_recipients WHERE campaign_id = '{id}' AND n = {n}"
            ))
            .await;
        world
            .execute(&format!(
                "UPDATE outbound_messages SET {more} WHERE id = (SELECT id FROM \
                 campaign_recipients WHERE campaign_id = '{id}' AND n = {n})"
            ))
            .await;
    }
    world
        .execute(&format!(
            "INSERT INTO campaign_chunks (campaign_id, chunk, size, time_zone, state) \
             VALUES ('{id}', 1, 11, 'UTC', 'fed')"
        ))
        .await;
    world
        .execute(&format!(
            "INSERT INTO campaign_counts VALUES ('{id}', 'accepted', '', 3), \
             ('{id}', 'failed', '131026', 2), ('{id}', 'failed', '131000', 1), \
             ('{id}', 'uncertain', '', 1), ('{id}', 'skipped', 'opted_out', 1), \
             ('{id}', 'skipped', 'cancelled', 1), ('{id}', 'sent', '', 2), \
             ('{id}', 'delivered', '', 2), ('{id}', 'read', '', 1)"
        ))
        .await;
    world
        .execute(&format!(
            "UPDATE campaigns SET status = '{status}', total = 12, prepared_at = now(), \
             started_at = now() WHERE id = '{id}'"
        ))
        .await;
    path
}

/// Starts a campaign for one number whose audience nobody freezes here.
pub(crate) async fn startable(world: &World) -> String {
    let mut body = world.draft();
    body["audience"] = json!({ "phones": ["+4915755512345"] });
    let answer = world.post(MARKETER, "/v1/campaigns", body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.header("location").to_owned()
}
