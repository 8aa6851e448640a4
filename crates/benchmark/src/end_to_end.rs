//! From the POST to the committed row, until every queue is empty again.

use std::time::Duration;

use anyhow::ensure;
use messaging::Family;
use tokio::time::{Instant, sleep};

use crate::driver::number;
use crate::figures::{Series, Target};
use crate::ingest::Sampled;
use crate::installation::Installation;
use crate::load::{PERSONS, Shape, throw};
use crate::report::{Report, Row};
use crate::{Options, say};

/// The rate from which the CPU targets count.
const FULL_LOAD: f64 = 5_000.0;
/// How long a backlog may last after the load.
const PATIENCE: Duration = Duration::from_mins(5);
const GLANCE: Duration = Duration::from_millis(20);
/// Creates everybody's contact and conversation, which each happens once.
const WARM_UP: Duration = Duration::from_secs(3);

/// Who works.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Staff {
    /// Ingest and conversations; what is meant for bots stays in their queues.
    WithoutChatbot,
    /// The chatbot as well, with a bot that has no rules: it looks at every message.
    Everybody,
}

/// What one run showed.
pub(crate) struct Run {
    /// Events per second until the last was committed.
    pub(crate) committed: f64,
    /// Events per second until nothing was left to do at all.
    done: f64,
    pub(crate) cpu_us: Vec<(&'static str, f64)>,
}

#[derive(Default)]
struct Measured {
    raw: Series,
    committed: Series,
    done: Series,
    ratio: Series,
    cpu_us: Vec<(&'static str, Series)>,
}

/// Measures each shape.
pub(crate) async fn run(
    options: &Options,
    install: &mut Installation,
    report: &mut Report,
    sampled: &[Sampled],
    staff: Staff,
) -> anyhow::Result<()> {
    install.broker().purge().await?;
    install.run(staff.services()).await?;
    if staff == Staff::Everybody {
        install.attach_bot().await?;
    }
    let mut all: Vec<Measured> = sampled.iter().map(|_| Measured::default()).collect();
    for sampled in sampled {
        one(install, report, sampled.shape, WARM_UP, staff).await?;
    }
    for pair in 1..=options.pairs {
        for (sampled, measured) in sampled.iter().zip(&mut all) {
            let raw = install.broker().raw_limit(&sampled.samples, options.raw_run()).await?;
            let run = one(install, report, sampled.shape, options.run(), staff).await?;
            let updates = sampled.shape.updates;
            let committed = run.committed;
            say(&format!(
                "{staff} {pair}, {updates} a POST: raw {raw:.0}/s, rows {committed:.0}/s"
            ));
            measured.add(raw, run);
        }
    }
    for (sampled, measured) in sampled.iter().zip(all) {
        measured.write(report, sampled.shape, staff);
    }
    if staff == Staff::WithoutChatbot {
        // Their hints were purged, so no chatbot that starts later has to work them off.
        install.db().play_all_turns().await?;
    }
    install.stop().await
}

/// One load, counted, with nothing left to do.
pub(crate) async fn one(
    install: &Installation,
    report: &mut Report,
    shape: Shape,
    time: Duration,
    staff: Staff,
) -> anyhow::Result<Run> {
    let rows_before = install.db().messages().await?;
    let moment = install.db().text("SELECT clock_timestamp()::text").await?;
    let watched = install.watched();
    let before = watched.read();
    let thrown = throw(install.url("webhook-ingest")?, shape, time).await?;
    let first = Instant::now() - Duration::from_secs_f64(thrown.elapsed_s);
    ensure!(thrown.acknowledged > 0, "no webhook was accepted: {thrown:?}");
    wait_committed(install, &moment, thrown.events).await?;
    let committed = first.elapsed();
    wait_done(install, staff).await?;
    let done = first.elapsed();
    let used = watched.read().since(&before);
    report.refused(&thrown);
    let rows = install.db().messages().await? - rows_before;
    report.lost(thrown.events, rows, &thrown, shape);
    install.broker().purge().await?;
    let events = number(thrown.events);
    Ok(Run {
        committed: events / committed.as_secs_f64(),
        done: events / done.as_secs_f64(),
        cpu_us: used.into_iter().map(|(name, us)| (name, us / events)).collect(),
    })
}

/// Waits until that many events have taken effect. The database is asked only when the queues are
/// empty, since it shares the machine with what is measured.
async fn wait_committed(install: &Installation, moment: &str, events: u64) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while install.broker().depth(&[Family::Webhooks, Family::WebhooksSlow]).await? > 0 {
        ensure!(Instant::now() < deadline, "the webhooks' queues are not empty");
        sleep(GLANCE).await;
    }
    while install.db().taken_since(moment).await? < events {
        ensure!(Instant::now() < deadline, "events are lost between the queues and the rows");
        sleep(GLANCE).await;
    }
    Ok(())
}

/// Waits until what followed is done, too: everything told onwards, every bot's turn played.
async fn wait_done(install: &Installation, staff: Staff) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while install.db().count("SELECT count(*) FROM outbox").await? > 0 {
        ensure!(Instant::now() < deadline, "the outbox is not empty");
        sleep(GLANCE).await;
    }
    while staff == Staff::Everybody && install.broker().depth(&[Family::Chatbots]).await? > 0 {
        ensure!(Instant::now() < deadline, "the bots' queues are not empty");
        sleep(GLANCE).await;
    }
    Ok(())
}

