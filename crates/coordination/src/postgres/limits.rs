//! Rate limits in PostgreSQL: a row of `rate_limits` each, the same answers as on Redis.
//!
//! Invariant: the rows of one question are locked in their keys' byte order, read, decided upon and
//! charged in one transaction, on the database's clock as it was when the last of them was locked.

mod window;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;
use diesel::sql_types::{self, Array, BigInt, Text};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};
use kernel::statement;
use uuid::Uuid;

use self::window::{Change, Row, Verdict, decide};
use super::{Postgres, PostgresAway, microseconds};

/// Rows deleted in one statement.
const SWEPT: i64 = 1_000;

/// A limit in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) key: String,
    /// Units of the window, or of a paced limit's burst.
    pub(crate) ceiling: u32,
    pub(crate) window: Duration,
    /// The time that one unit of a paced limit costs; `None`: an exact log.
    pub(crate) interval: Option<Duration>,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// So many units; for each limit what a paced one was paid up to before and after, in us.
    Granted { units: u32, paid: Vec<(i64, i64)> },
    /// None, and nothing was charged; which limit binds, and for how long.
    Denied { after: Duration, binding: usize },
}

/// Limits of one process in PostgreSQL; cheap to clone.
#[derive(Clone)]
pub(crate) struct PgLimits {
    postgres: Arc<Postgres>,
}

