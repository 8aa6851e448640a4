//! A tenant's own Meta app speaks for its own numbers and for nobody else's.

use std::time::Duration;

use graph_simulator::signature;
use kernel::{Clock, SystemClock};
use reqwest::Method;
use serde_json::json;
use testkit::eventually;

use crate::installation::{APP_SECRET, Installation, PHONE};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_strangers_app_signs_is_kept_aside_and_hides_nothing() {
    let mut installation = Installation::new().await;
    let url = installation.run("all").await;
    installation.connect_echo_bot().await;

    // Another workspace registers an app of its own, whose secret it knows, and signs a message to
    // our number with it.
    let ours = installation.key.clone();
    let arguments = ["keys", "create", "--workspace", "Mallory", "--role", "admin"];
    installation.key = installation.command(&arguments).await;
    let app = json!({"slug": "mallory", "app_secret": "known-to-mallory", "verify_token": "v"});
    installation.api(Method::POST, "v1/meta-apps", Some(app)).await;
    installation.key = ours;
    // A day later no bot would answer any more.
    let now = SystemClock.now().timestamp().to_string();
    let body = serde_json::to_vec(&json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": "1", "changes": [{"field": "messages", "value": {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "493055501200", "phone_number_id": PHONE},
            "contacts": [{"profile": {"name": "Lena"}, "wa_id": "4915755512345"}],
            "messages": [{"from": "4915755512345", "id": "wamid.X", "timestamp": now,
                          "type": "text", "text": {"body": "pay here"}}],
        }}]}],
    }))
    .unwrap();
    post(&installation, url.join("webhooks/whatsapp/mallory").unwrap(), "known-to-mallory", &body)
        .await;
    eventually("it is kept aside", async || {
        (installation.count("webhook_records").await == 1).then_some(())
    })
    .await;
    assert_eq!(installation.count("messages").await, 0);
    let owned = "webhook_records WHERE workspace_id IS NOT NULL";
    assert_eq!(installation.count(owned).await, 0, "it belongs to nobody");

    // The real message has the same id, and is no copy.
    post(&installation, url.join("webhooks/whatsapp").unwrap(), APP_SECRET, &body).await;
    installation.meta.wait_until_sent(1, Duration::from_secs(20)).await.unwrap();
    assert_eq!(installation.count("messages WHERE direction = 'inbound'").await, 1);
}

async fn post(installation: &Installation, url: url::Url, secret: &str, body: &[u8]) {
    let answer = installation
        .http
        .post(url)
        .header("x-hub-signature-256", signature(secret, body))
        .body(body.to_vec())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
}
