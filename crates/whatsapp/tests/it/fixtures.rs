//! Every body in `tests/fixtures`, and what is extracted from it: one snapshot each.

use std::fs;
use std::path::PathBuf;

use insta::{assert_json_snapshot, with_settings};
use serde_json::{Value, json};
use whatsapp::graph::{DoubtReason, SendOutcome, read_answer};
use whatsapp::webhook::model::{Echo, InboundMessage, Profile, Status};
use whatsapp::webhook::{Event, EventKind, split};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The bytes of one fixture.
pub(crate) fn read(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap()
}

/// The names of all fixtures that start like this, sorted.
pub(crate) fn names(is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json") && is_wanted(name))
        .collect();
    names.sort();
    names
}

/// The fixtures that are bodies of webhooks.
pub(crate) fn webhooks() -> Vec<String> {
    names(|name| !name.starts_with("api_") && name != "signature_vectors.json")
}

/// All that is understood of an event, what is empty left out.
pub(crate) fn understood(event: &Event<'_>) -> Value {
    let item = match event.kind {
        EventKind::Message => json!(InboundMessage::parse(event.item)),
        EventKind::Status => json!(Status::parse(event.item)),
        EventKind::Echo => json!(Echo::parse(event.item)),
        EventKind::Other => serde_json::from_slice(event.item).unwrap(),
    };
    pruned(json!({
        "kind": format!("{:?}", event.kind),
        "field": event.field,
        "phone_number_id": event.phone_number_id,
        "display_phone_number": event.display_phone_number,
        "waba_id": event.waba_id,
        "person": event.person,
        "entry_time_s": event.entry_time_s,
        "identity": event.identity.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        "contact": event.contact.map(Profile::parse),
        "item": item,
    }))
}

fn pruned(value: Value) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(members) => members
            .into_iter()
            .map(|(key, member)| (key, pruned(member)))
            .filter(|(_, member)| !is_empty(member))
            .collect(),
        Value::Array(elements) => elements.into_iter().map(pruned).collect(),
        other => other,
    }
}

fn snapshot(name: &str, value: &Value) {
    let name = name.trim_end_matches(".json");
    with_settings!({ sort_maps => true, prepend_module_to_snapshot => false, omit_expression => true }, {
        assert_json_snapshot!(name, value);
    });
}

#[test]
fn every_element_of_every_webhook_is_extracted() {
    let names = webhooks();
    assert_eq!(names.len(), 89);
    for name in names {
        let body = read(&name);
        let events = split(&body).unwrap();
        snapshot(&name, &events.iter().map(understood).collect());
    }
}

#[test]
fn every_answer_of_the_api_is_classified() {
    let names = names(|name| name.starts_with("api_"));
    assert_eq!(names.len(), 21);
    for name in names {
        // The status that the document gives for the code; it must not matter.
        let status = match name.as_str() {
            name if !name.starts_with("api_error") => 200,
            "api_error_2_transient.json" => 503,
            "api_error_131000.json" => 500,
            "api_error_190.json" => 401,
            "api_error_132001.json" => 404,
            _ => 400,
        };
        snapshot(&name, &described(&read_answer(status, None, &read(&name))));
    }
}

/// An outcome in words.
fn described(outcome: &SendOutcome) -> Value {
    let error = |error: &whatsapp::graph::GraphError| {
        json!({
            "class": error.class.as_str(),
            "code": error.code,
            "subcode": error.subcode,
            "fbtrace_id": error.fbtrace_id,
        })
    };
    pruned(match outcome {
        SendOutcome::Accepted { wamid, message_status, wa_id, user_id } => json!({"accepted": {
            "wamid": wamid,
            "message_status": message_status.as_ref().map(|status| format!("{status:?}")),
            "wa_id": wa_id,
            "user_id": user_id,
        }}),
        SendOutcome::Rejected(rejected) => json!({"rejected": error(rejected)}),
        SendOutcome::NotSent { why } => json!({"not_sent": why.to_string()}),
        SendOutcome::Doubt { why: DoubtReason::Answered(answered), soft } => {
            json!({"doubt": error(answered), "soft": soft})
        }
        SendOutcome::Doubt { why, soft } => json!({"doubt": why.to_string(), "soft": soft}),
    })
}
