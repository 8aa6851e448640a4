//! The one connection of a process on which it is told of locks that were released.
//!
//! Invariant: whatever may have been missed is made up for by asking again: everybody who waits is
//! woken once whenever the connection is new.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use diesel_async::{AsyncPgConnection, RunQueryDsl as _};
use futures_util::StreamExt as _;
use kernel::chain;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::locks::{CHANNEL, Queues};
use super::{Postgres, PostgresAway, RESPONSE_TIMEOUT};
use crate::lock::waiters::Waiters;

/// The pause before a lost connection is made again.
const AGAIN: Duration = Duration::from_millis(250);
/// How long a connection may be quiet before it is checked.
const CHECK_AFTER: Duration = Duration::from_secs(5);

/// Listens for as long as it is polled.
pub(crate) async fn run(postgres: Arc<Postgres>, queues: Arc<Queues>, waiters: Arc<Waiters>) {
    loop {
        if let Err(error) = listen(&postgres, &queues, &waiters).await {
            debug!(error = %chain(&error), "the listener connects again");
        }
        sleep(AGAIN).await;
    }
}

async fn listen(
    postgres: &Postgres,
    queues: &Queues,
    waiters: &Waiters,
) -> Result<(), PostgresAway> {
    let mut conn = postgres.dial().await?;
    ask(&mut conn, &format!("LISTEN {CHANNEL}")).await?;
    waiters.wake_all();
    loop {
        {
            let mut notices = pin!(conn.notifications_stream());
            while let Ok(Some(notice)) = timeout(CHECK_AFTER, notices.next()).await {
                queues.wake(&notice?.payload, waiters);
            }
        }
        // Quiet, or ended: the answer tells which.
        ask(&mut conn, "SELECT 1").await?;
    }
}

async fn ask(conn: &mut AsyncPgConnection, sql: &str) -> Result<(), PostgresAway> {
    timeout(RESPONSE_TIMEOUT, diesel::sql_query(sql).execute(conn)).await??;
    Ok(())
}
