//! Templates, numbers and media.

use graph_simulator::{Number, SimulatorOptions};
use reqwest::Method;
use serde_json::{Value, json};

use crate::Talk;

#[tokio::test(flavor = "multi_thread")]
async fn templates_are_listed_page_by_page() {
    let talk = Talk::start(SimulatorOptions::default()).await;
    let templates: Vec<Value> = (0..5).map(|n| json!({"id": n.to_string()})).collect();
    let asked = json!({"waba_id": "77", "templates": templates});
    assert_eq!(talk.control(Method::PUT, "templates", &asked).await.0, 200);
    let mut listed = Vec::new();
    let mut next = Some(talk.url("v25.0/77/message_templates?limit=2"));
    let mut pages = 0;
    while let Some(url) = next {
        let answer = talk.client.get(url).bearer_auth("token").send().await.unwrap();
        let page: Value = answer.json().await.unwrap();
        listed.extend(page["data"].as_array().unwrap().clone());
        next = page["paging"]["next"].as_str().map(str::to_owned);
        pages += 1;
    }
    assert_eq!((pages, listed), (3, templates));
    assert_eq!(talk.get("78/message_templates").await["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_known_by_id_and_by_account() {
    let talk = Talk::start(SimulatorOptions::default()).await;
    talk.simulator.add_number(Number::new("77", "1234567890"));
    let number = talk.get("v25.0/1234567890").await;
    assert_eq!(
        (&number["id"], &number["display_phone_number"]),
        (&json!("1234567890"), &json!("+493034567890"))
    );
    assert_eq!(talk.get("77/phone_numbers").await["data"], json!([number]));
    assert_eq!(talk.get("v25.0/not-an-id").await["error"]["code"], 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn media_go_in_come_out_and_go_away() {
    let talk = Talk::start(SimulatorOptions::default()).await;
    let form = "--XX\r\nContent-Disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n\
        --XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\
        Content-Type: image/png\r\n\r\npicture\r\n--XX--\r\n";
    let answer = talk
        .client
        .post(talk.url("v25.0/1/media"))
        .bearer_auth("token")
        .header("content-type", "multipart/form-data; boundary=XX")
        .body(form)
        .send()
        .await
        .unwrap();
    let id = answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let link = talk.get(&format!("v25.0/{id}")).await;
    assert_eq!((&link["mime_type"], &link["file_size"]), (&json!("image/png"), &json!("7")));

    let url = link["url"].as_str().unwrap();
    assert_eq!(talk.client.get(url).send().await.unwrap().status(), 401, "needs the token");
    let content = talk.client.get(url).bearer_auth("token").send().await.unwrap();
    assert_eq!(content.bytes().await.unwrap().as_ref(), b"picture");

    let gone = talk.client.delete(talk.url(&id)).bearer_auth("token").send().await.unwrap();
    assert_eq!(gone.status(), 200);
    assert_eq!(talk.get(&id).await["error"]["code"], 100);
    assert_eq!(talk.client.get(url).bearer_auth("token").send().await.unwrap().status(), 404);
}
