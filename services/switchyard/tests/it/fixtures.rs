//! F1: every body Meta is known to send goes through the real door, and every element of it arrives.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use graph_simulator::signature;
use reqwest::Method;
use serde_json::json;
use testkit::eventually_within;
use uuid::Uuid;
use whatsapp::webhook::{EventKind, model, split};

use crate::installation::{APP_SECRET, Installation};

#[tokio::test(flavor = "multi_thread")]
async fn every_fixture_is_answered_200_and_every_element_of_it_is_kept() {
    let mut installation = Installation::new().await;
    let url = installation.run("all").await;
    let bodies = webhook_fixtures();
    assert!(bodies.len() > 80, "only {} fixtures", bodies.len());

    let mut numbers = BTreeSet::new();
    let mut elements = BTreeSet::new();
    let (mut people_said, mut statuses) = (BTreeSet::new(), 0);
    for (_, body) in &bodies {
        for event in split(body).unwrap() {
            numbers.insert(event.phone_number_id.to_string());
            elements.insert(Uuid::from_bytes(event.identity));
            if event.kind == EventKind::Status {
                statuses += 1;
            }
            if event.kind == EventKind::Message {
                people_said.insert(Uuid::from_bytes(event.identity));
            }
        }
    }
    numbers.remove("");
    for (n, number) in numbers.iter().enumerate() {
        let connection = json!({
            "name": format!("Number {n}"), "phone_number_id": number,
            "waba_id": "104996122399160", "access_token": "EAAG",
        });
        installation.api(Method::POST, "v1/connections", Some(connection)).await;
    }
    for (name, body) in &bodies {
        let answer = installation
            .http
            .post(url.join("webhooks/whatsapp").unwrap())
            .header("x-hub-signature-256", signature(APP_SECRET, body))
            .header("content-type", "application/json")
            .body(body.clone())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{name}");
    }
    let all = i64::try_from(elements.len()).unwrap();
    eventually_within(Duration::from_secs(60), "every element is in the ledger", async || {
        (installation.count("inbound_ledger").await == all).then_some(())
    })
    .await;

    // Messages of one person became messages; whatever has no thread of one person was kept aside.
    let threaded = installation.count("messages WHERE direction = 'inbound'").await;
    let aside = installation.count("webhook_records WHERE field = 'messages'").await;
    assert!(threaded > 30, "{threaded} messages");
    assert!(threaded + aside >= i64::try_from(people_said.len()).unwrap());
    assert!(statuses > 15, "{statuses} statuses");
    assert!(installation.count("parked_statuses").await > 10, "statuses of unknown messages wait");
    assert_eq!(installation.meta.sent_count(), 0, "nothing was answered: there is no bot");
    texts_are_the_customers(&installation, &bodies).await;
}

/// The stored text is what the model read; the model's own snapshots are checked in crate `whatsapp`.
async fn texts_are_the_customers(installation: &Installation, bodies: &[(String, Vec<u8>)]) {
    let sql = "SELECT json_agg(body)::text AS text FROM messages WHERE direction = 'inbound'";
    let stored: Vec<Option<String>> =
        serde_json::from_str(&installation.db.text(sql).await.unwrap()).unwrap();
    for (name, body) in bodies {
        for event in split(body).unwrap() {
            let message = model::InboundMessage::parse(event.item);
            let is_threaded = event.kind == EventKind::Message
                && message.group_id.is_none()
                && (message.from.is_some() || message.from_user_id.is_some());
            if is_threaded {
                assert!(stored.contains(&message.text), "{name}");
            }
        }
    }
}

fn webhook_fixtures() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/whatsapp/tests/fixtures");
    let mut fixtures: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            let is_webhook = name.ends_with(".json")
                && !name.starts_with("api_")
                && name != "signature_vectors.json";
            is_webhook.then(|| (name, std::fs::read(&path).unwrap()))
        })
        .collect();
    fixtures.sort();
    fixtures
}
