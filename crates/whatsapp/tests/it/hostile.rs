//! Odd and hostile JSON: never a panic, never an overflow, never a loss.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use whatsapp::webhook::model::{Echo, InboundMessage, Kind, Profile, Progress, Status};
use whatsapp::webhook::{EventKind, split};

fn parse_all(item: &[u8]) -> InboundMessage {
    Status::parse(item);
    Echo::parse(item);
    Profile::parse(item);
    InboundMessage::parse(item)
}

#[test]
fn json_of_ten_thousand_levels_is_kept_without_overflowing_the_stack() {
    const LEVELS: usize = 10_000;
    let arrays = format!("{}{}", "[".repeat(LEVELS), "]".repeat(LEVELS));
    let objects =
        format!("{}1{}", r#"{"edit":{"message":"#.repeat(LEVELS / 2), "}}".repeat(LEVELS / 2));
    for deep in [&arrays, &objects] {
        let events = split(deep.as_bytes()).unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].item, deep.as_bytes());
        parse_all(deep.as_bytes());
        // The same inside a message: the message is still understood.
        let body = format!(
            r#"{{"object":"whatsapp_business_account","entry":[{{"changes":[{{"field":"messages","value":
            {{"messages":[{{"id":"a","type":"text","text":{{"body":"hi"}},"new":{deep}}}]}}}}]}}]}}"#
        );
        let events = split(body.as_bytes()).unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].kind, EventKind::Message);
        assert_eq!(InboundMessage::parse(events[0].item).text.as_deref(), Some("hi"));
    }
    let unclosed = "[".repeat(LEVELS);
    assert!(split(unclosed.as_bytes()).is_err());
}

#[test]
fn a_body_of_more_elements_than_meta_ever_sends_is_kept_whole() {
    let body = |elements: usize| {
        let messages = vec!["0"; elements].join(",");
        format!(
            r#"{{"object":"whatsapp_business_account","entry":[{{"changes":[{{"field":"messages","value":
            {{"messages":[{messages}]}}}}]}}]}}"#
        )
    };
    assert_eq!(split(body(10_000).as_bytes()).unwrap().len(), 10_000);
    let many = body(10_001);
    let events = split(many.as_bytes()).unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].kind, EventKind::Other);
    assert_eq!(events[0].item, many.as_bytes());
}

#[test]
fn edits_inside_edits_end() {
    let levels = 5_000;
    let edit = r#"{"type":"edit","edit":{"original_message_id":"o","message":"#;
    let nested = format!("{}null{}", edit.repeat(levels), "}}".repeat(levels));
    let message = parse_all(nested.as_bytes());
    assert_eq!(message.target.unwrap().as_str(), "o");
    assert_eq!(message.text, None);
}

