//! D6, D7: many new customers write several messages at the same moment.

use std::time::Duration;

use graph_simulator::{InboundMessage, Repeat};

use crate::installation::{Installation, PHONE};

const CUSTOMERS: usize = 200;
const EACH: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_new_customers_write_five_messages_each_at_once() {
    let mut installation = Installation::new().await;
    installation.run("all").await;
    installation.run("all").await;
    installation.connect_echo_bot().await;

    let messages: Vec<InboundMessage> = (0..EACH)
        .flat_map(|n| (0..CUSTOMERS).map(move |customer| (customer, n)))
        .map(|(customer, n)| {
            let from = format!("49157{customer:08}");
            InboundMessage::text(PHONE, &from, "New customer", format!("message {n}"))
        })
        .collect();
    installation.meta.deliver(messages, 1, Repeat::ONCE);
    installation.wait_quiet(Duration::from_secs(120)).await;

    let all = i64::try_from(CUSTOMERS * EACH).unwrap();
    let customers = i64::try_from(CUSTOMERS).unwrap();
    assert_eq!(installation.count("contacts").await, customers);
    assert_eq!(installation.count("conversations").await, customers);
    assert_eq!(installation.count("messages WHERE direction = 'inbound'").await, all);
    assert_eq!(installation.meta.sent_count(), CUSTOMERS * EACH, "replies counted at Meta");
    assert_eq!(installation.meta.duplicates(), []);
    assert_eq!(installation.count("contacts WHERE source = 'webhook'").await, customers);
    for customer in 0..CUSTOMERS {
        let from = format!("49157{customer:08}");
        let replies: Vec<String> = installation
            .meta
            .sent_to(&from)
            .into_iter()
            .map(|sent| sent.text.unwrap_or_default())
            .collect();
        assert_eq!(replies, in_order(&installation, &from).await, "order of replies");
    }
}

/// What the bot should have said to one customer, by the order of the thread.
async fn in_order(installation: &Installation, from: &str) -> Vec<String> {
    let sql = format!(
        "SELECT string_agg('echo ' || m.body, ',' ORDER BY m.sequence) AS text FROM messages m \
         JOIN contacts c ON c.id = m.contact_id WHERE c.wa_id = '{from}' AND m.direction = 'inbound'"
    );
    let text = installation.db.text(&sql).await.unwrap();
    text.split(',').map(str::to_owned).collect()
}
