//! Every process reads the rows of `coordination_overrides`.
//!
//! Invariant: while the database is away, the last that was read stays in force.

use std::sync::Arc;
use std::time::Duration;

use kernel::chain;
use tokio::time::sleep;
use tracing::{debug, info};

use super::{Overrides, Overriding, rows};
use crate::postgres::{Postgres, PostgresAway};

/// How often the rows are read.
const READ_EVERY: Duration = Duration::from_secs(5);

/// Reads the overrides, laid over what the settings say, into `overrides` for as long as it is
/// polled.
pub(crate) async fn run(
    postgres: Arc<Postgres>,
    overrides: Arc<Overrides>,
    configured: Overriding,
) {
    let mut last = configured.clone();
    loop {
        match read(&postgres, configured.clone()).await {
            Ok(now) if now != last => {
                let (locks, limits) = (now.lock_modes.len(), now.limits());
                info!(locks, limits, "the overrides have changed");
                overrides.replace(now.clone());
                last = now;
            }
            Ok(_) => (),
            Err(away) => debug!(error = %chain(&away), "the last overrides stay in force"),
        }
        sleep(READ_EVERY).await;
    }
}

/// What is in force now, by the database's clock.
async fn read(postgres: &Postgres, configured: Overriding) -> Result<Overriding, PostgresAway> {
    postgres.run(async move |conn| rows::read(conn, configured).await).await
}
