//! Whose turn it is: campaigns in fair turns, replies before all of them.

use kernel::ids::CampaignId;
use storage::send_ledger::Source;
use storage::send_ledger::claim::Stream;

use crate::world::{Setup, World, with_sender};

#[tokio::test(flavor = "multi_thread")]
async fn three_campaigns_of_a_connection_take_fair_turns() {
    let setup = Setup { per_minute: 3_600, ..Setup::default() };
    with_sender(setup, async |world: &World| {
        for series in 1..=3 {
            world.campaign(series, 250).await;
        }
        world.until_sent(300).await;
        // While all three had work: the first turns and the last ones are not everybody's.
        let sent = world.meta.sent();
        let begun = (1..=3)
            .map(|series| {
                let text = format!("series {series}");
                sent.iter().position(|sent| sent.text.as_deref() == Some(&*text)).unwrap()
            })
            .max()
            .unwrap();
        let mut turns: Vec<usize> = (1..=3)
            .map(|series| {
                let text = format!("series {series}");
                let of_all = sent[begun..].iter().take(150);
                of_all.filter(|sent| sent.text.as_deref() == Some(&*text)).count()
            })
            .collect();
        turns.sort_unstable();
        assert!(turns[2] * 10 <= turns[0] * 12, "{turns:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_overtakes_a_campaign_that_waits_for_its_limit() {
    let setup = Setup { per_minute: 1_200, ..Setup::default() };
    with_sender(setup, async |world: &World| {
        let campaign = world.campaign(1, 300).await;
        world.until_sent(5).await;
        let rows = (0..5).map(|n| world.message(&format!("491577700{n}"), "hello")).collect();
        let before = world.meta.sent_count();
        world.enqueue(rows).await;
        let (connection_id, source, campaign_id) =
            (world.connection, Source::Bot, None::<CampaignId>);
        world.sender.nudge_streams([Stream { connection_id, source, campaign_id }]);
        testkit::eventually("the replies", async || {
            let sent = world.meta.sent();
            (sent.iter().filter(|sent| sent.text.as_deref() == Some("hello")).count() == 5)
                .then_some(())
        })
        .await;
        let sent = world.meta.sent();
        let last = sent.iter().rposition(|sent| sent.text.as_deref() == Some("hello")).unwrap();
        assert!(last - before < 5 + 20, "{} of the campaign went first", last - before - 4);
        assert!(world.numbers(campaign).await.pending() > 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_at_its_limit_does_not_hold_up_another_connections() {
    with_sender(Setup { per_minute: 60, ..Setup::default() }, async |world: &World| {
        world.campaign(1, 200).await;
        world.until_sent(2).await;
        let quick = world.another_connection(60_000).await;
        world.campaign_on(quick, 2, 200).await;
        testkit::eventually("the quick connection is done", async || {
            let done = world.meta.count_by(|sent| sent.text.clone());
            (done.get(&Some("series 2".to_owned())) == Some(&200)).then_some(())
        })
        .await;
        assert!(world.meta.sent_count() < 300);
    })
    .await;
}
