//! How much longer a bot's reply takes while a campaign uses up the connection's limit.

use super::client::{act, draft, silent_meta};
use crate::driver::quantile;
use crate::figures::{Series, Target};
use crate::installation::{Installation, PHONE};
use crate::latency::{PER_SECOND, replies};
use crate::report::{Report, Row};
use crate::{Options, say};

/// Of the connection, per second: the replies need a quarter of it.
const LIMIT: u32 = 80;

/// Measures with and without a campaign in turn.
pub(super) async fn run(
    options: &Options,
    install: &mut Installation,
    report: &mut Report,
) -> anyhow::Result<()> {
    install.run(&["all"]).await?;
    install.meta().set_faults(silent_meta());
    install.let_bot_echo().await?;
    let connection = install.connection().to_owned();
    install.limit(&connection, Some(LIMIT * 60)).await?;
    let seconds = options.quiet_run().as_secs() + 5;
    install.db().people("overtaken", usize::try_from(u64::from(LIMIT) * seconds)?).await?;
    replies(options, install, report).await?;
    let [mut alone, mut beside, mut added] = [const { Series::empty() }; 3];
    for pair in 1..=options.pairs {
        let quiet = quantile(&replies(options, install, report).await?, 99);
        let campaign = draft(install, &connection, "overtaken", "overtaken").await?;
        act(install, &campaign, "start").await?;
        let busy = quantile(&replies(options, install, report).await?, 99);
        act(install, &campaign, "cancel").await?;
        say(&format!("overtaking {pair}: p99 {quiet:.1} ms alone, {busy:.1} ms beside a campaign"));
        alone.push(quiet);
        beside.push(busy);
        added.push(busy - quiet);
    }
    report.section(&format!(
        "A bot's replies ({PER_SECOND} per second) beside a campaign, both on {PHONE} with {LIMIT} per second"
    ));
    report.row(Row::new("p99 alone, ms", alone));
    report.row(Row::new("p99 beside the campaign, ms", beside));
    report.row(Row::new("added p99, pair by pair, ms", added).wanted(Target::AtMost(10.0)));
    install.limit(&connection, None).await?;
    install.stop().await
}
