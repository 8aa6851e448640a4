//! Contacts: finding some among millions, bringing a million in and out.

mod runs;
mod search;

use crate::Options;
use crate::installation::Installation;
use crate::report::Report;

/// Runs every part.
pub(crate) async fn run(
    options: &Options,
    install: &mut Installation,
    report: &mut Report,
) -> anyhow::Result<()> {
    search::run(options, install, report).await?;
    runs::run(options, install, report).await
}
