//! Who becomes a recipient.

use serde_json::{Value, json};
use testkit::eventually_within;

use super::world::{PATIENCE, Sends, World, system_clock};

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_freezing_loses_nobody_and_doubles_nobody() {
    let world = World::new(600).await;
    world.contacts(50_000).await;
    freeze_with_a_kill(world, json!({ "tags": ["vip"] }), 50_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_the_numbers_of_a_file_are_frozen_loses_nobody_and_doubles_nobody() {
    let world = World::new(600).await;
    // The first 5,000 of the file are contacts with the tag, too; the next 5,000 are contacts.
    world.contacts(10_000).await;
    world.execute("UPDATE contacts SET tags = '{}' WHERE wa_id > '49155000005000'").await;
    freeze_with_a_kill(world, json!({ "tags": ["vip"], "upload": true }), 45_000).await;
}

/// Whatever the audience is, a file of 45,000 numbers lies there.
async fn freeze_with_a_kill(world: World, audience: Value, total: i64) {
    let campaign = world.draft(audience, "").await;
    world
        .execute(&format!(
            "INSERT INTO campaign_uploads (campaign_id, line, wa_id) SELECT '{}', i, \
             (49155000000000 + i)::text FROM generate_series(1, 45000) AS i",
            campaign.as_uuid()
        ))
        .await;
    world.move_to(campaign, "preparing").await;
    let first = world.process(system_clock(), Sends::No).await;
    eventually_within(PATIENCE, "the first step", async || {
        (world.count("campaigns WHERE total > 0").await == 1).then_some(())
    })
    .await;
    drop(first);
    let processes = vec![world.process(system_clock(), Sends::No).await];
    world.until_status(campaign, "running").await;
    assert_eq!(world.count("campaign_recipients").await, total);
    let people = "(SELECT DISTINCT contact_id FROM campaign_recipients) s";
    assert_eq!(world.count(people).await, total);
    assert_eq!(world.count(&format!("campaigns WHERE total = {total}")).await, 1);
    let misnumbered = format!("campaign_recipients WHERE n NOT BETWEEN 1 AND {total}");
    assert_eq!(world.count(&misnumbered).await, 0);
    let strays = "campaign_recipients r LEFT JOIN campaign_chunks k USING (campaign_id, chunk) \
                  WHERE k.chunk IS NULL OR r.n NOT BETWEEN k.first_n AND k.first_n + k.size - 1";
    assert_eq!(world.count(strays).await, 0, "a chunk is one range of numbers");
    assert_eq!(world.count("campaign_chunks WHERE size > 500").await, 0);
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_far_apart_share_a_chunk() {
    let world = World::new(600).await;
    world.contacts(45_000).await;
    let rare = "UPDATE contacts SET tags = '{vip,rare}' WHERE id IN (SELECT id FROM (SELECT id, \
                row_number() OVER (ORDER BY id) AS n FROM contacts) c WHERE n IN (7, 22000, 44000))";
    world.execute(rare).await;
    let campaign = world.campaign(json!({ "all_tags": ["rare"] }), "").await;
    let processes = vec![world.process(system_clock(), Sends::No).await];
    world.until_status(campaign, "running").await;
    assert_eq!(world.count("campaign_chunks WHERE size = 3").await, 1);
    assert_eq!(world.count("campaign_recipients").await, 3);
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_given_twice_is_one_recipient_and_becomes_a_contact() {
    let world = World::new(600).await;
    world.contacts(1).await;
    let phones = ["+49 155 000 000 001", "00491701234567", "+491701234567", "nobody"];
    let audience = json!({ "tags": ["vip"], "phones": phones, "upload": true });
    let campaign = world.draft(audience, "").await;
    let id = campaign.as_uuid();
    world
        .execute(&format!(
            "INSERT INTO campaign_uploads (campaign_id, line, wa_id, name) VALUES \
             ('{id}', 1, '491701234567', 'Ada'), ('{id}', 2, '491701234567', 'Bob')"
        ))
        .await;
    world.move_to(campaign, "preparing").await;
    let processes = vec![world.process(system_clock(), Sends::No).await];
    world.until_status(campaign, "running").await;
    assert_eq!(world.count("campaign_recipients").await, 2);
    assert_eq!(
        world.count("contacts WHERE source = 'campaign' AND wa_id = '491701234567'").await,
        1
    );
    let named = "campaign_recipients WHERE recipient = '491701234567' AND params = '[\"Ada\"]'";
    assert_eq!(world.count(named).await, 1, "the first line of the file counts");
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audience_of_nobody_fails_and_says_so() {
    let world = World::new(600).await;
    let campaign = world.campaign(json!({ "tags": ["vip"] }), "").await;
    let processes = vec![world.process(system_clock(), Sends::No).await];
    world.until_status(campaign, "failed").await;
    assert_eq!(world.count("campaigns WHERE reason_code = 'audience_empty'").await, 1);
    let told = "events WHERE type = 'campaign.needs_attention' \
                AND position('audience_empty'::bytea IN body) > 0";
    assert_eq!(world.count(told).await, 1, "the event says why");
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_are_frozen_by_their_own_time_zone() {
    let world = World::new(600).await;
    world.contacts(4).await;
    world
        .execute(
            "UPDATE contacts SET attributes = jsonb_build_object('time_zone', CASE name \
             WHEN 'Person 1' THEN 'Asia/Tokyo' WHEN 'Person 2' THEN 'Nowhere/Atlantis' END) \
             WHERE name IN ('Person 1', 'Person 2')",
        )
        .await;
    let more =
        "is_local_time = true, scheduled_for = '2100-06-01 09:00', time_zone = 'Europe/Berlin'";
    let campaign = world.campaign(json!({ "tags": ["vip"] }), more).await;
    let processes = vec![world.process(system_clock(), Sends::No).await];
    world.until_status(campaign, "running").await;
    let tokyo = "campaign_chunks WHERE time_zone = 'Asia/Tokyo' AND size = 1 \
                 AND not_before = '2100-06-01 00:00+00'";
    let berlin = "campaign_chunks WHERE time_zone = 'Europe/Berlin' AND size = 3 \
                  AND not_before = '2100-06-01 07:00+00'";
    assert_eq!((world.count(tokyo).await, world.count(berlin).await), (1, 1));
    eventually_within(PATIENCE, "it rests until Tokyo's morning", async || {
        let resting = "campaigns WHERE waits_for = 'local_time' \
                       AND next_look_at = '2100-06-01 00:00+00'";
        (world.count(resting).await == 1).then_some(())
    })
    .await;
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_falls_between_two_contacts_that_become_one_while_the_audience_is_frozen() {
    let world = World::new(600).await;
    // Freezing has passed the middle: this one is behind it and no part of the audience, …
    world.contacts(1).await;
    let behind = "00000000-0000-4000-8000-000000000001";
    world.execute(&format!("UPDATE contacts SET id = '{behind}', tags = '{{}}'")).await;
    // … and these two are in front of it.
    world.contact_by_user("f0000000-0000-4000-8000-000000000001", "DE.1").await;
    world.contact_by_user("f0000000-0000-4000-8000-000000000002", "DE.2").await;
    let campaign = world.draft(json!({ "tags": ["vip"] }), "").await;
    let passed = "UPDATE campaigns SET prepared_through = '80000000-0000-4000-8000-000000000000'";
    world.execute(passed).await;
    world.link("49155000000001", "DE.1").await;
    world.move_to(campaign, "preparing").await;
    let processes = vec![world.process(system_clock(), Sends::No).await];
    world.until_status(campaign, "running").await;
    let merged = format!("campaign_recipients WHERE contact_id = '{behind}'");
    assert_eq!(world.count(&merged).await, 1);
    assert_eq!(world.count("campaign_recipients").await, 2);
    world.end(processes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_frozen_before_the_merge_is_not_frozen_again_after_it() {
    let world = World::new(600).await;
    world.contacts(1).await;
    let kept = "20000000-0000-4000-8000-000000000001";
    world.execute(&format!("UPDATE contacts SET id = '{kept}', tags = '{{}}'")).await;
    let gone = "10000000-0000-4000-8000-000000000001";
    world.contact_by_user(gone, "DE.1").await;
    let campaign = world.draft(json!({ "tags": ["vip"] }), "").await;
    let id = campaign.as_uuid();
    world
        .execute(&format!(
            "WITH r AS (INSERT INTO campaign_recipients (campaign_id, n, id, chunk, contact_id, \
             recipient_kind, recipient, params) VALUES ('{id}', 1, gen_random_uuid(), 1, '{gone}', \
             'user', 'DE.1', '[\"Nobody\"]')), k AS (INSERT INTO campaign_chunks (campaign_id, chunk, \
             size, time_zone, state) VALUES ('{id}', 1, 1, 'UTC', 'waiting')) UPDATE campaigns SET \
             total = 1, prepared_through = '80000000-0000-4000-8000-000000000000'"
        ))
        .await;
    world.link("49155000000001", "DE.1").await;
    world.move_to(campaign, "preparing").await;
    let processes = vec![world.process(system_clock(), Sends::No).await];
    world.until_status(campaign, "running").await;
    assert_eq!(world.count("campaign_recipients").await, 1);
    world.end(processes).await;
}
