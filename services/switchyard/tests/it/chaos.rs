//! D2, D3: everything dies while customers write, and each of them gets one answer to each message.

use std::time::Duration;

use graph_simulator::{Accept, Answer, Faults, InboundMessage, Repeat, SendRule};
use tokio::time::{Instant, sleep};

use crate::installation::{Installation, PHONE};
use crate::private_stack::PrivateStack;

const CUSTOMERS: usize = 500;
const EACH: usize = 4;

/// What happens, and how long after the one before.
const SCRIPT: &[(u64, Blow)] = &[
    (1_000, Blow::Kill("webhook-ingest")),
    (1_500, Blow::Kill("conversations")),
    (1_500, Blow::Kill("chatbot")),
    (1_000, Blow::Server("kill9", "redis")),
    (2_000, Blow::Server("start", "redis")),
    (1_000, Blow::Kill("chatbot")),
    (1_000, Blow::Kill("conversations")),
    (1_000, Blow::Server("kill9", "pg")),
    (500, Blow::Server("start", "pg")),
    (1_500, Blow::Kill("chatbot")),
    (1_000, Blow::Server("kill9", "rabbit")),
    (500, Blow::Server("start", "rabbit")),
    (2_000, Blow::Kill("webhook-ingest")),
    (1_000, Blow::Server("restart", "redis")),
    (1_000, Blow::Kill("conversations")),
    (1_000, Blow::Kill("chatbot")),
    (1_000, Blow::Server("restart", "pg")),
    (1_000, Blow::Kill("chatbot")),
];

#[derive(Clone, Copy)]
enum Blow {
    Kill(&'static str),
    Server(&'static str, &'static str),
}

/// What Meta does meanwhile: refuses, breaks off, answers too late, accepts and says it failed.
fn lying_meta() -> Faults {
    let sends = vec![
        SendRule::graph(130_429).probability(0.02),
        SendRule::graph(131_000).accepting(Accept::Yes).probability(0.01),
        SendRule::new(Answer::Close).accepting(Accept::Yes).probability(0.01),
        SendRule::new(Answer::Reset).accepting(Accept::No).probability(0.01),
        SendRule::new(Answer::Html { http_status: 502 }).accepting(Accept::Yes).probability(0.01),
    ];
    Faults { sends, ..Faults::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_killed_under_load_and_nothing_is_lost_or_doubled() {
    let stack = PrivateStack::up().await;
    let mut installation = Installation::on(stack.servers.clone()).await;
    installation.end_doubts_soon();
    let services = ["conversations", "chatbot", "webhook-ingest", "conversations", "chatbot"];
    for service in services {
        installation.run(service).await;
    }
    let any = serde_json::json!({"kind": "any", "value": ""});
    installation.connect_bot_on(1, any, "echo {{text}}").await;
    installation.meta.set_faults(lying_meta());

    let meta = &installation.meta;
    let mut written = 0;
    let mut write = async |until: Instant, meta: &graph_simulator::Simulator| {
        while Instant::now() < until && written < CUSTOMERS * EACH {
            let from = format!("49157{:08}", written % CUSTOMERS);
            let text = format!("message {}", written / CUSTOMERS);
            let message = InboundMessage::text(PHONE, &from, "Customer", &text);
            let repeat = if written % 7 == 0 { Repeat::at_once(2) } else { Repeat::ONCE };
            meta.deliver(vec![message], 1, repeat);
            written += 1;
            sleep(Duration::from_millis(8)).await;
        }
    };
    write(Instant::now() + Duration::from_millis(300), meta).await;
    let mut kills = 0;
    for (at, (pause_ms, blow)) in SCRIPT.iter().enumerate() {
        let until = Instant::now() + Duration::from_millis(*pause_ms);
        write(until, &installation.meta).await;
        tokio::time::sleep_until(until).await;
        match blow {
            Blow::Kill(service) => {
                // Of two processes of a service, now the one and now the other.
                let victims: Vec<usize> =
                    (0..services.len()).filter(|n| services[*n] == *service).collect();
                installation.kill_and_restart(victims[at % victims.len()]).await;
                kills += 1;
            }
            Blow::Server(command, server) => stack.run(command, server).await,
        }
    }
    write(Instant::now() + Duration::from_secs(60), &installation.meta).await;
    assert_eq!((written, kills), (CUSTOMERS * EACH, 10));
    installation.wait_quiet(Duration::from_secs(180)).await;
    is_complete(&installation, CUSTOMERS * EACH).await;
}

async fn is_complete(installation: &Installation, written: usize) {
    let all = i64::try_from(written).unwrap();
    // What was set aside during an outage comes back from its wait queue.
    let inbound = "messages WHERE direction = 'inbound'";
    testkit::eventually_within(Duration::from_secs(60), "every message is there", async || {
        (installation.count(inbound).await >= all).then_some(())
    })
    .await;
    installation.wait_quiet(Duration::from_secs(120)).await;
    assert_eq!(installation.meta.duplicates(), [], "answers doubled at Meta");
    assert_eq!(installation.count("duplicate_incidents").await, 0);
    assert_eq!(installation.count("messages WHERE direction = 'inbound'").await, all);
    assert_eq!(installation.count("contacts").await, i64::try_from(CUSTOMERS).unwrap());
    // Whatever nobody knows is shown as such; it must really not have been sent.
    let unknown = installation.count("outbound_messages WHERE state = 'unknown'").await;
    let sent = i64::try_from(installation.meta.sent_count()).unwrap();
    assert_eq!(sent + unknown, all, "answers lost ({unknown} left to a person)");
    assert_eq!(installation.count("outbound_messages WHERE state = 'accepted'").await, sent);
    let resent = installation.count("outbound_messages WHERE epoch > 1").await;
    println!(
        "{written} written, {sent} answered once, {unknown} left to a person, {resent} sent again"
    );
}
