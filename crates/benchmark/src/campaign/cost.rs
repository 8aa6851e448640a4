//! What a message costs in statements and in calls of Redis, counted on the way.

use super::client::silent_meta;
use super::throughput::send;
use super::wire::Wire;
use crate::driver::number;
use crate::figures::Series;
use crate::installation::Installation;
use crate::report::{Report, Row};
use crate::{Options, say};

const DATABASE: &str = "SWITCHYARD__DATABASE__URL";

/// Counts over one campaign; whatever the process does besides in that time is counted, too.
pub(super) async fn run(
    options: &Options,
    install: &mut Installation,
    report: &mut Report,
) -> anyhow::Result<()> {
    let recipients = if options.quick { 1_000 } else { 10_000 };
    let wire = Wire::to(install.db().url()).await?;
    install.set(DATABASE, wire.url().as_str());
    install.run(&["campaign-sender", "conversations"]).await?;
    install.meta().set_faults(silent_meta());
    install.db().people("cost", recipients).await?;
    let connection = install.connection().to_owned();
    send(install, report, &connection, "cost", recipients).await?;
    let [mut statements, mut calls] = [const { Series::empty() }; 2];
    for _ in 0..options.pairs {
        let (sql, redis) = (wire.statements(), install.redis_calls(options).await?);
        send(install, report, &connection, "cost", recipients).await?;
        let each = number(recipients);
        statements.push(number(wire.statements() - sql) / each);
        calls.push(number(install.redis_calls(options).await? - redis) / each);
    }
    say(&format!("campaign cost: {statements} statements, {calls} Redis calls"));
    report.section("Cost of a message of a campaign, from frozen audience to the end");
    report.row(Row::new("SQL statements, BEGIN and COMMIT included", statements));
    report.row(Row::new("Redis calls", calls));
    let direct = install.db().url().to_string();
    install.set(DATABASE, &direct);
    install.stop().await
}
