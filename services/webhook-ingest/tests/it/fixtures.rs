//! Every body of Meta's that we know, through the real door.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use contracts::{LaneKey, lane_of};
use messaging::Family;
use serde_json::Value;
use uuid::Uuid;
use whatsapp::webhook::split;

use crate::client::Request;
use crate::stand::{PATH, Setup, with_stand};

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/whatsapp/tests/fixtures")
}

fn bodies() -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(fixtures()).unwrap().map(|file| file.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .filter(|(name, _)| !name.starts_with("api_") && name != "signature_vectors.json")
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_body_is_answered_200_and_each_of_its_events_is_once_in_its_own_lane() {
    let bodies = bodies();
    assert!(bodies.len() > 60, "only {} bodies", bodies.len());
    with_stand(Setup::default(), async move |stand| {
        for (name, body) in bodies {
            assert_eq!(stand.post(&body).await, 200, "{name}");
            let mut expected: Vec<_> = split(&body)
                .unwrap()
                .iter()
                .map(|event| {
                    let (line, person) = match &*event.phone_number_id {
                        "" => (event.waba_id.as_bytes(), "".as_bytes()),
                        number => (number.as_bytes(), event.person.as_bytes()),
                    };
                    let lane = lane_of(LaneKey { line, person }, Family::Webhooks.lanes());
                    let id = Uuid::from_bytes(event.identity).to_string();
                    (lane, id, event.item.to_vec(), event.contact.unwrap_or_default().to_vec())
                })
                .collect();
            let mut kept: Vec<_> = stand
                .kept()
                .await
                .into_iter()
                .map(|kept| {
                    assert_eq!(kept.family, Family::Webhooks, "{name}: nobody is limited");
                    assert!(kept.event.app_workspace_id.is_empty() && kept.has_trace, "{name}");
                    let (item, contact) = (kept.event.item.to_vec(), kept.event.contact.to_vec());
                    (kept.lane, kept.message_id, item, contact)
                })
                .collect();
            expected.sort_unstable();
            kept.sort_unstable();
            assert_eq!(kept, expected, "{name}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_escaped_and_signed_as_meta_does_are_believed() {
    let vectors = fs::read(fixtures().join("signature_vectors.json")).unwrap();
    let vectors: Value = serde_json::from_slice(&vectors).unwrap();
    with_stand(Setup::default(), async move |stand| {
        for vector in vectors["vectors"].as_array().unwrap() {
            let text = |key: &str| vector[key].as_str().unwrap();
            let answer = Request::new("POST", PATH)
                .header("X-Hub-Signature-256", text("x_hub_signature_256"))
                .header("X-Hub-Signature", "sha1=ignored")
                .body(STANDARD.decode(text("body_base64")).unwrap())
                .send(stand.address)
                .await;
            assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{}", text("name"));
        }
        assert_eq!(stand.kept().await.len(), vectors["vectors"].as_array().unwrap().len());
    })
    .await;
}
