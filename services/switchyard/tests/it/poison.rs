//! One event that cannot be stored must not hold up the others of its POST.

use std::time::Duration;

use graph_simulator::{Faults, InboundMessage, Repeat, StatusPlan};
use messaging::Queue;

use crate::installation::{Installation, PHONE};

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_events_in_one_post_the_poisoned_one_falls_out_alone() {
    let mut installation = Installation::new().await;
    installation.run("all").await;
    installation.connect_echo_bot().await;
    // A row that PostgreSQL refuses whenever it is tried, as a bug of ours would make it.
    installation
        .db
        .execute(
            "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF NEW.body = 'poison' THEN RAISE check_violation USING MESSAGE = 'poisoned'; END IF; \
             RETURN NEW; END $$",
        )
        .await
        .unwrap();
    installation
        .db
        .execute(
            "CREATE TRIGGER poison BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION poison()",
        )
        .await
        .unwrap();
    let messages: Vec<InboundMessage> = (0..1_000)
        .map(|n| {
            let text = if n == 500 { "poison".to_owned() } else { format!("healthy {n}") };
            InboundMessage::text(PHONE, format!("49157{n:08}"), "Customer", &text)
        })
        .collect();
    let statuses = StatusPlan { statuses: Vec::new(), ..StatusPlan::default() };
    installation.meta.set_faults(Faults { statuses, ..Faults::default() });
    installation.meta.deliver(messages, 1_000, Repeat::ONCE);
    installation.wait_quiet(Duration::from_secs(120)).await;

    assert_eq!(installation.meta.stats().webhooks.posts, 1, "all in one POST");
    testkit::eventually("the poisoned event is a dead letter", async || {
        (installation.depth(Queue::Parking).await == 1).then_some(())
    })
    .await;
    assert_eq!(installation.count("messages WHERE direction = 'inbound'").await, 999);
    assert_eq!(installation.meta.sent_count(), 999, "replies counted at Meta");
    assert_eq!(installation.meta.duplicates(), []);
    assert_eq!(installation.count("contacts").await, 999, "the poisoned transaction left nothing");
}