statement! {
    Lock(keys: Vec<String>) -> (Text, Array<BigInt>, Array<sql_types::Uuid>, BigInt, BigInt) {
        "INSERT INTO rate_limits AS kept (limit_key, expires_at) \
         SELECT key, clock_timestamp() FROM unnest(" [keys: Array<Text>] ") AS asked (key) \
         ON CONFLICT (limit_key) DO UPDATE SET limit_key = excluded.limit_key \
         RETURNING limit_key, admitted_us, units, paid_us, \
         (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    }
}

statement! {
    Charge(keys: Vec<String>, dropped: Vec<i64>, added: Vec<i64>, at_us: Vec<i64>,
           paid_us: Vec<i64>, kept_us: Vec<i64>, unit: Uuid) -> () {
        "UPDATE rate_limits AS kept SET \
         admitted_us = admitted_us[dropped + 1:] || array_fill(at_us, ARRAY[added]), \
         units = units[dropped + 1:] || array_fill(" [unit: sql_types::Uuid] ", ARRAY[added]), \
         paid_us = c.paid_us, expires_at = clock_timestamp() + kept_us * interval '1 microsecond' \
         FROM (SELECT key, dropped::integer, added::integer, at_us, paid_us, kept_us FROM unnest("
        [keys: Array<Text>] ", " [dropped: Array<BigInt>] ", " [added: Array<BigInt>] ", "
        [at_us: Array<BigInt>] ", " [paid_us: Array<BigInt>] ", " [kept_us: Array<BigInt>]
        ") AS c (key, dropped, added, at_us, paid_us, kept_us)) AS c WHERE kept.limit_key = c.key"
    }
}

statement! {
    RefundLog(key: String, unit: Uuid) -> () {
        "UPDATE rate_limits SET (admitted_us, units) = (SELECT \
         coalesce(array_agg(at ORDER BY place), '{}'), coalesce(array_agg(unit ORDER BY place), '{}') \
         FROM unnest(admitted_us, units) WITH ORDINALITY AS entry (at, unit, place) WHERE unit <> "
        [unit: sql_types::Uuid] ") WHERE limit_key = " [key: Text]
    }
}

statement! {
    RefundPace(key: String, before: i64, after: i64) -> () {
        "UPDATE rate_limits SET paid_us = " [before: BigInt] " WHERE limit_key = " [key: Text]
        " AND paid_us = " [after: BigInt]
    }
}

statement! {
    Sweep(most: i64) -> () {
        "DELETE FROM rate_limits WHERE limit_key IN (SELECT limit_key FROM rate_limits \
         WHERE expires_at < clock_timestamp() LIMIT " [most: BigInt] " FOR UPDATE SKIP LOCKED)"
    }
}

/// Ends the transaction of a question that charges nothing, without being a failure.
enum Undone {
    Denied(Verdict),
    Failed(diesel::result::Error),
}

impl From<diesel::result::Error> for Undone {
    fn from(error: diesel::result::Error) -> Self {
        Self::Failed(error)
    }
}

impl PgLimits {
    pub(crate) fn new(postgres: Arc<Postgres>) -> Self {
        Self { postgres }
    }

    /// Asks all limits for `units`: all of them, or up to `units` but at least `need`.
    pub(crate) async fn admit(
        &self,
        asks: &[Ask],
        unit: Uuid,
        units: u32,
        need: u32,
    ) -> Result<Asked, PostgresAway> {
        let theirs = asks.to_vec();
        let verdict = self
            .postgres
            .run(async move |conn| admit_in(conn, &theirs, unit, units, need).await)
            .await?;
        Ok(match verdict {
            Verdict::Granted { units, changes } => {
                let paid = changes.iter().map(|change| (change.paid_before_us, change.paid_us));
                Asked::Granted { units, paid: paid.collect() }
            }
            Verdict::Denied { wait_us, binding } => {
                Asked::Denied { after: super::duration(wait_us), binding }
            }
        })
    }

    /// Takes back what `unit` was admitted; of a pace only the newest admission.
    pub(crate) async fn refund(
        &self,
        unit: Uuid,
        charges: &[(Ask, (i64, i64))],
    ) -> Result<(), PostgresAway> {
        for (ask, (before, after)) in charges {
            let (key, before, after) = (ask.key.clone(), *before, *after);
            let is_paced = ask.interval.is_some();
            self.postgres
                .run(async move |conn| match is_paced {
                    true => RefundPace { key, before, after }.execute(conn).await,
                    false => RefundLog { key, unit }.execute(conn).await,
                })
                .await?;
        }
        Ok(())
    }

    /// Deletes rows in which nothing counts any more, in small batches.
    pub(crate) async fn sweep(&self) -> Result<(), PostgresAway> {
        loop {
            let swept = self.postgres.run(async |conn| Sweep { most: SWEPT }.execute(conn).await);
            if i64::try_from(swept.await?).unwrap_or(0) < SWEPT {
                return Ok(());
            }
        }
    }
}

async fn admit_in(
    conn: &mut AsyncPgConnection,
    asks: &[Ask],
    unit: Uuid,
    units: u32,
    need: u32,
) -> QueryResult<Verdict> {
    let decided = conn
        .transaction::<_, Undone, _>(async |conn| {
            let (rows, now) = lock(conn, asks).await?;
            let verdict = decide(&rows, asks, now, unit, units, need);
            let Verdict::Granted { changes, .. } = &verdict else {
                return Err(Undone::Denied(verdict));
            };
            charge(conn, asks, changes, unit).await?;
            Ok(verdict)
        })
        .await;
    match decided {
        Ok(verdict) | Err(Undone::Denied(verdict)) => Ok(verdict),
        Err(Undone::Failed(error)) => Err(error),
    }
}

/// The rows in the order of `asks`, locked, and the clock since.
async fn lock(conn: &mut AsyncPgConnection, asks: &[Ask]) -> QueryResult<(Vec<Row>, i64)> {
    let mut keys: Vec<String> = asks.iter().map(|ask| ask.key.clone()).collect();
    keys.sort_unstable();
    keys.dedup();
    type Found = (String, Vec<i64>, Vec<Uuid>, i64, i64);
    let found: Vec<Found> = Lock { keys }.load(conn).await?;
    let now = found.iter().map(|row| row.4).max().unwrap_or(0);
    let mut rows: HashMap<String, Row> = found
        .into_iter()
        .map(|(key, admitted_us, units, paid_us, _)| (key, Row { admitted_us, units, paid_us }))
        .collect();
    Ok((asks.iter().map(|ask| rows.remove(&ask.key).unwrap_or_default()).collect(), now))
}

async fn charge(
    conn: &mut AsyncPgConnection,
    asks: &[Ask],
    changes: &[Change],
    unit: Uuid,
) -> QueryResult<()> {
    let column = |field: fn(&Change) -> i64| changes.iter().map(field).collect::<Vec<i64>>();
    let charge = Charge {
        keys: asks.iter().map(|ask| ask.key.clone()).collect(),
        dropped: column(|change| change.dropped),
        added: column(|change| change.added),
        at_us: column(|change| change.at_us),
        paid_us: column(|change| change.paid_us),
        kept_us: asks.iter().map(|ask| microseconds(ask.window.saturating_mul(2))).collect(),
        unit,
    };
    charge.execute(conn).await?;
    Ok(())
}
