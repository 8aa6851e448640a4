//! Sending: what is accepted, what is recorded, what is refused.

use std::collections::HashSet;

use futures_util::future::join_all;
use graph_simulator::{Faults, Limits, SimulatorOptions};
use serde_json::{Value, json};

use crate::receiver::Receiver;
use crate::{NUMBER, SOON, Talk, text};

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_concurrent_senders_are_counted_exactly() {
    let talk = Talk::start(SimulatorOptions::default()).await;
    let talk = &talk;
    join_all((0..64).map(|person| async move {
        for n in 0..5 {
            let to = format!("+49155{person:08}");
            assert_eq!(talk.send(&text(&to, &format!("m{n}"))).await.unwrap().status(), 200);
        }
    }))
    .await;
    let sent = talk.simulator.sent();
    assert_eq!(sent.len(), 320);
    assert_eq!(sent.iter().map(|sent| &sent.wamid).collect::<HashSet<_>>().len(), 320);
    assert!(talk.simulator.count_by(|sent| sent.recipient.clone()).values().all(|n| *n == 5));
    let one = talk.simulator.sent_to("+4915500000007");
    let texts: Vec<_> = one.iter().filter_map(|sent| sent.text.as_deref()).collect();
    assert_eq!(texts, ["m0", "m1", "m2", "m3", "m4"]);
    assert!(talk.simulator.duplicates().is_empty());
    assert_eq!(talk.simulator.stats().calls, 320);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standalone_simulator_serves_until_it_is_told_to_end() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = SimulatorOptions { listen: port, ..SimulatorOptions::default() };
    let stats = async {
        let client = Talk::start(SimulatorOptions::default()).await.client;
        let answer = client.get(format!("http://{port}/_control/stats")).send().await.unwrap();
        assert_eq!(answer.json::<Value>().await.unwrap()["calls"], 0);
    };
    graph_simulator::run(options, stats).await.unwrap();
    assert!(std::net::TcpStream::connect(port).is_err(), "it is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_message_is_answered_as_meta_does() {
    let talk = Talk::start(SimulatorOptions::default()).await;
    let answer: Value =
        talk.send(&text("+4915755512345", "hi")).await.unwrap().json().await.unwrap();
    let sent = talk.simulator.sent_to("4915755512345").remove(0);
    let expected = json!({
        "messaging_product": "whatsapp",
        "contacts": [{"input": "+4915755512345", "wa_id": "4915755512345"}],
        "messages": [{"id": sent.wamid}],
    });
    assert_eq!(answer, expected);
    assert_eq!(sent.phone_number_id, NUMBER);
    assert_eq!(sent.callback_data.as_deref(), Some("sw1.attempt.hi.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_message_sent_twice_is_found() {
    let talk = Talk::start(SimulatorOptions::default()).await;
    for attempt in ["a", "b"] {
        let mut body = text("+4915755512345", "hi");
        body["biz_opaque_callback_data"] = json!(format!("sw1.{attempt}.message.{attempt}"));
        talk.send(&body).await.unwrap();
    }
    let found = talk.simulator.duplicates();
    assert_eq!((found.len(), found[0].key.as_str(), found[0].count), (1, "message", 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_call_is_refused_and_never_recorded() {
    let options =
        SimulatorOptions { access_token: Some("token".to_owned()), ..SimulatorOptions::default() };
    let talk = Talk::start(options).await;
    let url = talk.url(&format!("{NUMBER}/messages"));
    let wrong = talk.client.post(&url).bearer_auth("other").json(&text("+49155555", "hi"));
    let wrong = wrong.send().await.unwrap();
    assert_eq!(wrong.status(), 401);
    let wrong: Value = wrong.json().await.unwrap();
    assert_eq!(wrong["error"]["code"], 190);

    let wrong = talk.send(&json!({"messaging_product": "sms"})).await.unwrap();
    assert_eq!(wrong.status(), 400);
    assert_eq!(talk.simulator.sent_count(), 0);

    // Without `+` it goes out, to whomever; that is on record.
    assert_eq!(talk.send(&text("4915755512345", "hi")).await.unwrap().status(), 200);
    assert_eq!(talk.simulator.violations()[0].recipient, "4915755512345");
}

#[tokio::test(flavor = "multi_thread")]
async fn marking_as_read_is_no_message() {
    let talk = Talk::start(SimulatorOptions::default()).await;
    let read = json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.x"});
    let answer: Value = talk.send(&read).await.unwrap().json().await.unwrap();
    assert_eq!(answer, json!({"success": true}));
    assert_eq!((talk.simulator.stats().reads, talk.simulator.sent_count()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn metas_own_limits_are_enforced_when_asked() {
    let talk = Talk::start(SimulatorOptions::default()).await;
    let limits = Limits { messages_per_second: 1_000, ..Limits::default() };
    talk.simulator.set_faults(Faults { limits: Some(limits), ..Faults::default() });
    let mut codes = Vec::new();
    for _ in 0..47 {
        let answer: Value =
            talk.send(&text("+4915755512345", "hi")).await.unwrap().json().await.unwrap();
        codes.extend(answer["error"]["code"].as_i64());
    }
    assert_eq!(codes, [131_056, 131_056]);
    assert_eq!(talk.simulator.sent_count(), 45);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_message_is_reported_sent_delivered_and_read_with_its_callback_data() {
    let receiver = Receiver::start();
    let talk = Talk::start(receiver.options()).await;
    talk.simulator.set_faults(Faults::default());
    talk.send(&text("+4915755512345", "hi")).await.unwrap();
    talk.simulator.wait_until_delivered(SOON).await.unwrap();
    let sent = talk.simulator.sent().remove(0);
    let mut told = receiver.statuses();
    // Three POSTs of their own may overtake one another on the way.
    told.sort_by_key(|status| match status["status"].as_str() {
        Some("sent") => 0,
        Some("delivered") => 1,
        _ => 2,
    });
    assert_eq!(told.len(), 3);
    assert_eq!(told[2]["status"], "read");
    for status in &told {
        assert_eq!(status["id"], sent.wamid.as_str());
        assert_eq!(status["recipient_id"], "4915755512345");
        assert_eq!(status["biz_opaque_callback_data"], "sw1.attempt.hi.0");
        assert!(status["timestamp"].is_string());
    }
}
