//! Taking webhooks apart: nothing is lost, nothing is mistaken, copies are recognised.

use serde_json::{Value, json};
use whatsapp::webhook::model::{InboundMessage, Status};
use whatsapp::webhook::{Event, EventKind, split};

use crate::fixtures::{read, understood, webhooks};

/// The JSON as Meta puts it on the wire: no spaces, `/` and all non-ASCII escaped; and, to show that it
/// does not matter, members in the opposite order.
fn on_the_wire(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .rev()
                .map(|(key, member)| {
                    format!("{}:{}", on_the_wire(&json!(key)), on_the_wire(member))
                })
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(on_the_wire).collect();
            format!("[{}]", elements.join(","))
        }
        Value::String(text) => {
            let plain = serde_json::to_string(text).unwrap().replace('/', "\\/");
            let mut escaped = String::new();
            for character in plain.chars() {
                if character.is_ascii() {
                    escaped.push(character);
                } else {
                    let mut units = [0; 2];
                    for unit in character.encode_utf16(&mut units) {
                        escaped.push_str(&format!("\\u{unit:04x}"));
                    }
                }
            }
            escaped
        }
        other => other.to_string(),
    }
}

fn message(id: &str) -> Value {
    json!({"id": id, "from": "4915755512345", "type": "text", "text": {"body": "hi"}})
}

fn post(field: &str, value: Value) -> Vec<u8> {
    let change = json!({"field": field, "value": value});
    let entry = json!({"id": "318264501773920", "time": 1_795_312_800, "changes": [change]});
    json!({"object": "whatsapp_business_account", "entry": [entry]}).to_string().into_bytes()
}

fn kinds(body: &[u8]) -> Vec<EventKind> {
    split(body).unwrap().iter().map(|event| event.kind).collect()
}

fn identities<'a>(events: &'a [Event<'_>]) -> Vec<&'a [u8; 16]> {
    events.iter().map(|event| &event.identity).collect()
}

#[test]
fn metas_spelling_changes_nothing() {
    for name in webhooks() {
        let body = read(&name);
        let wire = on_the_wire(&serde_json::from_slice(&body).unwrap());
        assert!(wire.is_ascii());
        let wired = wire.into_bytes();
        let (plain, escaped) = (split(&body).unwrap(), split(&wired).unwrap());

        let mut plain: Vec<_> = plain.iter().map(|event| understood(event).to_string()).collect();
        let mut escaped: Vec<_> =
            escaped.iter().map(|event| understood(event).to_string()).collect();
        plain.sort();
        escaped.sort();
        assert_eq!(plain, escaped, "{name}");
    }
}

#[test]
fn every_element_is_counted_in_every_fixture() {
    for name in webhooks() {
        let body = read(&name);
        let root: Value = serde_json::from_slice(&body).unwrap();
        let mut expected = 0;
        for change in root["entry"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|entry| entry["changes"].as_array().unwrap())
        {
            let value = &change["value"];
            let count = |key: &str| value[key].as_array().map_or(0, Vec::len);
            expected += match change["field"].as_str().unwrap() {
                "messages" => count("messages") + count("statuses") + count("errors"),
                "smb_message_echoes" => count("message_echoes"),
                _ => 1,
            };
        }
        assert_eq!(split(&body).unwrap().len(), expected, "{name}");
    }
}

#[test]
fn only_the_field_messages_yields_messages() {
    let value = json!({"messages": [message("a")], "statuses": [{"id": "b", "status": "sent"}]});
    assert_eq!(kinds(&post("messages", value.clone())), [EventKind::Message, EventKind::Status]);
    for field in ["history", "standby", "smb_message_echoes", "calls", "Messages", "", "new"] {
        assert_eq!(kinds(&post(field, value.clone())), [EventKind::Other], "{field}");
    }
}

#[test]
fn copies_are_recognised_in_another_batch_and_spelling() {
    let alone =
        post("messages", json!({"metadata": {"phone_number_id": "1"}, "messages": [message("a")]}));
    let batch = post(
        "messages",
        json!({
            "messages": [message("b"), {"type": "text", "id": "a"}],
            "metadata": {"phone_number_id": 1},
        }),
    );
    let (alone, batch) = (split(&alone).unwrap(), split(&batch).unwrap());
    assert_eq!(alone[0].identity, batch[1].identity);
    assert_ne!(alone[0].identity, batch[0].identity);
}

#[test]
fn the_same_id_on_another_number_or_of_another_kind_is_another_event() {
    let value = |number: &str| {
        json!({
            "metadata": {"phone_number_id": number},
            "messages": [message("a")],
            "statuses": [{"id": "a"}],
        })
    };
    let echo = post(
        "smb_message_echoes",
        json!({
            "metadata": {"phone_number_id": "1"},
            "message_echoes": [message("a")],
        }),
    );
    let (one, two) = (post("messages", value("1")), post("messages", value("2")));
    let (one, two, echo) = (split(&one).unwrap(), split(&two).unwrap(), split(&echo).unwrap());
    let mut all: Vec<_> = [identities(&one), identities(&two), identities(&echo)].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 5);
}

