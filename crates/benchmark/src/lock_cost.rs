//! What the locks of the main job cost: the same load with its locks off and on, in turn.

use std::time::Duration;

use crate::end_to_end::{Run, Staff, one};
use crate::figures::{Series, Target};
use crate::installation::Installation;
use crate::load::Shape;
use crate::report::{Report, Row};
use crate::{Options, say};

const VARIABLE: &str = "SWITCHYARD__COORDINATION__LOCKS";
/// Those of the path from a webhook to its rows.
const OFF: &str = "webhook_message.mode=off,webhook_status.mode=off,webhook_process.mode=off";
/// As the registry has them.
const ON: &str = "";
/// A batch of locks costs most when it is small.
const SHAPE: Shape = Shape { updates: 1 };
const WARM_UP: Duration = Duration::from_secs(2);
/// Not part of the job.
const OURSELVES: &str = "load generator";

/// Measures pairs; every second one begins with the locks on.
pub(crate) async fn run(
    options: &Options,
    install: &mut Installation,
    report: &mut Report,
) -> anyhow::Result<()> {
    let [mut rate, mut job, mut service, mut redis] = [const { Series::empty() }; 4];
    for pair in 1..=options.pairs {
        let (off, on) = if pair % 2 == 0 {
            let on = measured(options, install, report, ON).await?;
            (measured(options, install, report, OFF).await?, on)
        } else {
            let off = measured(options, install, report, OFF).await?;
            (off, measured(options, install, report, ON).await?)
        };
        let all = |run: &Run| cpu(run, |name| !name.starts_with(OURSELVES));
        rate.push(on.committed / off.committed);
        job.push(all(&on) / all(&off));
        service.push(
            cpu(&on, |name| name == "conversations") - cpu(&off, |name| name == "conversations"),
        );
        redis.push(cpu(&on, |name| name == "Redis") - cpu(&off, |name| name == "Redis"));
        say(&format!("locks {pair}: rate {rate}, CPU {job}"));
    }
    report.section("Locks of the main job on / off, 1 update a POST, pair by pair");
    report.row(Row::new("events per second", rate).wanted(Target::AtLeast(0.99)));
    report.row(Row::new("CPU per event of everybody", job).wanted(Target::AtMost(1.01)));
    report.row(Row::new("CPU µs per event more, conversations", service));
    report.row(Row::new("CPU µs per event more, Redis", redis));
    Ok(())
}

async fn measured(
    options: &Options,
    install: &mut Installation,
    report: &mut Report,
    locks: &str,
) -> anyhow::Result<Run> {
    let staff = Staff::WithoutChatbot;
    install.set(VARIABLE, locks);
    install.broker().purge().await?;
    install.run(staff.services()).await?;
    one(install, report, SHAPE, WARM_UP, staff).await?;
    let run = one(install, report, SHAPE, options.run(), staff).await?;
    install.db().play_all_turns().await?;
    install.stop().await?;
    Ok(run)
}

fn cpu(run: &Run, is_wanted: impl Fn(&str) -> bool) -> f64 {
    run.cpu_us.iter().filter(|(name, _)| is_wanted(name)).map(|(_, us)| us).sum()
}
