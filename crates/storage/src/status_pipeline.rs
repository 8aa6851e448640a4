//! How far Meta's statuses have come through: tells silence from lateness (ADR-0004).
//!
//! A send whose outcome is unknown may be presumed unsent only when its status would have come by now.
//! Three things can make a status late: it waits in a lane, it was set aside after a failure, or the
//! door was shut and Meta comes again whenever it likes. Lanes carry markers, which show what has been
//! handled; the processes on the way record when they failed, and that they live.

mod pulse;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

pub use self::pulse::Pulse;
use crate::StorageError;
use kernel::statement;

/// A process that has been silent for this long may be dead, with statuses in its hands.
const SILENT: TimeDelta = TimeDelta::seconds(3);

/// Rows of processes and lanes that are long gone say nothing any more.
const GONE: TimeDelta = TimeDelta::days(1);

statement! {
    Beat(part: String, now: DateTime<Utc>, outage_at: Option<DateTime<Utc>>) -> () {
        "INSERT INTO status_pipeline AS p (part, alive_at, outage_at) VALUES ("
        [part: Text] ", " [now: Timestamptz] ", " [outage_at: Nullable<Timestamptz>]
        ") ON CONFLICT (part) DO UPDATE SET alive_at = GREATEST(p.alive_at, EXCLUDED.alive_at), \
         outage_at = GREATEST(p.outage_at, EXCLUDED.outage_at)"
    }
}

/// Records that a process lives, and when it last failed.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn beat(
    conn: &mut AsyncPgConnection,
    part: &str,
    now: DateTime<Utc>,
    outage_at: Option<DateTime<Utc>>,
) -> Result<(), StorageError> {
    Beat { part: part.to_owned(), now, outage_at }.execute(conn).await?;
    Ok(())
}

statement! {
    Leave(part: String) -> () { "DELETE FROM status_pipeline WHERE part = " [part: Text] }
}

/// Forgets a process that ended with nothing in its hands.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn leave(conn: &mut AsyncPgConnection, part: &str) -> Result<(), StorageError> {
    Leave { part: part.to_owned() }.execute(conn).await?;
    Ok(())
}

statement! {
    Pass(parts: Vec<String>, marks: Vec<DateTime<Utc>>) -> () {
        "INSERT INTO status_pipeline AS p (part, alive_at) SELECT * FROM unnest("
        [parts: Array<Text>] ", " [marks: Array<Timestamptz>]
        ") AS s ON CONFLICT (part) DO UPDATE SET alive_at = GREATEST(p.alive_at, EXCLUDED.alive_at)"
    }
}

/// Records markers that came through lanes: (lane, when the marker was made).
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn pass(
    tx: &mut AsyncPgConnection,
    mut markers: Vec<(String, DateTime<Utc>)>,
) -> Result<(), StorageError> {
    if markers.is_empty() {
        return Ok(());
    }
    // Of several in one batch the newest counts.
    markers.sort_by(|a, b| (&a.0, b.1).cmp(&(&b.0, a.1)));
    markers.dedup_by(|a, b| a.0 == b.0);
    let parts = markers.iter().map(|(lane, _)| format!("lane/{lane}")).collect();
    let marks = markers.into_iter().map(|(_, mark)| mark).collect();
    Pass { parts, marks }.execute(tx).await?;
    Ok(())
}

/// How late statuses may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lateness {
    /// Lanes that markers have come through.
    pub lanes: i64,
    /// Every status received before this has taken effect, if all lanes are there.
    pub caught_up_to: Option<DateTime<Utc>>,
    /// When a status may last have been lost sight of, to come again later.
    pub last_outage: Option<DateTime<Utc>>,
}

type Row = (i64, Option<DateTime<Utc>>, Option<DateTime<Utc>>, Option<DateTime<Utc>>);

statement! {
    Read(silent_since: DateTime<Utc>, gone_since: DateTime<Utc>)
    -> (BigInt, Nullable<Timestamptz>, Nullable<Timestamptz>, Nullable<Timestamptz>) {
        "SELECT count(*) FILTER (WHERE part LIKE 'lane/%'), \
         min(alive_at) FILTER (WHERE part LIKE 'lane/%'), max(outage_at), \
         max(alive_at) FILTER (WHERE part NOT LIKE 'lane/%' AND alive_at < "
        [silent_since: Timestamptz]
        ") FROM status_pipeline WHERE alive_at > " [gone_since: Timestamptz]
    }
}

/// Reads how late statuses may be. Nobody knows of a silent process whether it is dead or stands still, with
/// statuses in its hands and at its door that came after its last sign of life: that is an outage which goes
/// on, until the process is given up `given_up_after` that sign.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn read(
    conn: &mut AsyncPgConnection,
    now: DateTime<Utc>,
    given_up_after: TimeDelta,
) -> Result<Lateness, StorageError> {
    let statement = Read { silent_since: now - SILENT, gone_since: now - GONE };
    let (lanes, caught_up_to, failed_at, silent_since): Row = statement.get_result(conn).await?;
    let silent_until = silent_since.map(|since| now.min(since + given_up_after));
    Ok(Lateness { lanes, caught_up_to, last_outage: failed_at.max(silent_until) })
}
