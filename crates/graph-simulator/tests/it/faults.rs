//! Faults happen as scripted, and the ledger knows what really went out.

use std::time::{Duration, Instant};

use graph_simulator::{Accept, Answer, Faults, SendRule, SimulatorOptions};
use reqwest::Method;
use serde_json::{Value, json};

use crate::receiver::Receiver;
use crate::{SOON, Talk, text};

/// Sends one message under one rule; gives what the caller saw and how many were accepted.
async fn under(rule: SendRule) -> (Result<(u16, String), reqwest::Error>, usize) {
    let talk = Talk::start(SimulatorOptions { seed: Some(7), ..SimulatorOptions::default() }).await;
    talk.simulator.set_faults(Faults { sends: vec![rule], ..Faults::default() });
    let seen = match talk.send(&text("+4915755512345", "hi")).await {
        Err(error) => Err(error),
        Ok(answer) => {
            let status = answer.status().as_u16();
            answer.text().await.map(|body| (status, body))
        }
    };
    (seen, talk.simulator.sent_count())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_graph_error_keeps_its_code_and_accepts_nothing() {
    for (code, status) in [
        (130_429, 429),
        (131_056, 429),
        (4, 429),
        (80_007, 429),
        (131_000, 500),
        (2, 503),
        (190, 401),
    ] {
        let (seen, accepted) = under(SendRule::graph(code)).await;
        let (seen_status, body) = seen.unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((seen_status, body["error"]["code"].as_i64()), (status, Some(code)));
        assert_eq!(accepted, 0, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_after_acceptance_looks_the_same_and_is_counted() {
    let (seen, accepted) = under(SendRule::graph(131_000).accepting(Accept::Yes)).await;
    assert_eq!((seen.unwrap().0, accepted), (500, 1));
    let html = SendRule::new(Answer::Html { http_status: 502 });
    let (seen, accepted) = under(html.clone().accepting(Accept::Yes)).await;
    let (status, body) = seen.unwrap();
    assert!(status == 502 && body.starts_with("<html>"), "{status} {body}");
    assert_eq!(accepted, 1);
    assert_eq!(under(html).await.1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_gives_no_answer_whether_accepted_or_not() {
    for answer in [Answer::Reset, Answer::Close] {
        let (seen, accepted) = under(SendRule::new(answer.clone())).await;
        let error = seen.unwrap_err();
        let shown = kernel::chain(&error).to_string();
        assert!(error.is_request() && !error.is_timeout() && !error.is_connect(), "{shown}");
        assert_eq!(shown.contains("reset"), answer == Answer::Reset, "{shown}");
        assert_eq!(accepted, 0);
        assert_eq!(under(SendRule::new(answer).accepting(Accept::Yes)).await.1, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_useless_200_is_an_accepted_message() {
    let (seen, accepted) = under(SendRule::new(Answer::Unreadable)).await;
    let (status, body) = seen.unwrap();
    assert!(status == 200 && serde_json::from_str::<Value>(&body).is_err());
    assert_eq!(accepted, 1);
    let (seen, accepted) = under(SendRule::new(Answer::Empty)).await;
    assert_eq!((seen.unwrap(), accepted), ((200, "{}".to_owned()), 1));
    let (seen, accepted) = under(SendRule::new(Answer::Cut)).await;
    let error = seen.unwrap_err();
    assert!(error.is_body() || error.is_decode(), "{error:?}");
    assert_eq!(accepted, 1);
    let (seen, accepted) = under(SendRule::new(Answer::Held)).await;
    assert!(seen.unwrap().1.contains("held_for_quality_assessment"));
    assert_eq!(accepted, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_answer_keeps_coming_until_the_caller_hangs_up() {
    let talk = Talk::start(SimulatorOptions::default()).await;
    let sends = vec![SendRule::new(Answer::Huge).times(1)];
    talk.simulator.set_faults(Faults { sends, ..Faults::default() });
    let mut answer = talk.send(&text("+4915755512345", "hi")).await.unwrap();
    let mut read = 0;
    while read < 1024 * 1024 {
        read += answer.chunk().await.unwrap().unwrap().len();
    }
    drop(answer);
    assert_eq!(talk.send(&text("+4915755512345", "ho")).await.unwrap().status(), 200);
    assert_eq!(talk.simulator.sent_count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_can_be_accepted_after_its_caller_gave_up() {
    let talk = Talk::start(SimulatorOptions::default()).await;
    let rule = SendRule::hang(1_000).accepting(Accept::Late);
    talk.simulator.set_faults(Faults { sends: vec![rule], ..Faults::default() });
    let url = talk.url("v25.0/1/messages");
    let call = talk.client.post(url).bearer_auth("t").json(&text("+4915755512345", "hi"));
    let error = call.timeout(Duration::from_millis(50)).send().await.unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(talk.simulator.sent_count(), 0, "not yet");
    talk.simulator.wait_until_sent(1, SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_takes_its_time() {
    let began = Instant::now();
    let (seen, accepted) = under(SendRule { delay_ms: 80, ..SendRule::new(Answer::Ok) }).await;
    assert_eq!((seen.unwrap().0, accepted), (200, 1));
    assert!(began.elapsed() >= Duration::from_millis(80));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_by_http_strikes_as_often_as_it_says() {
    let talk = Talk::start(SimulatorOptions::default()).await;
    let script = json!({"sends": [
        {"answer": {"graph": {"code": 130429, "http_status": 400, "retry_after": 3}}, "times": 2},
        {"answer": "reset", "recipient": "+4915700000000"},
    ]});
    let (status, shown) = talk.control(Method::PUT, "faults", &script).await;
    assert_eq!((status, &shown["sends"][0]["times"]), (200, &json!(2)));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let answer = talk.send(&text("+4915755512345", "hi")).await.unwrap();
        if answer.status() == 400 {
            assert_eq!(answer.headers()["retry-after"], "3");
        }
        statuses.push(answer.status().as_u16());
    }
    assert_eq!(statuses, [400, 400, 200, 200]);
    assert!(talk.send(&text("+4915700000000", "hi")).await.is_err());
    let (_, stats) = talk.control(Method::GET, "stats", &json!(null)).await;
    assert_eq!(stats["faults"], json!({"graph": 2, "reset": 1}));
    assert_eq!((&stats["calls"], &stats["accepted"]), (&json!(5), &json!(2)));

    let (status, error) = talk.control(Method::PUT, "faults", &json!({"sendz": []})).await;
    assert!(status == 400 && error["error"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_strikes_the_same_people() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let options = SimulatorOptions { seed: Some(42), ..SimulatorOptions::default() };
        let talk = Talk::start(options).await;
        let sends = vec![SendRule::graph(131_000).probability(0.3)];
        talk.simulator.set_faults(Faults { sends, ..Faults::default() });
        let talk = &talk;
        let people = (0..60).map(|n| async move {
            talk.send(&text(&format!("+49155{n:08}"), "hi")).await.unwrap().status().as_u16()
        });
        runs.push(futures_util::future::join_all(people).await);
    }
    assert_eq!(runs[0], runs[1]);
    let struck = runs[0].iter().filter(|status| **status == 500).count();
    assert!((5..35).contains(&struck), "{struck}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_message_can_fail_later() {
    let receiver = Receiver::start();
    let talk = Talk::start(receiver.options()).await;
    let rule = SendRule { fail_later: Some(131_026), ..SendRule::new(Answer::Ok) };
    talk.simulator.set_faults(Faults { sends: vec![rule], ..Faults::default() });
    assert_eq!(talk.send(&text("+4915755512345", "hi")).await.unwrap().status(), 200);
    talk.simulator.wait_until_delivered(SOON).await.unwrap();
    let statuses = receiver.statuses();
    assert_eq!(statuses.len(), 2);
    let failed = statuses.iter().find(|status| status["status"] == "failed").unwrap();
    assert_eq!(failed["errors"][0]["code"], 131_026);
    assert!(failed["biz_opaque_callback_data"].is_null());
}
