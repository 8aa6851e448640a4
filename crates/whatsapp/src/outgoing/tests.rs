//! Meta's limits, each with the last value that passes and the first that does not.

use serde_json::{Value, json};

use super::*;

fn pointers(outgoing: &Outgoing) -> Vec<String> {
    outgoing.check().into_iter().map(|flaw| flaw.pointer).collect()
}

/// Passes as it is, and with `change` is refused at `pointer`.
fn assert_limit<T: serde::de::DeserializeOwned>(
    make: impl Fn(T) -> Outgoing,
    good: &Value,
    (place, bad, pointer): (&str, Value, &str),
) {
    let read = |json: &Value| make(serde_json::from_value(json.clone()).unwrap());
    assert_eq!(pointers(&read(good)), Vec::<String>::new(), "{good}");
    let mut changed = good.clone();
    *at(&mut changed, place) = bad;
    let found = pointers(&read(&changed));
    assert!(found.iter().any(|found| found == pointer), "{changed}: {found:?} lacks {pointer}");
}

/// The value at a pointer; a last member that is missing is made.
fn at<'v>(value: &'v mut Value, pointer: &str) -> &'v mut Value {
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    let parent = value.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(values) => &mut values[member.parse::<usize>().unwrap()],
        other => &mut other[member],
    }
}

fn x(count: usize) -> String {
    "x".repeat(count)
}

#[test]
fn texts() {
    let good = json!({ "body": x(4_096), "preview_url": true });
    for bad in [x(4_097), String::new(), " \n".into()] {
        assert_limit(Outgoing::Text, &good, ("/body", json!(bad), "/text/body"));
    }
    assert_limit(Outgoing::Text, &good, ("/body", json!("a\u{0}b"), "/text"));
}

#[test]
fn media() {
    let good = json!({ "id": "1037543291543636", "caption": x(1_024) });
    for (place, bad, pointer) in [
        ("/caption", json!(x(1_025)), "/image/caption"),
        ("/id", json!("a"), "/image/id"),
        ("/id", Value::Null, "/image"),
        ("/link", json!("https://a.example/b.png"), "/image"),
        ("/filename", json!("a.png"), "/image/filename"),
        ("/voice", json!(true), "/image/voice"),
    ] {
        assert_limit(Outgoing::Image, &good, (place, bad, pointer));
    }
    let linked = json!({ "link": "https://a.example/b.pdf", "filename": "b.pdf", "caption": "b" });
    for bad in
        ["ftp://a.example/b", "b.pdf", "https://", &format!("https://a.example/{}", x(2_000))]
    {
        assert_limit(Outgoing::Document, &linked, ("/link", json!(bad), "/document/link"));
    }
    let plain = json!({ "id": "1" });
    assert_limit(Outgoing::Audio, &plain, ("/caption", json!("a"), "/audio/caption"));
    assert_limit(Outgoing::Sticker, &plain, ("/caption", json!("a"), "/sticker/caption"));
    assert_limit(Outgoing::Video, &plain, ("/filename", json!("a"), "/video/filename"));
    assert_limit(
        Outgoing::Audio,
        &json!({ "id": "1", "voice": true }),
        ("/filename", json!("a"), "/audio/filename"),
    );
}

#[test]
fn places() {
    let good = json!({ "latitude": 90.0, "longitude": -180.0 });
    assert_limit(Outgoing::Location, &good, ("/latitude", json!(90.1), "/location/latitude"));
    assert_limit(Outgoing::Location, &good, ("/longitude", json!(-180.1), "/location/longitude"));
}

#[test]
fn address_cards() {
    let card = json!({ "name": { "formatted_name": "Ada King", "first_name": "Ada" },
        "phones": [{ "phone": "+491", "type": "WORK" }], "birthday": "1815-12-10" });
    let good = Value::Array(vec![card.clone(); 257]);
    for (place, bad, pointer) in [
        ("/256/name/formatted_name", json!(" "), "/contacts/256/name/formatted_name"),
        ("/0/name/first_name", Value::Null, "/contacts/0/name"),
        ("/0/phones/0/phone", Value::Null, "/contacts/0/phones/0"),
        ("/0/birthday", json!("10.12.1815"), "/contacts/0/birthday"),
    ] {
        assert_limit(Outgoing::Contacts, &good, (place, bad, pointer));
    }
    for count in [0, 258] {
        let cards = serde_json::from_value(Value::Array(vec![card.clone(); count])).unwrap();
        assert_eq!(pointers(&Outgoing::Contacts(cards)), ["/contacts"], "{count}");
    }
}

#[test]
fn reactions() {
    let good = json!({ "message_id": "wamid.X", "emoji": "👨‍👩‍👧‍👦" });
    for bad in ["ok", "👍 👍", &"👍".repeat(17)] {
        assert_limit(Outgoing::Reaction, &good, ("/emoji", json!(bad), "/reaction/emoji"));
    }
    let back = json!({ "message_id": "wamid.X", "emoji": "" });
    let back = Outgoing::Reaction(serde_json::from_value(back).unwrap());
    assert_eq!(pointers(&back), Vec::<String>::new(), "taking it back");
}