#[test]
fn each_status_of_each_participant_and_error_is_an_event_of_its_own() {
    let statuses = [
        json!({"id": "a", "status": "sent", "recipient_id": "g", "recipient_participant_id": "1"}),
        json!({"id": "a", "status": "sent", "recipient_id": "g", "recipient_participant_id": "2"}),
        json!({"id": "a", "status": "read", "recipient_id": "g", "recipient_participant_id": "1"}),
        json!({"id": "a", "status": "failed", "recipient_id": "1", "errors": [{"code": 131_026}]}),
        json!({"id": "a", "status": "failed", "recipient_id": "1", "errors": [{"code": 131_049}]}),
        json!({"id": "a", "status": "sent", "recipient_user_id": "DE.1"}),
        json!({"id": "a", "status": "sent"}),
    ];
    let body = post("messages", json!({"statuses": statuses}));
    let events = split(&body).unwrap();
    let mut all = identities(&events);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), statuses.len());
    // The time and the price of a repeated status differ; the code may be a string.
    let again = post(
        "messages",
        json!({"statuses": [
            {"id": "a", "status": "failed", "recipient_id": "1", "timestamp": 7, "errors": [{"code": "131026"}]},
        ]}),
    );
    assert_eq!(split(&again).unwrap()[0].identity, events[3].identity);
    // All statuses of one message in a group travel in the group's lane.
    assert!(events[..3].iter().all(|event| event.person == "g"));
}

#[test]
fn a_template_approved_twice_in_the_same_words_is_two_events() {
    let approved = |time: u64| {
        let change =
            json!({"field": "message_template_status_update", "value": {"event": "APPROVED"}});
        json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "time": time, "changes": [change]}]}).to_string()
    };
    let [first, copy, second] = [approved(1), approved(1), approved(2)];
    let identity = |body: &str| split(body.as_bytes()).unwrap()[0].identity;
    assert_eq!(identity(&first), identity(&copy));
    assert_ne!(identity(&first), identity(&second));
    assert_eq!(split(second.as_bytes()).unwrap()[0].entry_time_s, Some(2));
}

#[test]
fn contacts_are_matched_by_person_not_by_place() {
    let body = post(
        "messages",
        json!({
            "contacts": [
                {"wa_id": "2", "profile": {"name": "two"}},
                {"user_id": "DE.3", "profile": {"name": "three"}},
                {"wa_id": 1, "profile": {"name": "one"}},
            ],
            "messages": [{"id": "a", "from": "1"}, {"id": "b", "from": "2"}, {"id": "c", "from_user_id": "DE.3"}],
            "statuses": [{"id": "d", "status": "sent", "recipient_id": "2"}],
        }),
    );
    let events = split(&body).unwrap();
    let names: Vec<_> = events
        .iter()
        .map(|event| whatsapp::webhook::model::Profile::parse(event.contact.unwrap()).name.unwrap())
        .collect();
    assert_eq!(names, ["one", "two", "three", "two"]);
    let people: Vec<_> = events.iter().map(|event| &*event.person).collect();
    assert_eq!(people, ["1", "2", "DE.3", "2"]);
}

#[test]
fn what_is_new_or_of_nobody_is_kept_beside_what_is_understood() {
    let message = message("a");
    let wholes = [
        post("messages", json!({"messages": [message], "invented": [1]})),
        post("messages", json!({"messages": [message], "contacts": [{"wa_id": "1"}]})),
        post("messages", json!({"messages": [message], "contacts": "none"})),
        json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [
            {"field": "messages", "value": {"messages": [message]}, "invented": 1}]}]}).to_string().into_bytes(),
        json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "invented": 1, "changes": [
            {"field": "messages", "value": {"messages": [message]}}]}]}).to_string().into_bytes(),
        json!({"object": "whatsapp_business_account", "invented": 1, "entry": [{"id": "1", "changes": [
            {"field": "messages", "value": {"messages": [message]}}]}]}).to_string().into_bytes(),
    ];
    for body in wholes {
        let events = split(&body).unwrap();
        let text = String::from_utf8_lossy(&body);
        assert_eq!(events.len(), 2, "{text}");
        assert_eq!(events[0].kind, EventKind::Message, "{text}");
        assert_eq!(events[1].kind, EventKind::Other, "{text}");
        let kept = String::from_utf8_lossy(events[1].item);
        assert!(kept.contains("invented") || kept.contains("contacts"), "{kept}");
    }
}

