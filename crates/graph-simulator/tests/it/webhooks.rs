//! Webhooks: signed, escaped, batched, duplicated, and delivered until they are taken.

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use graph_simulator::{
    Faults, InboundMessage, Repeat, Span, StatusName, StatusPlan, WaitError, WebhookFaults,
    signature,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::receiver::{Receiver, SECRET, hmac};
use crate::{NUMBER, SOON, Talk, text};

#[test]
fn signatures_agree_with_the_vectors() {
    let vectors = include_str!("../fixtures/signature_vectors.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let body = STANDARD.decode(vector["body_base64"].as_str().unwrap()).unwrap();
        let secret = vector["app_secret"].as_str().unwrap();
        let expected = vector["x_hub_signature_256"].as_str().unwrap();
        assert_eq!(signature(secret, &body), expected);
        assert_eq!(hmac(secret, &body), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_arrives_signed_over_its_escaped_bytes() {
    let receiver = Receiver::start();
    let talk = Talk::start(receiver.options()).await;
    let wamid = talk.simulator.deliver_text(NUMBER, "4915755512345", "Jörg", "Ü/\u{0}👩");
    talk.simulator.wait_until_delivered(SOON).await.unwrap();
    let post = receiver.posts().remove(0);
    let wire = String::from_utf8(post.body.to_vec()).unwrap();
    assert!(wire.is_ascii() && wire.contains(r"\u00dc\/\u0000\ud83d\udc69"), "{wire}");
    assert_eq!(post.signature, hmac(SECRET, &post.body));

    let body: Value = serde_json::from_str(&wire).unwrap();
    assert_eq!(body["object"], "whatsapp_business_account");
    let value = &body["entry"][0]["changes"][0]["value"];
    assert_eq!(value["metadata"]["phone_number_id"], NUMBER);
    assert_eq!(value["contacts"][0]["profile"]["name"], "Jörg");
    assert_eq!(value["contacts"][0]["wa_id"], "4915755512345");
    let message = &value["messages"][0];
    assert_eq!((&message["id"], &message["from"]), (&json!(wamid), &json!("4915755512345")));
    assert_eq!(message["text"]["body"], "Ü/\u{0}👩");
    assert_eq!((&message["type"], message["timestamp"].is_string()), (&json!("text"), true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_post_comes_again_as_it_was_until_it_is_taken() {
    let receiver = Receiver::start();
    receiver.answer(&[500, 503, 204, 404]);
    let talk = Talk::start(receiver.options()).await;
    talk.simulator.deliver_text(NUMBER, "4915755512345", "Lena", "Hi");
    talk.simulator.wait_until_delivered(SOON).await.unwrap();
    let posts = receiver.posts();
    assert_eq!(posts.len(), 5);
    assert!(posts.iter().all(|post| post.body == posts[0].body));
    let gaps: Vec<Duration> = posts.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    // 10, 20, 40 and 80 ms.
    assert!(gaps[3] >= Duration::from_millis(80), "{gaps:?}");
    let stats = talk.simulator.stats().webhooks;
    assert_eq!((stats.posts, stats.attempts, stats.acknowledged), (1, 5, 1));
    assert_eq!(stats.refused, [(204, 1), (404, 1), (500, 1), (503, 1)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_target_is_tried_until_it_lives() {
    let receiver = Receiver::start();
    let (options, address) = (receiver.options(), receiver.url());
    drop(receiver);
    let talk = Talk::start(options).await;
    talk.simulator.deliver_text(NUMBER, "4915755512345", "Lena", "Hi");
    let waited = talk.simulator.wait_until_delivered(Duration::from_millis(60)).await;
    assert_eq!(waited, Err(WaitError::Undelivered { pending: 1 }));
    let address = address.socket_addrs(|| None).unwrap()[0];
    let receiver = Receiver::start_at(address);
    talk.simulator.wait_until_delivered(SOON).await.unwrap();
    assert_eq!(receiver.posts().len(), 1);
    assert!(talk.simulator.stats().webhooks.unreachable >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_nobody_takes_is_given_up_in_the_end() {
    let receiver = Receiver::start();
    receiver.answer(&[500; 50]);
    let mut options = receiver.options();
    options.webhook.give_up_after_ms = 400;
    let talk = Talk::start(options).await;
    talk.simulator.deliver_text(NUMBER, "4915755512345", "Lena", "Hi");
    talk.simulator.wait_until_delivered(SOON).await.unwrap();
    let stats = talk.simulator.stats().webhooks;
    assert_eq!((stats.acknowledged, stats.given_up), (0, 1));
    assert!((2..=6).contains(&receiver.posts().len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_messages_fit_into_two_posts() {
    let receiver = Receiver::start();
    let talk = Talk::start(receiver.options()).await;
    let messages = (0..2_000)
        .map(|n| InboundMessage::text(NUMBER, format!("49155{:08}", n % 200), "Lena", "Hi"))
        .collect();
    let wamids = talk.simulator.deliver(messages, 5_000, Repeat::ONCE);
    talk.simulator.wait_until_delivered(SOON).await.unwrap();
    assert_eq!(receiver.posts().len(), 2);
    let received = receiver.messages();
    let received: HashSet<&str> = received.iter().filter_map(|m| m["id"].as_str()).collect();
    assert_eq!(received, wamids.iter().map(String::as_str).collect());
    assert_eq!(received.len(), 2_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_copies_are_spread_over_all_targets() {
    let receivers: Vec<Receiver> = (0..4).map(|_| Receiver::start()).collect();
    let mut options = receivers[0].options();
    options.webhook.targets = receivers.iter().map(Receiver::url).collect();
    let talk = Talk::start(options).await;
    let message = InboundMessage::text(NUMBER, "4915755512345", "Lena", "Hi");
    talk.simulator.deliver(vec![message], 1, Repeat::at_once(50));
    talk.simulator.wait_until_delivered(SOON).await.unwrap();
    let counts: Vec<usize> = receivers.iter().map(|receiver| receiver.posts().len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 50);
    assert!(counts.iter().all(|count| (12..=13).contains(count)), "{counts:?}");
    let ids: HashSet<String> = receivers
        .iter()
        .flat_map(|receiver| receiver.messages())
        .map(|message| message["id"].to_string())
        .collect();
    assert_eq!(ids.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_keep_their_distance() {
    let receiver = Receiver::start();
    let talk = Talk::start(receiver.options()).await;
    let gap = Duration::from_millis(60);
    talk.simulator.deliver_raw("{\"a\": 1}", Repeat::spaced(3, gap));
    talk.simulator.wait_until_delivered(SOON).await.unwrap();
    let posts = receiver.posts();
    assert_eq!((posts.len(), posts[0].body.as_ref()), (3, &b"{\"a\": 1}"[..]));
    assert!(posts[2].at - posts[0].at >= gap, "two gaps, less some jitter");
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_are_batched_duplicated_and_dropped_as_planned() {
    let receiver = Receiver::start();
    let talk = Talk::start(receiver.options()).await;
    let plan = StatusPlan {
        statuses: vec![StatusName::Sent, StatusName::Delivered],
        delay_ms: Span(0, 0),
        duplicate: 1.0,
        batch: 1_000,
        linger_ms: 300,
        ..StatusPlan::default()
    };
    talk.simulator.set_faults(Faults { statuses: plan.clone(), ..Faults::default() });
    let bodies: Vec<Value> = (0..20).map(|n| text(&format!("+49155{n:08}"), "hi")).collect();
    join_all(bodies.iter().map(|body| talk.send(body))).await;
    talk.simulator.wait_until_delivered(SOON).await.unwrap();
    assert_eq!(receiver.statuses().len(), 80);
    assert!(receiver.posts().len() <= 10, "{}", receiver.posts().len());

    let plan = StatusPlan { drop: 1.0, ..plan };
    talk.simulator.set_faults(Faults { statuses: plan, ..Faults::default() });
    join_all(bodies.iter().map(|body| talk.send(body))).await;
    talk.simulator.wait_until_delivered(SOON).await.unwrap();
    assert_eq!(receiver.statuses().len(), 80, "none was added");
}

#[tokio::test(flavor = "multi_thread")]
async fn shuffled_statuses_come_out_of_order_with_ordered_timestamps() {
    let receiver = Receiver::start();
    let talk = Talk::start(receiver.options()).await;
    let statuses = StatusPlan { shuffle: 1.0, batch: 100, linger_ms: 400, ..StatusPlan::default() };
    talk.simulator.set_faults(Faults { statuses, ..Faults::default() });
    let bodies: Vec<Value> = (0..20).map(|n| text(&format!("+49155{n:08}"), "hi")).collect();
    join_all(bodies.iter().map(|body| talk.send(body))).await;
    talk.simulator.wait_until_delivered(SOON).await.unwrap();
    let all = receiver.statuses();
    assert_eq!(all.len(), 60);
    let first_read = all.iter().filter(|status| status["status"] != "delivered");
    let mut seen = HashSet::new();
    let early = first_read
        .filter(|status| seen.insert(status["id"].to_string()) && status["status"] == "read")
        .count();
    assert!((2..=18).contains(&early), "{early} of 20 were read before they were sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_post_comes_twice_when_meta_is_in_that_mood() {
    let receiver = Receiver::start();
    let talk = Talk::start(receiver.options()).await;
    let webhooks =
        WebhookFaults { duplicate: 1.0, duplicate_gap_ms: 20, ..WebhookFaults::default() };
    talk.simulator.set_faults(Faults { webhooks, ..Faults::default() });
    for n in 0..10 {
        talk.simulator.deliver_text(NUMBER, "4915755512345", "Lena", &format!("{n}"));
    }
    talk.simulator.wait_until_delivered(SOON).await.unwrap();
    let posts = receiver.posts();
    let bodies: HashSet<_> = posts.iter().map(|post| post.body.clone()).collect();
    assert_eq!((posts.len(), bodies.len()), (20, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn people_write_and_webhooks_move_by_http_too() {
    let (one, other) = (Receiver::start(), Receiver::start());
    let talk = Talk::start(one.options()).await;
    let person = json!({"phone_number_id": NUMBER, "user_id": "DE.1", "name": "Lena",
        "content": {"type": "sticker", "sticker": {"id": "1", "mime_type": "image/webp"}}});
    let (status, answer) = talk.control(Method::POST, "inbound", &person).await;
    assert_eq!((status, answer["wamids"].as_array().map(Vec::len)), (200, Some(1)));
    let (status, _) = talk.control(Method::POST, "wait?ms=9000", &json!(null)).await;
    assert_eq!(status, 200);
    let message = one.messages().remove(0);
    assert_eq!((&message["type"], &message["from_user_id"]), (&json!("sticker"), &json!("DE.1")));
    assert!(message["from"].is_null());

    let target = json!({"targets": [other.url()]});
    assert_eq!(talk.control(Method::PUT, "webhook", &target).await.0, 200);
    let text = json!({"phone_number_id": NUMBER, "from": "49155", "text": "a"});
    let batch = json!({"messages": [text, text, text], "per_post": 2, "copies": 2});
    let (status, answer) = talk.control(Method::POST, "inbound", &batch).await;
    assert_eq!(status, 200, "{answer}");
    talk.simulator.wait_until_delivered(SOON).await.unwrap();
    assert_eq!((other.posts().len(), other.messages().len()), (4, 6));
    assert_eq!(other.posts()[0].signature, hmac(SECRET, &other.posts()[0].body), "secret kept");

    let (_, stats) = talk.control(Method::POST, "reset", &json!(null)).await;
    assert_eq!((&stats["inbound"], &stats["webhooks"]["posts"]), (&json!(0), &json!(0)));
    let secure = json!({"targets": ["https://localhost/"]});
    assert_eq!(talk.control(Method::PUT, "webhook", &secure).await.0, 400);
}
