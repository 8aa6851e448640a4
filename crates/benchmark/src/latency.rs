//! From a customer's message to the bot's reply at Meta, while nothing else goes on.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::ensure;
use graph_simulator::Sent;
use kernel::{Clock, SystemClock};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::driver::quantile;
use crate::figures::{Series, Target};
use crate::installation::{Installation, PHONE};
use crate::report::{Report, Row};
use crate::{Options, say};

/// Messages that people write.
pub(crate) const PER_SECOND: u64 = 20;
/// How long the replies may take.
const PATIENCE: Duration = Duration::from_secs(30);
const GLANCE: Duration = Duration::from_millis(20);

/// Measures; everything runs in one process.
pub(crate) async fn run(
    options: &Options,
    install: &mut Installation,
    report: &mut Report,
) -> anyhow::Result<()> {
    install.run(&["all"]).await?;
    install.let_bot_echo().await?;
    // The first replies open connections, read the rules and create the people.
    replies(options, install, report).await?;
    let [mut p50, mut p90, mut p99] = [Series::default(), Series::default(), Series::default()];
    for run in 1..=options.pairs {
        let latencies = replies(options, install, report).await?;
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

/// Sorted milliseconds from message to reply; whatever else is sent meanwhile is not looked at. Both
/// moments are taken in this process: the simulated Meta is part of it.
pub(crate) async fn replies(
    options: &Options,
    install: &Installation,
    report: &mut Report,
) -> anyhow::Result<Vec<f64>> {
    let meta = install.meta();
    meta.forget_sent();
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
    let deadline = Instant::now() + PATIENCE;
    while meta.count_by(is_reply).get(&true).copied().unwrap_or_default() < expected {
        ensure!(Instant::now() < deadline, "replies are missing");
        sleep(GLANCE).await;
    }
    meta.wait_until_delivered(PATIENCE).await?;
    let sent: Vec<Sent> = meta.sent().into_iter().filter(is_reply).collect();
    report.count(u64::try_from(sent.len().abs_diff(expected))?, "replies too many");
    let mut latencies: Vec<f64> = sent
        .iter()
        .filter_map(|sent| Some((sent.at - *written.get(&sent.recipient)?).as_seconds_f64() * 1e3))
        .collect();
    ensure!(latencies.len() == sent.len(), "a reply went to somebody who had not written");
    latencies.sort_by(f64::total_cmp);
    Ok(latencies)
}

fn is_reply(sent: &Sent) -> bool {
    sent.kind == "text"
}