fn interactive(read: Interactive) -> Outgoing {
    Outgoing::Interactive(Box::new(read))
}

#[test]
fn buttons() {
    let button = |n: usize| json!({ "type": "reply", "reply": { "id": format!("{n}{}", x(255)), "title": format!("{n}{}", x(19)) } });
    let good = json!({ "type": "button", "header": { "type": "text", "text": x(60) }, "body": { "text": x(1_024) },
        "footer": { "text": x(60) }, "action": { "buttons": [button(0), button(1), button(2)] } });
    let first = good["action"]["buttons"][0]["reply"].clone();
    for (place, bad, pointer) in [
        ("/body/text", json!(x(1_025)), "/interactive/body/text"),
        ("/footer/text", json!(x(61)), "/interactive/footer/text"),
        ("/header/text", json!(x(61)), "/interactive/header/text"),
        ("/header/image", json!({ "id": "1" }), "/interactive/header/image"),
        ("/action/buttons", json!([]), "/interactive/action/buttons"),
        (
            "/action/buttons",
            json!([button(0), button(1), button(2), button(3)]),
            "/interactive/action/buttons",
        ),
        ("/action/buttons/1/reply/id", json!(x(257)), "/interactive/action/buttons/1/reply/id"),
        (
            "/action/buttons/1/reply/id",
            first["id"].clone(),
            "/interactive/action/buttons/1/reply/id",
        ),
        (
            "/action/buttons/1/reply/title",
            json!(x(21)),
            "/interactive/action/buttons/1/reply/title",
        ),
        (
            "/action/buttons/1/reply/title",
            first["title"].clone(),
            "/interactive/action/buttons/1/reply/title",
        ),
        ("/action/sections", json!([]), "/interactive/action/sections"),
        ("/action/name", json!("flow"), "/interactive/action/name"),
    ] {
        assert_limit(interactive, &good, (place, bad, pointer));
    }
}

#[test]
fn lists() {
    let row =
        |n: usize| json!({ "id": format!("{n}{}", x(199)), "title": x(24), "description": x(72) });
    let section = |n: usize| json!({ "title": x(24), "rows": [row(n)] });
    let sections: Vec<Value> = (0..10).map(section).collect();
    let good = json!({ "type": "list", "body": { "text": x(4_096) },
        "action": { "button": x(20), "sections": sections } });
    let eleven: Vec<Value> =
        (0..11).map(|n| json!({ "id": n.to_string(), "title": "a" })).collect();
    let same = good["action"]["sections"][0]["rows"][0]["id"].clone();
    for (place, bad, pointer) in [
        ("/body/text", json!(x(4_097)), "/interactive/body/text"),
        ("/header", json!({ "type": "image", "image": { "id": "1" } }), "/interactive/header/type"),
        ("/action/button", json!(x(21)), "/interactive/action/button"),
        ("/action/button", Value::Null, "/interactive/action/button"),
        ("/action/sections", json!([]), "/interactive/action/sections"),
        ("/action/sections", json!([{ "rows": eleven }]), "/interactive/action/sections"),
        ("/action/sections/1/title", Value::Null, "/interactive/action/sections/1/title"),
        ("/action/sections/1/title", json!(x(25)), "/interactive/action/sections/1/title"),
        ("/action/sections/1/rows", json!([]), "/interactive/action/sections/1/rows"),
        ("/action/sections/1/rows/0/id", json!(x(201)), "/interactive/action/sections/1/rows/0/id"),
        ("/action/sections/1/rows/0/id", same, "/interactive/action/sections/1/rows/0/id"),
        (
            "/action/sections/1/rows/0/title",
            json!(x(25)),
            "/interactive/action/sections/1/rows/0/title",
        ),
        (
            "/action/sections/1/rows/0/description",
            json!(x(73)),
            "/interactive/action/sections/1/rows/0/description",
        ),
    ] {
        assert_limit(interactive, &good, (place, bad, pointer));
    }
}

