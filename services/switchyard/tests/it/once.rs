//! D1: the same webhook, however often and wherever it arrives, is one message and one reply.

use std::time::Duration;

use graph_simulator::{InboundMessage, Repeat};
use serde_json::json;

use crate::installation::{Installation, PHONE};

const PATIENCE: Duration = Duration::from_secs(60);
const LENA: &str = "4915755512345";

async fn answering() -> Installation {
    let mut installation = Installation::new().await;
    installation.run("all").await;
    let when = json!({"kind": "exact", "value": "test"});
    installation.connect_bot(when, "test is working").await;
    installation
}

async fn deliver(installation: &Installation, repeat: Repeat) {
    let message = InboundMessage::text(PHONE, LENA, "Lena", "test");
    installation.meta.deliver(vec![message], 1, repeat);
    installation.wait_quiet(PATIENCE).await;
}

async fn is_handled_once(installation: &Installation, copies: i64) {
    assert_eq!(installation.meta.sent_to(LENA).len(), 1, "replies counted at Meta");
    assert_eq!(installation.meta.duplicates(), []);
    assert_eq!(installation.meta.violations(), []);
    for table in ["contacts", "conversations"] {
        assert_eq!(installation.count(table).await, 1, "{table}");
    }
    assert_eq!(installation.count("messages WHERE direction = 'inbound'").await, 1);
    assert_eq!(installation.count("messages WHERE direction = 'outbound'").await, 1);
    assert_eq!(installation.count("duplicate_incidents").await, 0);
    let message = "inbound_ledger l WHERE l.copies";
    assert_eq!(installation.count(&format!("{message} = {copies}")).await, 1, "all copies came in");
}

#[tokio::test(flavor = "multi_thread")]
async fn delivered_twice_at_once() {
    let installation = answering().await;
    deliver(&installation, Repeat::at_once(2)).await;
    is_handled_once(&installation, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delivered_twice_600_ms_apart() {
    let installation = answering().await;
    deliver(&installation, Repeat::spaced(2, Duration::from_millis(600))).await;
    is_handled_once(&installation, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delivered_50_times_over_4_processes() {
    let mut installation = answering().await;
    for _ in 0..3 {
        installation.run("all").await;
    }
    deliver(&installation, Repeat::at_once(50)).await;
    is_handled_once(&installation, 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delivered_again_after_a_restart() {
    let mut installation = answering().await;
    let message = InboundMessage {
        wamid: Some("wamid.HBgNNDkxNTc1NTUxMjM0NRUCABIYFDNBNzJFQzkyNDM1OEEyRjE1QzdDAA==".into()),
        ..InboundMessage::text(PHONE, LENA, "Lena", "test")
    };
    installation.meta.deliver(vec![message.clone()], 1, Repeat::ONCE);
    installation.wait_quiet(PATIENCE).await;
    installation.stop_all().await;
    installation.run("all").await;
    installation.meta.deliver(vec![message], 1, Repeat::ONCE);
    installation.wait_quiet(PATIENCE).await;
    is_handled_once(&installation, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delivered_while_services_run_as_processes_of_their_own() {
    let mut installation = Installation::new().await;
    installation.run("conversations").await;
    installation.run("webhook-ingest").await;
    let chatbot = installation.run("chatbot").await;
    drop(chatbot);
    // Each process serves its own routes: the API's first process is `conversations`.
    let when = json!({"kind": "exact", "value": "test"});
    installation.connect_bot_on(2, when, "test is working").await;
    deliver(&installation, Repeat::at_once(3)).await;
    is_handled_once(&installation, 3).await;
}
