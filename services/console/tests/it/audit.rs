//! The audit log: who did what by hand, and why.

use actix_web::http::Method;
use coordination::LockName;
use serde_json::json;

use super::world::{Who, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_logged_before_it_happens_and_its_outcome_after() {
    let world = World::new().await;
    let _guard = world.hold(LockName::TemplateSync(world.connection)).await;
    let lock = format!("/v1/ops/locks/template_sync:connection:{}", world.connection);
    let token = world.get(Who::Admin, &lock).await.json()["owner_token_prefix"].clone();
    let body = json!({ "owner_token_prefix": token, "reason": "its process is gone" });
    let answer = world.send(Who::Admin, Method::POST, &format!("{lock}/release"), &body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let intention = format!(
        "audit_log WHERE action = 'lock.release' AND actor LIKE 'key\\_%' AND reason = 'its process is gone' \
         AND target = 'template_sync:connection:{}' AND before->>'owner' = 'conversations@pod-1/17' \
         AND request_id = 'req_0123456789' AND workspace_id = '{}'",
        world.connection,
        world.home.as_uuid()
    );
    assert_eq!(world.count(&intention).await, 1);
    let outcome = "audit_log o JOIN audit_log i ON o.follows = i.id AND i.id < o.id \
                   WHERE o.action = 'lock.released' AND o.after->>'outcome' = 'released'";
    assert_eq!(world.count(outcome).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_and_its_entry_commit_together() {
    let world = World::new().await;
    let uri = "/v1/ops/limits/whatsapp_api";
    let body = json!({ "key": world.connection, "limit": 250, "reason": "launch" });
    assert_eq!(world.send(Who::Admin, Method::PATCH, uri, &body).await.status, 200);
    let entry = "audit_log WHERE action = 'limit.set' AND before->>'limit' = '100' \
                 AND after->>'limit' = '250' AND reason = 'launch'";
    assert_eq!(world.count(entry).await, 1);
    // An entry that can not be written takes the change with it.
    world
        .db
        .execute("ALTER TABLE audit_log ADD CONSTRAINT full_up CHECK (false) NOT VALID")
        .await
        .unwrap();
    let body = json!({ "key": world.connection, "limit": 300, "reason": "more" });
    let refused = world.send(Who::Admin, Method::PATCH, uri, &body).await;
    assert_eq!(refused.status, 500, "{}", refused.body);
    assert_eq!(world.count("coordination_overrides WHERE most = 250").await, 1);
    assert_eq!(world.count("coordination_overrides").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_entry_in_the_audit_log_no_lock_is_released() {
    let world = World::new().await;
    let guard = world.hold(LockName::TemplateSync(world.connection)).await;
    let lock = format!("/v1/ops/locks/template_sync:connection:{}", world.connection);
    let token = world.get(Who::Admin, &lock).await.json()["owner_token_prefix"].clone();
    world
        .db
        .execute("ALTER TABLE audit_log ADD CONSTRAINT full_up CHECK (false) NOT VALID")
        .await
        .unwrap();
    let body = json!({ "owner_token_prefix": token, "reason": "stuck" });
    let refused = world.send(Who::Admin, Method::POST, &format!("{lock}/release"), &body).await;
    assert_eq!(refused.status, 500, "{}", refused.body);
    assert_eq!(guard.release().await, coordination::Hold::Kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_never_changed_and_never_deleted() {
    let world = World::new().await;
    let body = json!({ "key": world.connection, "limit": 250, "reason": "launch" });
    let uri = "/v1/ops/limits/whatsapp_api";
    assert_eq!(world.send(Who::Admin, Method::PATCH, uri, &body).await.status, 200);
    for sql in
        ["UPDATE audit_log SET reason = 'other'", "DELETE FROM audit_log", "TRUNCATE audit_log"]
    {
        let refused = world.db.execute(sql).await.unwrap_err();
        assert!(format!("{refused:#}").contains("append-only"), "{refused:#}");
    }
    assert_eq!(world.count("audit_log WHERE reason = 'launch'").await, 1);
}
