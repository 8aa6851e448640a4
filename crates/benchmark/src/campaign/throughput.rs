//! A campaign without limits beside the same messages posted without a ledger, in turn.

use std::time::Duration;

use graph_simulator::{Answer, Faults, SendRule};

use super::client::{act, check, draft, moments, rate, silent_meta, wait_ended, wait_sent};
use super::peer::Peer;
use super::raw;
use crate::driver::number;
use crate::figures::{Series, Target};
use crate::installation::Installation;
use crate::report::{Report, Row};
use crate::{Options, say};

/// Meta takes this long to answer, in one of the settings.
const LATENCY_MS: u64 = 50;

/// What one campaign showed.
pub(super) struct Sending {
    /// Messages per second, from the first that Meta took to the last.
    pub(super) rate: f64,
    /// CPU microseconds per message, by process.
    pub(super) cpu_us: Vec<(&'static str, f64)>,
}

/// Sends one campaign to `recipients` people that are there already, and counts.
pub(super) async fn send(
    install: &Installation,
    report: &mut Report,
    connection: &str,
    tag: &str,
    recipients: usize,
) -> anyhow::Result<Sending> {
    install.meta().forget_sent();
    let campaign = draft(install, connection, "bench", tag).await?;
    let watched = install.watched();
    let before = watched.read();
    act(install, &campaign, "start").await?;
    wait_sent(install, recipients).await?;
    let shown = wait_ended(install, &campaign).await?;
    let used = watched.read().since(&before);
    check(install, report, &shown, recipients)?;
    let each = number(recipients);
    let cpu_us = used.into_iter().map(|(name, us)| (name, us / each)).collect();
    Ok(Sending { rate: rate(&moments(install)), cpu_us })
}

/// Measures with Meta answering at once, and with 50 ms; then with every status taken in meanwhile.
pub(super) async fn run(
    options: &Options,
    install: &mut Installation,
    report: &mut Report,
) -> anyhow::Result<()> {
    let recipients = if options.quick { 1_000 } else { 10_000 };
    install.run(&["campaign-sender", "conversations"]).await?;
    install.db().people("throughput", recipients).await?;
    let connection = install.connection().to_owned();
    // The first opens connections and makes everybody's conversation.
    install.meta().set_faults(silent_meta());
    send(install, report, &connection, "throughput", recipients).await?;
    pairs(options, install, report, recipients, "Meta answers at once").await?;
    let slow = SendRule { delay_ms: LATENCY_MS, ..SendRule::new(Answer::Ok) };
    install.meta().set_faults(Faults { sends: vec![slow], ..silent_meta() });
    pairs(options, install, report, recipients, "Meta takes 50 ms").await?;
    beside_peer(options, install, report, recipients).await?;
    install.stop().await?;
    with_statuses(options, install, report, recipients).await
}

async fn pairs(
    options: &Options,
    install: &Installation,
    report: &mut Report,
    recipients: usize,
    title: &str,
) -> anyhow::Result<()> {
    let [mut without, mut with, mut ratio] = [const { Series::empty() }; 3];
    let mut cpu: Vec<(&'static str, Series)> = Vec::new();
    for pair in 1..=options.pairs {
        let ours = send(install, report, install.connection(), "throughput", recipients).await?;
        let sent = install.meta().sent();
        let raw = raw::run(install, &sent).await?;
        say(&format!("campaign {pair}, {title}: raw {raw:.0}/s, ours {:.0}/s", ours.rate));
        without.push(raw);
        with.push(ours.rate);
        ratio.push(ours.rate / raw);
        add(&mut cpu, ours.cpu_us);
    }
    report.section(&format!("A campaign without limits, {recipients} recipients, {title}"));
    report.row(Row::new("raw: posts per second without a ledger, 256 at once", without));
    report.row(Row::new("messages per second", with));
    report.row(Row::new("messages / raw, pair by pair", ratio).wanted(Target::AtLeast(0.6)));
    for (name, series) in cpu {
        report.row(Row::new(&format!("CPU µs per message, {name}"), series));
    }
    Ok(())
}

/// In turn with the peer, which is not counted: it has no ids that could be.
async fn beside_peer(
    options: &Options,
    install: &Installation,
    report: &mut Report,
    recipients: usize,
) -> anyhow::Result<()> {
    let peer = Peer::install(options).await;
    let [mut theirs, mut ours, mut ratio] = [const { Series::empty() }; 3];
    for _ in 0..options.pairs {
        let Ok(peer) = &peer else { break };
        let peer = peer.run(install).await?;
        let own = send(install, report, install.connection(), "throughput", recipients).await?;
        say(&format!("campaign beside a peer, 50 ms: theirs {peer:.0}/s, ours {:.0}/s", own.rate));
        theirs.push(peer);
        ours.push(own.rate);
        ratio.push(own.rate / peer);
    }
    report.section("Beside django-meta-whatsapp 1.1 on SQLite in memory, Meta takes 50 ms");
    if let Err(reason) = &peer {
        report.note(&format!("django-meta-whatsapp is missing: {reason:#}."));
    }
    report.row(Row::new("its messages per second, 100 recipients", theirs));
    report.row(Row::new(&format!("ours, {recipients} recipients"), ours));
    report.row(Row::new("ours / its, pair by pair", ratio));
    Ok(())
}

/// What it comes to when three statuses of each message are worked off beside it.
async fn with_statuses(
    options: &Options,
    install: &mut Installation,
    report: &mut Report,
    recipients: usize,
) -> anyhow::Result<()> {
    install.run(&["all"]).await?;
    install.meta().set_faults(Faults::default());
    let mut rates = Series::default();
    let mut cpu: Vec<(&'static str, Series)> = Vec::new();
    for _ in 0..options.pairs {
        let connection = install.connection().to_owned();
        let ours = send(install, report, &connection, "throughput", recipients).await?;
        install.meta().wait_until_delivered(Duration::from_mins(2)).await?;
        rates.push(ours.rate);
        add(&mut cpu, ours.cpu_us);
    }
    report
        .section("The same in one process that takes three statuses of each message in meanwhile");
    report.row(Row::new("messages per second", rates));
    for (name, series) in cpu {
        report
            .row(Row::new(&format!("CPU µs per message until the campaign ends, {name}"), series));
    }
    install.stop().await
}

fn add(all: &mut Vec<(&'static str, Series)>, run: Vec<(&'static str, f64)>) {
    for (name, us) in run {
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, series)) => series.push(us),
            None => {
                let mut series = Series::default();
                series.push(us);
                all.push((name, series));
            }
        }
    }
}