#[test]
fn nul_and_lone_surrogates_in_text_are_replaced() {
    for (body, text) in [
        (r"before\u0000after", "before\u{fffd}after"),
        (r"\ud800", "\u{fffd}"),
        (r"a\udc00b\ud83d\ude00", "a\u{fffd}b😀"),
        (r"\ud83d", "\u{fffd}"),
    ] {
        let item = format!(r#"{{"id":"a","type":"text","text":{{"body":"{body}"}}}}"#);
        let message = InboundMessage::parse(item.as_bytes());
        assert_eq!(message.id.unwrap().as_str(), "a");
        assert_eq!(message.text.as_deref(), Some(text));
    }
    let named = Profile::parse(br#"{"wa_id":"1","profile":{"name":"a\u0000\ud800"}}"#);
    assert_eq!(named.name.as_deref(), Some("a\u{fffd}\u{fffd}"));
    // Bytes that are no UTF-8 do not get here from `split`, but from a queue anything may.
    let message = InboundMessage::parse(b"{\"type\":\"text\",\"text\":{\"body\":\"a\xffb\"}}");
    assert_eq!(message.text.as_deref(), Some("a\u{fffd}b"));
}

#[test]
fn numbers_and_strings_are_taken_for_each_other() {
    let message =
        InboundMessage::parse(br#"{"id":7,"from":491575,"timestamp":1795312800,"type":"text"}"#);
    let other = InboundMessage::parse(
        br#"{"id":"7","from":"+491575","timestamp":"1795312800","type":"text"}"#,
    );
    assert!(message == other);
    assert_eq!(message.sent_at.unwrap().timestamp(), 1_795_312_800);
    let status = Status::parse(br#"{"id":"a","status":"failed","errors":[{"code":"131026"}]}"#);
    assert_eq!(status.errors[0].code, Some(131_026));
}

#[test]
fn what_can_not_be_a_time_or_an_id_is_none() {
    for time in
        ["\"\"", "\"soon\"", "-1", "1.5", "1e400", "99999999999999999999", "253402300800", "{}"]
    {
        let item = format!(r#"{{"timestamp":{time}}}"#);
        assert_eq!(InboundMessage::parse(item.as_bytes()).sent_at, None, "{time}");
    }
    for id in ["\"\"", "null", "{}", "[]", "true"] {
        let item = format!(r#"{{"id":{id},"from":{id},"type":"text"}}"#);
        let message = InboundMessage::parse(item.as_bytes());
        assert_eq!((message.id, message.from, message.kind), (None, None, Kind::Text));
    }
    let long = format!(r#"{{"id":"{0}","from":"{0}"}}"#, "x".repeat(513));
    assert_eq!(InboundMessage::parse(long.as_bytes()).id, None);
}

#[test]
fn unknown_words_are_kept() {
    assert_eq!(InboundMessage::parse(br#"{"type":"poll"}"#).kind, Kind::Unknown("poll".to_owned()));
    assert_eq!(InboundMessage::parse(b"[]").kind, Kind::Unknown(String::new()));
    let status = Status::parse(br#"{"status":"dreamt_of"}"#);
    assert_eq!(status.progress, Progress::Unknown("dreamt_of".to_owned()));
    assert!(!status.progress.advances(None));
}

/// Any JSON, with the words that mean something to us in many places.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "object",
        "entry",
        "changes",
        "field",
        "value",
        "messages",
        "statuses",
        "contacts",
        "errors",
        "message_echoes",
        "metadata",
        "phone_number_id",
        "id",
        "from",
        "type",
        "text",
        "body",
        "edit",
        "message",
        "interactive",
        "whatsapp_business_account",
        "image",
        "order",
        "location",
        "wa_id",
        "history",
        "standby",
        "status",
        "code",
        "timestamp",
        "system",
        "reaction",
        "context",
        "pricing",
    ]);
    let key = prop_oneof![4 => word.clone().prop_map(str::to_owned), 1 => any::<String>()];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_anything_panic(bytes in any::<Vec<u8>>()) {
        let _events = split(&bytes).map(|events| events.len());
        parse_all(&bytes);
    }

    #[test]
    fn any_json_is_kept_and_understood_as_far_as_it_goes(value in any_json()) {
        let body = value.to_string();
        let events = split(body.as_bytes()).unwrap();
        prop_assert!(!events.is_empty());
        for event in &events {
            parse_all(event.item);
        }
        parse_all(body.as_bytes());
    }

    #[test]
    fn as_many_events_come_out_as_elements_went_in(
        messages in prop::collection::vec(any_json(), 0..5),
        statuses in prop::collection::vec(any_json(), 0..5),
        errors in prop::collection::vec(any_json(), 0..5),
        extra in any_json(),
    ) {
        let value = json!({"messages": messages, "statuses": statuses, "errors": errors});
        let entry = json!({"id": extra, "changes": [{"field": "messages", "value": value}]});
        let body = json!({"object": "whatsapp_business_account", "entry": [entry]}).to_string();
        let events = split(body.as_bytes()).unwrap();
        let count = |kind| events.iter().filter(|event| event.kind == kind).count();
        prop_assert_eq!(count(EventKind::Message), messages.len());
        prop_assert_eq!(count(EventKind::Status), statuses.len());
        let nothing = messages.is_empty() && statuses.is_empty() && errors.is_empty();
        prop_assert_eq!(count(EventKind::Other), errors.len() + usize::from(nothing));
        for (event, message) in events.iter().zip(&messages) {
            let sent = message.to_string();
            prop_assert_eq!(event.item, sent.as_bytes());
        }
    }
}