#[test]
fn what_has_an_unexpected_shape_is_kept_whole() {
    for body in [
        "{}",
        "[]",
        "null",
        "1",
        "\"text\"",
        " {\"entry\":[]} ",
        r#"{"object":"page","entry":[1]}"#,
        r#"{"object":"whatsapp_business_account"}"#,
        r#"{"object":"whatsapp_business_account","entry":{}}"#,
        r#"{"object":"whatsapp_business_account","entry":[]}"#,
        r#"{"\ud800":1}"#,
        "1e400",
        "[\"\\ud800\",\"\\u0000\"]",
    ] {
        let events = split(body.as_bytes()).unwrap();
        assert_eq!(events.len(), 1, "{body}");
        assert_eq!(events[0].kind, EventKind::Other);
        assert_eq!(events[0].item, body.trim().as_bytes());
    }
    for inside in [
        "1",
        "{}",
        r#"{"changes":1}"#,
        r#"{"changes":[]}"#,
        r#"{"changes":[1]}"#,
        r#"{"changes":[{}]}"#,
        r#"{"changes":[{"field":"messages"}]}"#,
        r#"{"changes":[{"field":"messages","value":{}}]}"#,
        r#"{"changes":[{"field":"messages","value":[]}]}"#,
        r#"{"changes":[{"field":"messages","value":{"messages":{}}}]}"#,
        r#"{"changes":[{"field":"messages","value":{"messages":[]}}]}"#,
        r#"{"changes":[{"field":["messages"],"value":{"messages":[{}]}}]}"#,
    ] {
        let body = format!(r#"{{"object":"whatsapp_business_account","entry":[{inside}]}}"#);
        assert_eq!(kinds(body.as_bytes()), [EventKind::Other], "{body}");
    }
}

#[test]
fn only_what_is_no_json_is_refused() {
    let cut = read("message_text.json");
    let cut = &cut[..cut.len() - 3];
    for body in [
        &b""[..],
        b" ",
        b"{",
        b"{}x",
        b"{} {}",
        b"NaN",
        b"{'a':1}",
        b"{\"a\":\x01}",
        b"\"\xff\"",
        b"\"\xed\xa0\x80\"",
        b"[1,]",
        b"nul",
        b"\xEF\xBB\xBF",
        cut,
    ] {
        assert!(split(body).is_err(), "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn a_byte_order_mark_is_no_error() {
    let body = [b"\xEF\xBB\xBF", &*read("message_text.json")].concat();
    assert_eq!(kinds(&body), [EventKind::Message]);
}

#[test]
fn a_message_without_an_id_is_still_one_event_with_one_identity() {
    let one = post("messages", json!({"messages": [{"from": "1", "type": "text", "id": ""}, 7]}));
    let events = split(&one).unwrap();
    assert_eq!(kinds(&one), [EventKind::Message, EventKind::Message]);
    assert_ne!(events[0].identity, events[1].identity);
    let other = post("messages", json!({"messages": [{"id": "", "type": "text", "from": "1"}]}));
    assert_eq!(split(&other).unwrap()[0].identity, events[0].identity);
}

#[test]
fn a_thousand_messages_are_a_thousand_events() {
    let messages: Vec<Value> = (0..1000).map(|n| message(&format!("wamid.{n}"))).collect();
    let body =
        post("messages", json!({"contacts": [{"wa_id": "4915755512345"}], "messages": messages}));
    let events = split(&body).unwrap();
    assert_eq!(events.len(), 1000);
    assert!(events.iter().all(|event| event.contact.is_some()));
    assert_eq!(InboundMessage::parse(events[999].item).id.unwrap().as_str(), "wamid.999");
}

#[test]
fn nothing_personal_is_shown_by_debug() {
    let body = read("message_text.json");
    let event = &split(&body).unwrap()[0];
    let shown = format!(
        "{event:?} {:?} {:?}",
        InboundMessage::parse(event.item),
        Status::parse(event.item)
    );
    for secret in ["4915755512345", "table for four", "Lena", "HBgN"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
