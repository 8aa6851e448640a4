//! Making campaigns, starting them, and counting at Meta what came of them.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use graph_simulator::{Faults, StatusPlan};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::driver::number;
use crate::installation::Installation;
use crate::report::Report;

/// How long a campaign may stand still.
const PATIENCE: Duration = Duration::from_mins(2);
const GLANCE: Duration = Duration::from_millis(50);
const SERVICE: &str = "campaign-sender";

/// Nothing goes wrong, and no status follows.
pub(super) fn silent_meta() -> Faults {
    let statuses = StatusPlan { statuses: Vec::new(), ..StatusPlan::default() };
    Faults { statuses, ..Faults::default() }
}

/// A draft to everybody with this tag; answers its id. Its template has its name.
pub(super) async fn draft(
    install: &Installation,
    connection: &str,
    name: &str,
    tag: &str,
) -> anyhow::Result<String> {
    let campaign = json!({
        "name": name, "connection": connection, "audience": {"tags": [tag]},
        "template": {"name": name, "language": "en", "params": {"body": ["{{name|friend}}"]}},
        "on_uncertain": "hold",
    });
    let made = install.api(SERVICE, Method::POST, "v1/campaigns", Some(&campaign)).await?;
    Ok(made.get("id").and_then(Value::as_str).context("no id")?.to_owned())
}

pub(super) async fn act(install: &Installation, campaign: &str, verb: &str) -> anyhow::Result<()> {
    let path = format!("v1/campaigns/{campaign}/{verb}");
    install.api(SERVICE, Method::POST, &path, None).await?;
    Ok(())
}

/// Waits until Meta has taken that many messages in all.
pub(super) async fn wait_sent(install: &Installation, all: usize) -> anyhow::Result<()> {
    let mut seen = 0;
    let mut since = Instant::now();
    while install.meta().sent_count() < all {
        let now = install.meta().sent_count();
        if now > seen {
            (seen, since) = (now, Instant::now());
        }
        ensure!(since.elapsed() < PATIENCE, "the campaign stands still: {seen} of {all} sent");
        sleep(GLANCE).await;
    }
    Ok(())
}

/// Waits until the campaign has ended; answers with what it shows then.
pub(super) async fn wait_ended(install: &Installation, campaign: &str) -> anyhow::Result<Value> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let shown =
            install.api(SERVICE, Method::GET, &format!("v1/campaigns/{campaign}"), None).await?;
        let status = shown.get("status").and_then(Value::as_str).unwrap_or_default();
        if status.starts_with("completed") {
            return Ok(shown);
        }
        sleep(GLANCE).await;
    }
    bail!("campaign {campaign} does not end");
}

/// Counts who got how many, and whether the campaign says so too.
pub(super) fn check(
    install: &Installation,
    report: &mut Report,
    shown: &Value,
    recipients: usize,
) -> anyhow::Result<()> {
    let counts = install.meta().count_by(|sent| sent.recipient.clone());
    let more = counts.values().filter(|count| **count > 1).count();
    report.count(u64::try_from(more)?, "recipients of a campaign got it twice");
    report.count(u64::try_from(recipients.saturating_sub(counts.len()))?, "recipients got nothing");
    let accepted = shown.pointer("/counts/accepted").and_then(Value::as_u64).unwrap_or_default();
    let wrong = accepted.abs_diff(u64::try_from(recipients)?);
    report.count(wrong, "recipients are counted wrongly");
    Ok(())
}

/// When each message was taken, in seconds after the first; in order.
pub(super) fn moments(install: &Installation) -> Vec<f64> {
    let sent = install.meta().sent();
    let Some(first) = sent.iter().map(|sent| sent.at).min() else { return Vec::new() };
    let mut moments: Vec<f64> =
        sent.iter().map(|sent| (sent.at - first).as_seconds_f64()).collect();
    moments.sort_by(f64::total_cmp);
    moments
}

/// Messages per second from the first to the last.
pub(super) fn rate(moments: &[f64]) -> f64 {
    match (moments.len(), moments.last()) {
        (2.., Some(last)) if *last > 0.0 => number(moments.len() - 1) / last,
        _ => 0.0,
    }
}
