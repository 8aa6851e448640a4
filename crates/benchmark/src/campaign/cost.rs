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
const REDIS: &str = "SWITCHYARD__REDIS__URL";

/// Counts over one campaign; whatever the process does besides in that time is counted, too.
pub(super) async fn run(
    options: &Options,
    install: &mut Installation,
    report: &mut Report,
) -> anyhow::Result<()> {
    let recipients = if options.quick { 1_000 } else { 10_000 };
    let sql = Wire::to_postgres(install.db().url()).await?;
    let redis = Wire::to_redis(&options.redis_url.parse()?).await?;
    install.set(DATABASE, sql.url().as_str());
    install.set(REDIS, redis.url().as_str());
    install.run(&["campaign-sender", "conversations"]).await?;
    install.meta().set_faults(silent_meta());
    install.db().people("cost", recipients).await?;
    let connection = install.connection().to_owned();
    send(install, report, &connection, "cost", recipients).await?;
    let [mut statements, mut calls] = [const { Series::empty() }; 2];
    for _ in 0..options.pairs {
        let before = (sql.requests(), redis.requests());
        send(install, report, &connection, "cost", recipients).await?;
        let each = number(recipients);
        statements.push(number(sql.requests() - before.0) / each);
        calls.push(number(redis.requests() - before.1) / each);
    }
    say(&format!("campaign cost: {statements} statements, {calls} Redis calls"));
    report.section("Cost of a message of a campaign, from frozen audience to the end");
    report.row(Row::new("SQL statements, BEGIN and COMMIT included", statements));
    report.row(Row::new("Redis calls, a script counted as one", calls));
    let direct = install.db().url().to_string();
    install.set(DATABASE, &direct);
    install.set(REDIS, &options.redis_url);
    install.stop().await
}
