//! Webhook bodies for tests.

use serde_json::{Value, json};

/// A POST with one change of `messages`, all to the number `line`: from each of `people` in turn,
/// with the position as text.
pub(crate) fn messages(line: &str, people: &[&str]) -> Vec<u8> {
    let messages: Vec<Value> = people
        .iter()
        .enumerate()
        .map(|(at, person)| {
            json!({
                "from": person, "id": format!("wamid.{line}.{person}.{at}"), "type": "text",
                "timestamp": "1795312800", "text": { "body": at.to_string() },
            })
        })
        .collect();
    webhook(&[change(line, &json!({ "messages": messages }))])
}

/// A POST with `changes`.
pub(crate) fn webhook(changes: &[Value]) -> Vec<u8> {
    let entry = json!([{ "id": "318264501773920", "changes": changes }]);
    json!({ "object": "whatsapp_business_account", "entry": entry }).to_string().into_bytes()
}

/// A change of `field=messages` of the number `line`.
pub(crate) fn change(line: &str, rest: &Value) -> Value {
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": { "display_phone_number": "493055501200", "phone_number_id": line },
    });
    for (key, part) in rest.as_object().unwrap() {
        value[key] = part.clone();
    }
    json!({ "field": "messages", "value": value })
}

/// The text of a message as [`messages`] wrote it.
pub(crate) fn text_of(item: &[u8]) -> String {
    let item: Value = serde_json::from_slice(item).unwrap();
    item["text"]["body"].as_str().unwrap().to_owned()
}
