//! From a customer's message to the bot's reply at Meta, while nothing else goes on.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::ensure;
use kernel::{Clock, SystemClock};
use tokio::time::{MissedTickBehavior, interval};

use crate::driver::quantile;
use crate::figures::{Series, Target};
use crate::installation::{Installation, PHONE};
use crate::report::{Report, Row};
use crate::{Options, say};

const PER_SECOND: u64 = 20;
/// How long the replies may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures; everything runs in one process.
pub(crate) async fn run(
    options: &Options,
    install: &mut Installation,
    report: &mut Report,
) -> anyhow::Result<()> {
    install.run(&["all"]).await?;
    install.let_bot_echo().await?;
    // The first replies open connections, read the rules and create the people.
    once(options, install, report).await?;
    let [mut p50, mut p90, mut p99] = [Series::default(), Series::default(), Series::default()];
    for run in 1..=options.pairs {
        let latencies = once(options, install, report).await?;
        p50.push(quantile(&latencies, 50));
        p90.push(quantile(&latencies, 90));
        p99.push(quantile(&latencies, 99));
        say(&format!("latency {run}: p50 {:.1} ms", quantile(&latencies, 50)));
    }
    report.section(&format!(
        "Webhook to reply at Meta, {PER_SECOND} messages per second, one process"
    ));
    report.row(Row::new("p50, ms", p50).wanted(Target::AtMost(25.0)));
    report.row(Row::new("p90, ms", p90));
    report.row(Row::new("p99, ms", p99));
    install.stop().await
}

/// Sorted milliseconds. Both moments are taken in this process: the simulated Meta is part of it.
async fn once(
    options: &Options,
    install: &Installation,
    report: &mut Report,
) -> anyhow::Result<Vec<f64>> {
    let meta = install.meta();
    meta.reset();
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(PER_SECOND)?);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let messages = PER_SECOND * options.quiet_run().as_secs();
    let mut written = HashMap::new();
    for person in 0..messages {
        ticks.tick().await;
        let from = format!("4916{person:09}");
        written.insert(from.clone(), SystemClock.now());
        meta.deliver_text(PHONE, &from, "Lena", "Hi, when do you open tomorrow?");
    }
    let expected = written.len();
    ensure!(meta.wait_until_sent(expected, PATIENCE).await.is_ok(), "replies are missing");
    meta.wait_until_delivered(PATIENCE).await?;
    let sent = meta.sent();
    report.count(u64::try_from(sent.len().abs_diff(expected))?, "replies too many");
    let mut latencies: Vec<f64> = sent
        .iter()
        .filter_map(|sent| Some((sent.at - *written.get(&sent.recipient)?).as_seconds_f64() * 1e3))
        .collect();
    ensure!(latencies.len() == sent.len(), "a reply went to somebody who had not written");
    latencies.sort_by(f64::total_cmp);
    Ok(latencies)
}
