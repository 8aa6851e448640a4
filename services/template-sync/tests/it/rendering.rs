//! What a template says with values.

use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{WABA, World, template};

fn texts(answer: &Value) -> Vec<(String, String)> {
    let part = |part: &Value| {
        let word = |key: &str| part[key].as_str().unwrap().to_owned();
        (word("place"), word("text"))
    };
    answer["parts"].as_array().unwrap().iter().map(part).collect()
}

fn places(answer: &Value) -> Vec<String> {
    let missing = answer["missing"].as_array().unwrap().iter();
    missing
        .map(|p| format!("{} {}", p["place"].as_str().unwrap(), p["name"].as_str().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_shows_the_text_and_names_what_is_missing() {
    let world = World::new().await;
    let process = world.process().await;
    let mut positional = template(1, "APPROVED");
    positional["components"] = json!([
        { "type": "HEADER", "format": "IMAGE" },
        { "type": "BODY", "text": "Hi {{1}}, see you on {{2}}." },
        { "type": "BUTTONS", "buttons": [{ "type": "URL", "text": "Go", "url": "https://x.test/{{1}}" }] }
    ]);
    let mut named = template(2, "PAUSED");
    named["parameter_format"] = "NAMED".into();
    named["components"] = json!([{ "type": "BODY", "text": "Hi {{who}} from {{town}}" }]);
    world.meta.set_templates(WABA, vec![positional, named]);
    world.sync().await;

    let path = format!("/v1/templates/{}/render", world.named("template_1").await);
    let answer = world.post(&path, json!({ "params": { "body": ["Lena"] } })).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(places(&answer.body), ["header media", "body 2", "buttons/0 1"]);
    assert_eq!(answer.body["is_sendable"], false);
    assert_eq!(texts(&answer.body)[0].1, "Hi Lena, see you on {{2}}.");
    let whole = json!({ "params": {
        "header": [{ "type": "image", "image": { "link": "https://x.test/a.png" } }],
        "body": ["Lena", "Monday"], "buttons": ["abc"] } });
    let answer = world.post(&path, whole).await.body;
    assert_eq!((&answer["missing"], &answer["is_sendable"]), (&json!([]), &json!(true)));
    let surplus = world.post(&path, json!({ "params": { "body": ["a", "b", "c"] } })).await.body;
    assert_eq!(surplus["unused"], json!(["/params/body/3"]));

    let contact = Uuid::now_v7();
    let workspace = world.workspace.as_uuid();
    world
        .execute(&format!(
            "INSERT INTO contacts (id, workspace_id, wa_id, name, source, attributes, created_at, \
             updated_at) VALUES ('{contact}', '{workspace}', '4915755512345', 'Lena', 'api', \
             '{{\"city\": \"Bonn\"}}', now(), now())"
        ))
        .await;
    let path = format!("/v1/templates/{}/render", world.named("template_2").await);
    let params = json!({ "body": { "who": "{{name}}", "town": "{{attributes.city}}" } });
    let contact = format!("ctc_{}", contact.simple());
    let answer = world.post(&path, json!({ "params": params, "contact": contact })).await.body;
    assert_eq!(texts(&answer), [("body".to_owned(), "Hi Lena from Bonn".to_owned())]);
    assert_eq!(answer["is_sendable"], false, "it is paused");
    let nobody = world.post(&path, json!({ "params": params })).await.body;
    assert_eq!(places(&nobody), ["body who", "body town"]);
    let stranger = format!("ctc_{}", Uuid::now_v7().simple());
    let answer = world.post(&path, json!({ "params": params, "contact": stranger })).await;
    assert_eq!(answer.outcome(), (422, "validation_failed"));
    world.end(vec![process]).await;
}