impl Staff {
    pub(crate) const fn services(self) -> &'static [&'static str] {
        match self {
            Self::WithoutChatbot => &["webhook-ingest", "conversations"],
            Self::Everybody => &["webhook-ingest", "conversations", "chatbot"],
        }
    }
}

impl std::fmt::Display for Staff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::WithoutChatbot => "without chatbot",
            Self::Everybody => "with chatbot",
        })
    }
}

impl Measured {
    fn add(&mut self, raw: f64, run: Run) {
        self.raw.push(raw);
        self.ratio.push(run.committed / raw);
        self.committed.push(run.committed);
        self.done.push(run.done);
        for (name, us) in run.cpu_us {
            match self.cpu_us.iter_mut().find(|(known, _)| *known == name) {
                Some((_, series)) => series.push(us),
                None => {
                    let mut series = Series::default();
                    series.push(us);
                    self.cpu_us.push((name, series));
                }
            }
        }
    }

    fn write(self, report: &mut Report, shape: Shape, staff: Staff) {
        let updates = shape.updates;
        report.section(&format!(
            "HTTP to committed rows, {staff}, {updates} updates a POST, {PERSONS} people"
        ));
        let rate = self.committed.median().unwrap_or(0.0);
        // The targets are for the main path at a rate where batches are full.
        let is_judged = staff == Staff::WithoutChatbot;
        report.row(Row::new("raw: confirmed publishes per second", self.raw));
        report.row(Row::new("events per second, committed", self.committed));
        report.row(Row::new("events per second, nothing left to do", self.done));
        report.row(
            Row::new("committed / raw, pair by pair", self.ratio).wanted(Target::AtLeast(0.25)),
        );
        for (name, series) in self.cpu_us {
            let target = match name {
                "webhook-ingest" => Target::AtMost(50.0),
                "conversations" => Target::AtMost(40.0),
                "PostgreSQL" => Target::AtMost(75.0),
                _ => Target::None,
            };
            let row = Row::new(&format!("CPU µs per event, {name}"), series);
            report.row(row.wanted(if is_judged { target } else { Target::None }));
        }
        if is_judged && rate < FULL_LOAD {
            report.note(&format!(
                "The CPU targets are meant for {FULL_LOAD:.0} events per second; {rate:.0} were reached."
            ));
        }
    }
}
