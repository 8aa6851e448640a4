//! The door alone: webhooks that are durable at the broker, with nobody who takes them from there.

use std::time::Duration;

use anyhow::ensure;
use messaging::Family;
use tokio::time::{Instant, sleep};

use crate::broker::Sample;
use crate::driver::number;
use crate::figures::{Series, Target};
use crate::installation::Installation;
use crate::load::{Shape, throw};
use crate::report::{Report, Row};
use crate::{Options, say};

/// Bodies of one and of a hundred updates.
const SHAPES: [Shape; 2] = [Shape { updates: 1 }, Shape { updates: 100 }];
/// Fills caches, wakes CPUs, makes the samples.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long the broker may take to count what it has confirmed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A shape with messages that the product makes of it.
pub(crate) struct Sampled {
    pub(crate) shape: Shape,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Default)]
struct Measured {
    raw: Series,
    events: Series,
    posts: Series,
    ratio: Series,
    p50_ms: Series,
    p99_ms: Series,
    cpu_us: Series,
    broker_us: Series,
}

/// Samples both shapes; measures them, too, if `is_wanted`.
pub(crate) async fn run(
    options: &Options,
    install: &mut Installation,
    report: &mut Report,
    is_wanted: bool,
) -> anyhow::Result<Vec<Sampled>> {
    install.run(&["webhook-ingest"]).await?;
    let mut sampled = Vec::new();
    for shape in SHAPES {
        let thrown = throw(install.url("webhook-ingest")?, shape, WARM_UP).await?;
        ensure!(thrown.acknowledged > 0, "no webhook was accepted: {thrown:?}");
        sampled.push(Sampled { shape, samples: install.broker().samples().await? });
        install.broker().purge().await?;
    }
    if is_wanted {
        measure(options, install, report, &sampled).await?;
    }
    install.stop().await?;
    Ok(sampled)
}

async fn measure(
    options: &Options,
    install: &Installation,
    report: &mut Report,
    sampled: &[Sampled],
) -> anyhow::Result<()> {
    let mut all: Vec<Measured> = sampled.iter().map(|_| Measured::default()).collect();
    for pair in 1..=options.pairs {
        for (sampled, series) in sampled.iter().zip(&mut all) {
            let raw = install.broker().raw_limit(&sampled.samples, options.raw_run()).await?;
            let events = one(options, install, report, sampled.shape, series).await?;
            series.raw.push(raw);
            series.ratio.push(events / raw);
            let updates = sampled.shape.updates;
            say(&format!("ingest {pair}, {updates} a POST: raw {raw:.0}/s, events {events:.0}/s"));
        }
    }
    for (sampled, series) in sampled.iter().zip(all) {
        write(report, sampled, series);
    }
    Ok(())
}

/// One run; answers with events per second.
async fn one(
    options: &Options,
    install: &Installation,
    report: &mut Report,
    shape: Shape,
    series: &mut Measured,
) -> anyhow::Result<f64> {
    let watched = install.watched();
    let before = watched.read();
    let thrown = throw(install.url("webhook-ingest")?, shape, options.run()).await?;
    let used = watched.read().since(&before);
    ensure!(thrown.acknowledged > 0, "no webhook was accepted: {thrown:?}");
    report.refused(&thrown);
    let slow = install.broker().drain(&[Family::WebhooksSlow]).await?;
    if slow * 100 > thrown.events {
        report.note(&format!("{slow} of {} events took the slow lane.", thrown.events));
    }
    let queued = slow + drained(install, thrown.events.saturating_sub(slow)).await?;
    report.count(thrown.events.saturating_sub(queued), "acknowledged events lost");
    install.broker().purge().await?;
    let events = number(thrown.events) / thrown.elapsed_s;
    series.events.push(events);
    series.posts.push(thrown.acknowledged_per_second);
    series.p50_ms.push(number(thrown.p50_us) / 1_000.0);
    series.p99_ms.push(number(thrown.p99_us) / 1_000.0);
    for (name, us) in used {
        let per_event = us / number(thrown.events);
        match name {
            "webhook-ingest" => series.cpu_us.push(per_event),
            "RabbitMQ" => series.broker_us.push(per_event),
            _ => (),
        }
    }
    Ok(events)
}

/// Takes the events out of the queues, until it is as many as expected.
async fn drained(install: &Installation, expected: u64) -> anyhow::Result<u64> {
    let deadline = Instant::now() + PATIENCE;
    let mut events = 0;
    while events < expected && Instant::now() < deadline {
        events += install.broker().drain(&[Family::Webhooks]).await?;
        sleep(Duration::from_millis(100)).await;
    }
    Ok(events)
}

fn write(report: &mut Report, sampled: &Sampled, series: Measured) {
    let bytes: usize = sampled.samples.iter().map(Sample::bytes).sum();
    let bytes = bytes / sampled.samples.len().max(1);
    report.section(&format!(
        "Ingest, {} updates a POST, {bytes} bytes a message, {} connections",
        sampled.shape.updates,
        crate::load::CONNECTIONS
    ));
    report.row(Row::new("raw: confirmed publishes per second", series.raw));
    report.row(Row::new("events per second, durable", series.events));
    report.row(Row::new("POSTs acknowledged per second", series.posts));
    report.row(Row::new("events / raw, pair by pair", series.ratio).wanted(Target::AtLeast(0.35)));
    report.row(Row::new("acknowledgement p50, ms", series.p50_ms));
    report.row(Row::new("acknowledgement p99, ms", series.p99_ms));
    report.row(Row::new("CPU µs per event, webhook-ingest", series.cpu_us));
    report.row(Row::new("CPU µs per event, RabbitMQ", series.broker_us));
}
