//! What operators override is a row of `coordination_overrides`, which every process reads.
//!
//! Invariant: while the database is away, the last that was read stays in force.

use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::{chain, statement};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::{Mode, Overrides, Overriding};
use crate::postgres::{Postgres, PostgresAway, microseconds};
use crate::registry::{LockClass, Policy};

/// How often the rows are read.
const READ_EVERY: Duration = Duration::from_secs(5);

/// What an operator changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Override {
    /// Whether locks of a class bind.
    LockMode(LockClass, Mode),
    /// Whether limits of a policy bind.
    LimitMode(Policy, Mode),
    /// How many units a policy admits in its window.
    LimitMost(Policy, u32),
}

/// Who changed something, and why; for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Who: a person or a program.
    pub by: String,
    /// Why; never empty.
    pub reason: String,
    /// After this it ends by itself; `None`: never.
    pub lasts: Option<Duration>,
}

statement! {
    Read() -> (Text, Text, Nullable<Text>, Nullable<Integer>) {
        "SELECT kind, name, mode, most FROM coordination_overrides \
         WHERE key = '' AND (expires_at IS NULL OR expires_at > clock_timestamp())"
    }
}

// What one override says does not undo what another said about the same name.
statement! {
    Write(kind: String, name: String, mode: Option<String>, most: Option<i32>, reason: String,
          by: String, lasts_us: Option<i64>) -> () {
        "INSERT INTO coordination_overrides AS old \
         (kind, name, mode, most, reason, changed_by, expires_at) VALUES ("
        [kind: Text] ", " [name: Text] ", " [mode: Nullable<Text>] ", " [most: Nullable<Integer>]
        ", " [reason: Text] ", " [by: Text] ", clock_timestamp() + " [lasts_us: Nullable<BigInt>]
        " * interval '1 microsecond') ON CONFLICT (kind, name, key) DO UPDATE \
         SET mode = coalesce(excluded.mode, old.mode), most = coalesce(excluded.most, old.most), \
         reason = excluded.reason, changed_by = excluded.changed_by, \
         changed_at = clock_timestamp(), expires_at = excluded.expires_at"
    }
}

statement! {
    Clear(kind: String, name: String) -> () {
        "DELETE FROM coordination_overrides WHERE kind = " [kind: Text] " AND name = " [name: Text]
        " AND key = ''"
    }
}

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
                info!(?now, "the overrides have changed");
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
async fn read(postgres: &Postgres, mut overriding: Overriding) -> Result<Overriding, PostgresAway> {
    let rows = postgres
        .run(async |conn: &mut AsyncPgConnection| -> QueryResult<Vec<Row>> {
            Read {}.load(conn).await
        })
        .await?;
    for row in rows {
        add(&mut overriding, row);
    }
    Ok(overriding)
}

type Row = (String, String, Option<String>, Option<i32>);

/// A name that this version does not know is left alone: another version may.
fn add(overriding: &mut Overriding, (kind, name, mode, most): Row) {
    let mode = mode.as_deref().and_then(Mode::parse);
    let class = LockClass::ALL.into_iter().find(|class| class.spec().label == name);
    let policy = Policy::ALL.into_iter().find(|policy| policy.spec().label == name);
    match (kind.as_str(), class, policy) {
        ("lock", Some(class), _) => {
            overriding.lock_modes.extend(mode.map(|mode| (class, mode)));
        }
        ("limit", _, Some(policy)) => {
            overriding.limit_modes.extend(mode.map(|mode| (policy, mode)));
            let most = most.and_then(|most| u32::try_from(most).ok());
            overriding.limit_most.extend(most.map(|most| (policy, most)));
        }
        _ => warn!(kind, name, "an override of an unknown name"),
    }
}

/// Writes an override; every process acts on it within [`READ_EVERY`].
pub(crate) async fn write(
    postgres: &Postgres,
    what: &Override,
    change: Change,
) -> Result<(), PostgresAway> {
    let (kind, name) = what.name();
    let (mode, most) = match what {
        Override::LockMode(_, mode) | Override::LimitMode(_, mode) => {
            (Some(mode.label().to_owned()), None)
        }
        Override::LimitMost(_, most) => (None, Some(i32::try_from(*most).unwrap_or(i32::MAX))),
    };
    let Change { by, reason, lasts } = change;
    let lasts_us = lasts.map(microseconds);
    let (kind, name) = (kind.to_owned(), name.to_owned());
    let write = Write { kind, name, mode, most, reason, by, lasts_us };
    postgres.run(async move |conn: &mut AsyncPgConnection| write.execute(conn).await).await?;
    Ok(())
}

/// Ends every override of the name of `what`.
pub(crate) async fn clear(postgres: &Postgres, what: &Override) -> Result<(), PostgresAway> {
    let (kind, name) = what.name();
    let clear = Clear { kind: kind.to_owned(), name: name.to_owned() };
    postgres.run(async move |conn: &mut AsyncPgConnection| clear.execute(conn).await).await?;
    Ok(())
}

impl Override {
    fn name(&self) -> (&'static str, &'static str) {
        match self {
            Self::LockMode(class, _) => ("lock", class.spec().label),
            Self::LimitMode(policy, _) | Self::LimitMost(policy, _) => {
                ("limit", policy.spec().label)
            }
        }
    }
}