#[test]
fn links_flows_and_locations() {
    let link = json!({ "type": "cta_url", "body": { "text": "a" }, "action": { "name": "cta_url",
        "parameters": { "display_text": x(20), "url": "https://a.example" } } });
    for (place, bad, pointer) in [
        (
            "/action/parameters/display_text",
            json!(x(21)),
            "/interactive/action/parameters/display_text",
        ),
        ("/action/parameters/url", json!("a"), "/interactive/action/parameters/url"),
        ("/action/parameters/flow_id", json!("1"), "/interactive/action/parameters"),
        ("/action/parameters", Value::Null, "/interactive/action/parameters"),
        ("/action/name", json!("flow"), "/interactive/action/name"),
    ] {
        assert_limit(interactive, &link, (place, bad, pointer));
    }
    let flow = json!({ "type": "flow", "body": { "text": "a" }, "action": { "name": "flow", "parameters": {
        "flow_message_version": "3", "flow_id": "1", "flow_cta": x(30), "flow_action": "data_exchange" } } });
    for (place, bad, pointer) in [
        (
            "/action/parameters/flow_message_version",
            json!("2"),
            "/interactive/action/parameters/flow_message_version",
        ),
        ("/action/parameters/flow_name", json!("a"), "/interactive/action/parameters/flow_id"),
        ("/action/parameters/flow_cta", json!(x(31)), "/interactive/action/parameters/flow_cta"),
        (
            "/action/parameters/flow_action_payload",
            json!({}),
            "/interactive/action/parameters/flow_action_payload",
        ),
        ("/action/parameters/url", json!("https://a.example"), "/interactive/action/parameters"),
    ] {
        assert_limit(interactive, &flow, (place, bad, pointer));
    }
    let place = json!({ "type": "location_request_message", "body": { "text": "a" }, "action": { "name": "send_location" } });
    assert_limit(
        interactive,
        &place,
        ("/action/buttons", json!([]), "/interactive/action/buttons"),
    );
}

fn template(read: Template) -> Outgoing {
    Outgoing::Template(Box::new(read))
}

#[test]
fn templates() {
    let card = json!({ "header": [{ "type": "image", "image": { "id": "1" } }], "buttons": ["a"] });
    let good = json!({ "name": "order_shipped", "language": "en_US", "params": {
        "header": [{ "type": "document", "document": { "link": "https://a.example/a.pdf", "filename": "a.pdf" } }],
        "body": [x(1_024), "DHL"],
        "buttons": [null, "8841", { "sub_type": "quick_reply", "parameters": [{ "type": "payload", "payload": x(128) }] },
            { "sub_type": "copy_code", "parameters": [{ "type": "coupon_code", "coupon_code": x(20) }] }],
        "cards": [card, card] } });
    let cards = |count: usize| Value::Array(vec![card.clone(); count]);
    for (place, bad, pointer) in [
        ("/name", json!("Order"), "/template/name"),
        ("/language", json!("english please!"), "/template/language"),
        ("/params/header", json!(["a", "b"]), "/template/params/header"),
        ("/params/header/0/document/link", json!("a"), "/template/params/header/0/link"),
        ("/params/body/1", json!(x(1_025)), "/template/params/body/1"),
        ("/params/body/1", json!(""), "/template/params/body/1"),
        ("/params/body/1", json!("a\nb"), "/template/params/body/1"),
        ("/params/body/1", json!("a     b"), "/template/params/body/1"),
        ("/params/body/1", json!(7), "/template/params/body/1"),
        ("/params/body", json!({ "Order": "1" }), "/template/params/body/Order"),
        ("/params/buttons", Value::Array(vec![json!("a"); 11]), "/template/params/buttons"),
        (
            "/params/buttons/2/parameters/0/payload",
            json!(x(129)),
            "/template/params/buttons/2/parameters/0",
        ),
        (
            "/params/buttons/3/parameters/0/coupon_code",
            json!(x(21)),
            "/template/params/buttons/3/parameters/0",
        ),
        ("/params/buttons/2/sub_type", Value::Null, "/template/params/buttons/2/sub_type"),
        ("/params/cards", cards(1), "/template/params/cards"),
        ("/params/cards", cards(11), "/template/params/cards"),
        ("/params/cards/1/buttons/0", json!("a\tb"), "/template/params/cards/1/buttons/0"),
        ("/components", json!([{ "type": "body" }]), "/template/components"),
    ] {
        assert_limit(template, &good, (place, bad, pointer));
    }
}

#[test]
fn a_template_is_written_as_meta_takes_it_and_shown_by_its_texts() {
    let read = |json: Value| template(serde_json::from_value(json).unwrap());
    let bare = read(json!({ "name": "hello", "language": "en" }));
    assert_eq!(
        bare.as_meta_takes_it().unwrap(),
        json!({ "name": "hello", "language": { "code": "en" } })
    );
    assert_eq!(bare.shown().as_deref(), Some("hello"));
    let components = json!([
        { "type": "limited_time_offer", "parameters": [{ "type": "limited_time_offer",
            "limited_time_offer": { "expiration_time_ms": 1_795_000_000_000_i64 } }] },
        { "type": "body", "parameters": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] },
    ]);
    let raw = read(json!({ "name": "offer", "language": "en", "components": components }));
    assert_eq!(pointers(&raw), Vec::<String>::new());
    assert_eq!(raw.as_meta_takes_it().unwrap()["components"], components, "untouched");
    assert_eq!(raw.shown().as_deref(), Some("a · b"));
}
