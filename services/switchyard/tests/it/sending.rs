//! A request to send is one message at Meta, whoever repeats it and whoever dies meanwhile.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use graph_simulator::{InboundMessage, Repeat};
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::eventually_within;
use tokio::time::sleep;
use url::Url;

use crate::installation::{Installation, PHONE};

const PATIENCE: Duration = Duration::from_secs(90);
const LENA: &str = "4915755512345";
/// Orders in the test that kills.
const ORDERS: usize = 60;
/// How often a process is killed in it.
const KILLS: usize = 14;

/// Whoever sends: tries until somebody answers for good.
#[derive(Clone)]
struct Program {
    http: reqwest::Client,
    key: String,
    /// Whoever is started again listens elsewhere.
    urls: Arc<Mutex<Vec<Url>>>,
}

impl Program {
    fn new(installation: &Installation) -> Self {
        let http = installation.http.clone();
        let urls = Arc::new(Mutex::new(installation.urls()));
        Self { http, key: installation.key.clone(), urls }
    }

    /// One request to process number `at`; `None` when nobody answered.
    async fn send(&self, at: usize, name: &str, body: &Value) -> Option<(StatusCode, String)> {
        let url = {
            let urls = self.urls.lock().unwrap();
            urls[at % urls.len()].join("v1/messages").unwrap()
        };
        let request = self.http.post(url).bearer_auth(&self.key).header("idempotency-key", name);
        let answer = request.timeout(Duration::from_secs(5)).json(body).send().await.ok()?;
        let status = answer.status();
        Some((status, answer.text().await.ok()?))
    }

    /// The same request to one process after the other, until it is accepted.
    async fn insist(&self, first: usize, name: &str, body: &Value) -> String {
        for at in first.. {
            match self.send(at, name, body).await {
                Some((StatusCode::ACCEPTED, body)) => return body,
                Some((status, said)) => {
                    let may_pass = matches!(status.as_u16(), 409 | 500 | 503);
                    assert!(may_pass, "{name}: {status} {said}");
                }
                None => {}
            }
            sleep(Duration::from_millis(100)).await;
        }
        unreachable!("the loop ends with an answer")
    }
}

async fn is_one_message(installation: &Installation, to: &str) {
    assert_eq!(installation.meta.sent_to(to).len(), 1, "messages to {to} counted at Meta");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_posts_with_one_key_over_four_processes_are_one_message_at_meta() {
    let mut installation = Installation::new().await;
    for _ in 0..4 {
        installation.run("all").await;
    }
    let connection = installation.connect(100_000).await;
    let said = InboundMessage::text(PHONE, LENA, "Lena", "Where is it?");
    installation.meta.deliver(vec![said], 1, Repeat::ONCE);
    installation.wait_quiet(PATIENCE).await;
    let program = Program::new(&installation);
    let text = json!({ "body": "It left our house today." });
    let body = json!({ "connection": connection, "to": format!("+{LENA}"), "text": text });
    let answers = join_all((0..50).map(|at| program.send(at, "order-8841", &body))).await;
    let mut accepted = Vec::new();
    for (status, said) in answers.into_iter().map(Option::unwrap) {
        match status {
            StatusCode::ACCEPTED => accepted.push(said),
            _ => assert_eq!(status, StatusCode::CONFLICT, "{said}"),
        }
    }
    assert!(accepted.iter().all(|answer| *answer == accepted[0]), "one answer");
    assert_eq!(program.insist(0, "order-8841", &body).await, accepted[0]);
    installation.wait_quiet(PATIENCE).await;
    is_one_message(&installation, LENA).await;
    let sent = installation.meta.sent_to(LENA).remove(0);
    assert_eq!(sent.text.as_deref(), Some("It left our house today."));
    assert_eq!(installation.meta.violations(), []);
    assert_eq!(installation.count("messages WHERE direction = 'outbound'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_repeated_until_answered_are_one_message_each_whoever_is_killed() {
    let mut installation = Installation::new().await;
    installation.end_doubts_soon();
    for _ in 0..3 {
        installation.run("all").await;
    }
    let connection = installation.connect(100_000).await;
    let program = Program::new(&installation);
    let orders = (0..ORDERS).map(|n| {
        let (program, connection) = (program.clone(), connection.clone());
        async move {
            sleep(Duration::from_millis(130) * u32::try_from(n).unwrap()).await;
            let body = json!({
                "connection": connection, "to": format!("+49157000{n:05}"), "on_uncertain": "resend",
                "template": { "name": "order_shipped", "language": "en", "params": { "body": ["8841"] } },
            });
            program.insist(n, &format!("order-{n}"), &body).await
        }
    });
    let killing = async {
        for kill in 0..KILLS {
            sleep(Duration::from_millis(600)).await;
            installation.kill_and_restart(kill % 3).await;
            *program.urls.lock().unwrap() = installation.urls();
        }
    };
    let (answers, ()) = tokio::join!(join_all(orders), killing);
    let mut ids: Vec<Value> = answers
        .iter()
        .map(|answer| serde_json::from_str::<Value>(answer).unwrap()["id"].clone())
        .collect();
    ids.sort_by_key(Value::to_string);
    ids.dedup();
    assert_eq!(ids.len(), ORDERS, "each order has a message of its own");
    for url in installation.urls() {
        installation.wait_ready(&url).await;
    }
    installation.wait_quiet(PATIENCE).await;
    let uncertain = "outbound_messages WHERE state <> 'accepted'";
    eventually_within(PATIENCE, "every doubt has ended", async || {
        (installation.count(uncertain).await == 0).then_some(())
    })
    .await;
    for n in 0..ORDERS {
        is_one_message(&installation, &format!("49157000{n:05}")).await;
    }
    assert_eq!(installation.count("messages").await, i64::try_from(ORDERS).unwrap());
    assert_eq!(installation.count("duplicate_incidents").await, 0);
    assert_eq!(installation.meta.duplicates(), []);
}
