//! Sending: what is accepted, what is recorded, what is refused.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use graph_simulator::{Answer, Faults, Limits, Number, SendRule, SimulatorOptions, Span};
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

/// A template to a person, with one parameter.
fn template(to: &str, name: &str, parameter: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": to, "type": "template",
        "template": {"name": name, "language": {"code": "en"}, "components": [
            {"type": "body", "parameters": [{"type": "text", "text": parameter}]}]}})
}

/// The codes of the errors that sends were answered with; 0 for none.
async fn codes(talk: &Talk, bodies: impl IntoIterator<Item = Value>) -> Vec<i64> {
    let mut codes = Vec::new();
    for body in bodies {
        let answer: Value = talk.send(&body).await.unwrap().json().await.unwrap();
        codes.push(answer["error"]["code"].as_i64().unwrap_or(0));
    }
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_are_counted_by_recipient_and_found_when_sent_twice() {
    let talk = Talk::start(SimulatorOptions::default()).await;
    let bodies = ["Ada", "Bob", "Ada"].map(|name| {
        template(if name == "Ada" { "+4915755512345" } else { "+4915755599999" }, "sale", name)
    });
    assert_eq!(codes(&talk, bodies).await, [0, 0, 0]);
    let by_person = talk.simulator.count_by(|sent| sent.recipient.clone());
    assert_eq!((by_person["4915755512345"], by_person["4915755599999"]), (2, 1));
    assert_eq!(talk.simulator.sent()[0].template.as_deref(), Some("sale"));
    assert_eq!(talk.simulator.duplicates()[0].recipient, "4915755512345");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_with_templates_refuses_others() {
    let talk = Talk::start(SimulatorOptions::default()).await;
    let number = Number::new("104996122399160", NUMBER);
    talk.simulator.add_number(number);
    let known = json!({"name": "sale", "language": "en", "status": "APPROVED"});
    talk.simulator.set_templates("104996122399160", vec![known]);
    let bodies = ["sale", "gone"].map(|name| template("+4915755512345", name, "Ada"));
    assert_eq!(codes(&talk, bodies).await, [0, 132_001]);
    assert_eq!(talk.simulator.sent_count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_can_be_paused_in_the_middle_of_a_campaign() {
    let talk = Talk::start(SimulatorOptions::default()).await;
    let sends = vec![SendRule::graph(132_015).template("sale").after(2)];
    talk.simulator.set_faults(Faults { sends, ..Faults::default() });
    let people = (0..4).map(|n| template(&format!("+49155{n:08}"), "sale", "Ada"));
    let other = template("+4915500000009", "other", "Ada");
    assert_eq!(codes(&talk, people.chain([other])).await, [0, 0, 132_015, 132_015, 0]);
    assert_eq!(talk.simulator.sent_count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_message_is_released_or_dropped() {
    for (fail_later, expected) in
        [(None, vec!["delivered", "read", "sent"]), (Some(132_015), vec!["failed"])]
    {
        let receiver = Receiver::start();
        let talk = Talk::start(receiver.options()).await;
        let rule = SendRule { fail_later, held_ms: 40, ..SendRule::new(Answer::Held) };
        talk.simulator.set_faults(Faults { sends: vec![rule], ..Faults::default() });
        let began = Instant::now();
        let answer = talk.send(&template("+4915755512345", "sale", "Ada")).await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["messages"][0]["message_status"], "held_for_quality_assessment");
        talk.simulator.wait_until_delivered(SOON).await.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(40));
        let told = receiver.statuses();
        let mut told: Vec<&str> = told.iter().filter_map(|told| told["status"].as_str()).collect();
        told.sort_unstable();
        assert_eq!(told, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_takes_as_long_as_the_way_does_and_the_message_is_there_before() {
    let talk = Talk::start(SimulatorOptions::default()).await;
    talk.simulator.set_faults(Faults { answer_ms: Span(60_000, 60_000), ..Faults::default() });
    let body = text("+4915755512345", "hi");
    let send = talk.send(&body);
    let is_answered = tokio::select! {
        _ = send => true,
        arrived = talk.simulator.wait_until_sent(1, SOON) => arrived.is_err(),
    };
    assert!(!is_answered);
}
