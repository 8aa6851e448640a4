//! Finds turns whose hint got lost: a dead letter, or a broker that lost its queues.
//!
//! Hints are durable, so this finds nothing in a healthy installation and must cost nothing there:
//! it looks at each span of `events` once, by the time-ordered primary key, and asks only about
//! conversations of which a message was received in that span.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use kernel::{Clock, Retryable, chain};
use storage::{Database, StorageError, bot_turns};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::turns::{Hints, Turns};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(5);

/// Younger events may still be on their way, or not be committed: a transaction that idles is ended
/// after 20 s.
const LEFT_BEHIND: TimeDelta = TimeDelta::seconds(30);

/// How far back a new process looks. Hints that waited longer wait in their queue.
const LOOK_BACK: TimeDelta = TimeDelta::minutes(15);

/// The longest span of one query.
const SPAN: TimeDelta = TimeDelta::minutes(1);

pub(crate) async fn run(
    turns: Arc<Turns>,
    db: Database,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut from = clock.now() - LOOK_BACK;
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        let end = clock.now() - LEFT_BEHIND;
        while from < end && !stop.is_cancelled() {
            let to = end.min(from + SPAN);
            if let Err(error) = sweep(&turns, &db, from, to).await {
                warn!(error = %chain(&error), "search for overlooked bot turns will be repeated");
                break;
            }
            from = to;
        }
    }
    Ok(())
}

/// Plays what was overlooked in a span; `Err` when the span must be looked at again.
async fn sweep(
    turns: &Turns,
    db: &Database,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<(), StorageError> {
    let overlooked = {
        let mut conn = db.connection().await?;
        bot_turns::overlooked(&mut conn, from, to).await?
    };
    // One by one: a conversation that fails for good must not hide the others.
    for conversation in overlooked {
        match turns.play(&Hints::about(conversation)).await {
            Ok(0) => (),
            Ok(_) => info!(conversation.id = %conversation, "overlooked bot turn played"),
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                error!(conversation.id = %conversation, error = %chain(&error), "bot turn cannot be played");
            }
        }
    }
    Ok(())
}
