//! What operators override is a row of `coordination_overrides`: one for each name, and one for each
//! single limit.

use std::time::Duration;

use diesel::QueryResult;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::statement;
use tracing::warn;

use super::{Mode, Overriding};
use crate::postgres::{duration, microseconds};
use crate::registry::{LimitName, LockClass, Policy};

/// What an operator changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Override {
    /// Whether locks of a class bind.
    LockMode(LockClass, Mode),
    /// Whether limits of a policy bind.
    LimitMode(Policy, Mode),
    /// How many units a policy admits by default in its window.
    LimitMost(Policy, u32),
    /// How many units one limit admits in its window, whatever the default and its own setting say.
    LimitMostOf(LimitName, u32),
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

/// An override as people look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// `lock` or `limit`.
    pub kind: String,
    /// The registry's name.
    pub name: String,
    /// One limit's ids; empty: all of that name.
    pub key: String,
    /// Off, observe or enforce, if that was changed.
    pub mode: Option<Mode>,
    /// The limit, if that was changed.
    pub most: Option<u32>,
    /// Who, why, and for how much longer.
    pub change: Change,
    /// How long ago it was changed.
    pub age: Duration,
    /// Another number after every change.
    pub version: i64,
}

type Row =
    (String, String, String, Option<String>, Option<i32>, String, String, Option<i64>, i64, i64);

statement! {
    Read() -> (Text, Text, Text, Nullable<Text>, Nullable<Integer>, Text, Text, Nullable<BigInt>, BigInt, BigInt) {
        "SELECT kind, name, key, mode, most, reason, changed_by, \
         (extract(epoch FROM expires_at - clock_timestamp()) * 1000000)::bigint, \
         (extract(epoch FROM clock_timestamp() - changed_at) * 1000000)::bigint, \
         (extract(epoch FROM changed_at) * 1000000)::bigint \
         FROM coordination_overrides WHERE expires_at IS NULL OR expires_at > clock_timestamp() \
         ORDER BY kind, name, key"
    }
}

// What one override says does not undo what another said about the same name, unless that is over.
statement! {
    Write(kind: String, name: String, key: String, mode: Option<String>, most: Option<i32>,
          reason: String, by: String, lasts_us: Option<i64>) -> () {
        "INSERT INTO coordination_overrides AS old \
         (kind, name, key, mode, most, reason, changed_by, expires_at) VALUES ("
        [kind: Text] ", " [name: Text] ", " [key: Text] ", " [mode: Nullable<Text>] ", "
        [most: Nullable<Integer>] ", " [reason: Text] ", " [by: Text] ", clock_timestamp() + "
        [lasts_us: Nullable<BigInt>] " * interval '1 microsecond') \
         ON CONFLICT (kind, name, key) DO UPDATE SET \
         mode = coalesce(excluded.mode, CASE WHEN old.expires_at <= clock_timestamp() THEN NULL ELSE old.mode END), \
         most = coalesce(excluded.most, CASE WHEN old.expires_at <= clock_timestamp() THEN NULL ELSE old.most END), \
         reason = excluded.reason, changed_by = excluded.changed_by, \
         changed_at = clock_timestamp(), expires_at = excluded.expires_at"
    }
}

statement! {
    Clear(kind: String, name: String, key: String) -> () {
        "DELETE FROM coordination_overrides WHERE kind = " [kind: Text] " AND name = " [name: Text]
        " AND key = " [key: Text]
    }
}

impl Override {
    /// Writes it, in the caller's transaction; every process acts on it within 5 s of the commit.
    ///
    /// # Errors
    ///
    /// Whatever PostgreSQL reports.
    pub async fn write(&self, tx: &mut AsyncPgConnection, change: &Change) -> QueryResult<()> {
        let (mode, most) = match self {
            Self::LockMode(_, mode) | Self::LimitMode(_, mode) => {
                (Some(mode.label().to_owned()), None)
            }
            Self::LimitMost(_, most) | Self::LimitMostOf(_, most) => {
                (None, Some(i32::try_from(*most).unwrap_or(i32::MAX)))
            }
        };
        let (kind, name, key) = self.place();
        let Change { by, reason, lasts } = change.clone();
        let lasts_us = lasts.map(microseconds);
        Write { kind, name, key, mode, most, reason, by, lasts_us }.execute(tx).await?;
        Ok(())
    }

    /// Ends everything that was overridden in this one's place, in the caller's transaction.
    ///
    /// # Errors
    ///
    /// Whatever PostgreSQL reports.
    pub async fn clear(&self, tx: &mut AsyncPgConnection) -> QueryResult<()> {
        let (kind, name, key) = self.place();
        Clear { kind, name, key }.execute(tx).await?;
        Ok(())
    }

    /// What is overridden now, by the database's clock.
    ///
    /// # Errors
    ///
    /// Whatever PostgreSQL reports.
    pub async fn in_force(conn: &mut AsyncPgConnection) -> QueryResult<Vec<InForce>> {
        let rows: Vec<Row> = Read {}.load(conn).await?;
        let shown =
            |(kind, name, key, mode, most, reason, by, lasts_us, age_us, version): Row| InForce {
                version,
                kind,
                name,
                key,
                mode: mode.as_deref().and_then(Mode::parse),
                most: most.and_then(|most| u32::try_from(most).ok()),
                change: Change { by, reason, lasts: lasts_us.map(duration) },
                age: duration(age_us),
            };
        Ok(rows.into_iter().map(shown).collect())
    }

    fn place(&self) -> (String, String, String) {
        let (kind, name, key) = match self {
            Self::LockMode(class, _) => ("lock", class.spec().label, String::new()),
            Self::LimitMode(policy, _) | Self::LimitMost(policy, _) => {
                ("limit", policy.spec().label, String::new())
            }
            Self::LimitMostOf(name, _) => ("limit", name.policy().spec().label, name.key()),
        };
        (kind.to_owned(), name.to_owned(), key)
    }
}

/// What is in force now, laid over what the settings say.
pub(super) async fn read(
    conn: &mut AsyncPgConnection,
    mut overriding: Overriding,
) -> QueryResult<Overriding> {
    for row in Override::in_force(conn).await? {
        add(&mut overriding, row);
    }
    Ok(overriding)
}

/// A name that this version does not know is left alone: another version may.
fn add(overriding: &mut Overriding, InForce { kind, name, key, mode, most, .. }: InForce) {
    let class = LockClass::ALL.into_iter().find(|class| class.spec().label == name);
    let policy = Policy::ALL.into_iter().find(|policy| policy.spec().label == name);
    match (kind.as_str(), class, policy) {
        ("lock", Some(class), _) if key.is_empty() => {
            overriding.lock_modes.extend(mode.map(|mode| (class, mode)));
        }
        ("limit", _, Some(policy)) if key.is_empty() => {
            overriding.limit_modes.extend(mode.map(|mode| (policy, mode)));
            overriding.limit_most.extend(most.map(|most| (policy, most)));
        }
        ("limit", _, Some(policy)) if let Some(limit) = LimitName::parse(policy, &key) => {
            overriding.limit_most_of.extend(most.map(|most| (limit, most)));
        }
        _ => warn!(kind, name, "an override of an unknown name"),
    }
}
