//! What goes over the wire when a message is sent.

use std::time::Duration;

use kernel::{PhoneNumberId, UserId, WaId, Wamid};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::time::Instant;
use whatsapp::graph::{
    Content, GraphClient, GraphOptions, GraphSetupError, Recipient, SendOutcome, SendRequest,
};

use crate::graph_faults::{Fault, Server, client};

/// Sends a text and gives back the head and the body of the request.
async fn sent(path: &str, to: Recipient<'_>, reply_to: Option<&Wamid>) -> (String, Value) {
    let server = Server::start(Fault::None).await;
    let client = client(&format!("{}{path}", server.root()));
    let outcome = client
        .send(SendRequest {
            phone_number_id: &PhoneNumberId::new("290184457761305"),
            token: &SecretString::from("EAAG-token"),
            to,
            content: Content::Text { body: "Grüße 👋", preview_url: true, reply_to },
            callback_data: "sw1.a.m.1",
            deadline: Instant::now() + Duration::from_secs(5),
            cancelled: None,
        })
        .await;
    assert!(matches!(outcome, SendOutcome::Accepted { .. }), "{outcome:?}");
    let request = server.last_request();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn a_text_to_a_number_has_its_plus_and_its_callback_data() {
    let expected = json!({
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "+4915755512345",
        "type": "text",
        "text": {"body": "Grüße 👋", "preview_url": true},
        "context": {"message_id": "wamid.Q"},
        "biz_opaque_callback_data": "sw1.a.m.1",
    });
    for number in ["4915755512345", "+4915755512345"] {
        let wamid = Wamid::new("wamid.Q");
        let (head, body) = sent("", Recipient::Phone(&WaId::new(number)), Some(&wamid)).await;
        assert_eq!(body, expected);
        assert!(head.starts_with("post /v25.0/290184457761305/messages http/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nauthorization: bearer eaag-token"), "{head}");
        assert!(head.contains("\r\ncontent-type: application/json"), "{head}");
        assert!(head.contains("\r\ncontent-length: "), "{head}");
        for absent in ["transfer-encoding", "accept-encoding", "traceparent"] {
            assert!(!head.contains(absent), "{head}");
        }
    }
}

#[tokio::test]
async fn a_text_to_a_user_id_names_no_number() {
    let user = UserId::new("DE.90817263544536271809");
    let (_, body) = sent("", Recipient::User(&user), None).await;
    assert_eq!(body["recipient"], "DE.90817263544536271809");
    assert_eq!(body.get("to"), None);
    assert_eq!(body.get("context"), None);
}

#[tokio::test]
async fn a_base_url_may_have_a_path() {
    for path in ["/graph", "/graph/"] {
        let (head, _) = sent(path, Recipient::Phone(&WaId::new("1")), None).await;
        assert!(head.starts_with("post /graph/v25.0/290184457761305/messages "), "{head}");
    }
}

#[test]
fn only_http_addresses_are_taken_as_a_base() {
    for root in ["ftp://127.0.0.1", "mailto:a@b.invalid", "data:,x"] {
        let refused = GraphClient::new(&GraphOptions::new(root.parse().unwrap()));
        assert!(matches!(refused, Err(GraphSetupError::BaseUrl)), "{root}");
    }
}

#[test]
fn the_tls_provider_can_be_installed_twice() {
    whatsapp::graph::install_tls();
    whatsapp::graph::install_tls();
}
