//! D9: who answered a campaign is counted, once.

use std::time::Duration;

use graph_simulator::{InboundMessage, Repeat};
use testkit::eventually_within;

use crate::campaigns::{Campaign, Client, number};
use crate::installation::{Installation, PHONE};

const PEOPLE: usize = 12;
const ANSWERING: usize = 5;

async fn until_replied(client: &Client, campaign: &Campaign, wanted: usize) {
    let what = format!("{} was answered by {wanted}", campaign.name);
    eventually_within(Duration::from_secs(60), &what, async || {
        let shown = client.show(campaign).await?;
        (shown["delivery"]["replied"] == wanted).then_some(())
    })
    .await;
}

/// What the first `people` write, twice each.
fn written(people: usize) -> Vec<InboundMessage> {
    let twice = (0..people).flat_map(|person| [(person, "yes"), (person, "and thank you")]);
    twice
        .map(|(person, text)| InboundMessage::text(PHONE, number(person), "Customer", text))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_answers_the_newest_campaign_is_counted_there_once() {
    let mut installation = Installation::new().await;
    installation.run("all").await;
    installation.run("all").await;
    let connection = installation.connect(6_000).await;
    let client = Client::of(&installation);
    // Everybody has written before: that answers nothing.
    installation.meta.deliver(written(PEOPLE), 1, Repeat::ONCE);
    installation.wait_quiet(Duration::from_secs(60)).await;
    let mut campaigns = Vec::new();
    for name in ["spring", "summer"] {
        let campaign = client.draft(&connection, name, "hold", 0..PEOPLE).await;
        client.act(&campaign, "start").await;
        eventually_within(Duration::from_secs(60), "everybody has it", async || {
            let shown = client.show(&campaign).await?;
            (shown["delivery"]["delivered"] == PEOPLE).then_some(())
        })
        .await;
        assert_eq!(client.show(&campaign).await.unwrap()["delivery"]["replied"], 0);
        campaigns.push(campaign);
    }
    // The same events come twice, too.
    installation.meta.deliver(written(ANSWERING), 1, Repeat::at_once(2));
    until_replied(&client, &campaigns[1], ANSWERING).await;
    installation.meta.deliver(written(ANSWERING), 1, Repeat::ONCE);
    installation.wait_quiet(Duration::from_secs(60)).await;
    until_replied(&client, &campaigns[1], ANSWERING).await;
    until_replied(&client, &campaigns[0], 0).await;
    let remembered = "conversations WHERE campaign_message_id IS NOT NULL";
    let silent = i64::try_from(PEOPLE - ANSWERING).unwrap();
    assert_eq!(installation.count(remembered).await, silent);
}
