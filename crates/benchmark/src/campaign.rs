//! Campaigns: what the send ledger costs beside posting without one, whether limits are kept to the
//! second, how long a large audience takes, and who stands in whose way.

mod client;
mod cost;
mod fair;
mod large;
mod limits;
mod overtaking;
mod peer;
mod raw;
mod throughput;
mod wire;

use crate::Options;
use crate::installation::Installation;
use crate::report::Report;

/// Runs every part; the large audience comes last, since its rows stay.
pub(crate) async fn run(
    options: &Options,
    install: &mut Installation,
    report: &mut Report,
) -> anyhow::Result<()> {
    throughput::run(options, install, report).await?;
    cost::run(options, install, report).await?;
    limits::run(options, install, report).await?;
    fair::run(options, install, report).await?;
    overtaking::run(options, install, report).await?;
    large::run(options, install, report).await
}
