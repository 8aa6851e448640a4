//! How long a large audience takes to be frozen, and when its first message leaves.

use std::time::Duration;

use anyhow::ensure;
use tokio::time::{Instant, sleep};

use super::client::{act, draft, silent_meta};
use crate::driver::number;
use crate::figures::Series;
use crate::installation::Installation;
use crate::report::{Report, Row};
use crate::{Options, say};

const PATIENCE: Duration = Duration::from_mins(10);
const GLANCE: Duration = Duration::from_millis(100);

/// Measures once: the rows of a second would lie in the same tables.
pub(super) async fn run(
    options: &Options,
    install: &mut Installation,
    report: &mut Report,
) -> anyhow::Result<()> {
    let recipients = if options.quick { 20_000 } else { 1_000_000 };
    install.run(&["campaign-sender", "conversations"]).await?;
    install.meta().set_faults(silent_meta());
    install.db().people("large", recipients).await?;
    let connection = install.connect_also("7900", Some(600)).await?;
    install.meta().forget_sent();
    let campaign = draft(install, &connection, "large", "large").await?;
    let begun = Instant::now();
    act(install, &campaign, "start").await?;
    let prepared =
        "SELECT count(*) FROM campaigns WHERE name = 'large' AND prepared_at IS NOT NULL";
    let [mut frozen, mut first] = [None, None];
    while frozen.is_none() || first.is_none() {
        ensure!(begun.elapsed() < PATIENCE, "the large audience is not ready");
        sleep(GLANCE).await;
        if frozen.is_none() && install.db().count(prepared).await? > 0 {
            frozen = Some(begun.elapsed());
        }
        if first.is_none() && install.meta().sent_count() > 0 {
            first = Some(begun.elapsed());
        }
    }
    act(install, &campaign, "cancel").await?;
    let rows = install.db().count("SELECT total FROM campaigns WHERE name = 'large'").await?;
    report.count(rows.abs_diff(u64::try_from(recipients)?), "recipients of the large audience");
    report.section(&format!("{recipients} recipients"));
    for (what, moment) in
        [("s until all were frozen", frozen), ("s until the first was out", first)]
    {
        let mut series = Series::default();
        series.push(moment.unwrap_or_default().as_secs_f64());
        say(&format!("{recipients} recipients: {series} {what}"));
        report.row(Row::new(what, series));
    }
    let mut each = Series::default();
    each.push(number(rows) / frozen.unwrap_or_default().as_secs_f64());
    report.row(Row::new("recipients frozen per second", each));
    install.stop().await
}
