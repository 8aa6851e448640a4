//! The statements of `coordination_backends`.

use std::time::Duration;

use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::statement;

use super::Backend;
use crate::postgres::{duration, microseconds};

/// A class's row, read now.
pub(super) struct Row {
    pub(super) class: String,
    pub(super) backend: Backend,
    pub(super) epoch: i64,
    pub(super) since: Option<Duration>,
}

statement! {
    Read() -> (Text, Text, BigInt, Nullable<BigInt>) {
        "SELECT class, backend, epoch, \
         (extract(epoch FROM clock_timestamp() - since) * 1000000)::bigint \
         FROM coordination_backends"
    }
}

statement! {
    Date() -> () {
        "UPDATE coordination_backends SET since = clock_timestamp() WHERE since IS NULL"
    }
}

statement! {
    NoteAway() -> () {
        "UPDATE coordination_backends SET redis_away_at = clock_timestamp() \
         WHERE backend = 'postgres'"
    }
}

// The date is left open: it must be later than the commit.
statement! {
    ToPostgres(classes: Vec<String>, epochs: Vec<i64>) -> Text {
        "INSERT INTO coordination_backends AS kept (class, backend, epoch, redis_away_at) \
         SELECT class, 'postgres', epoch + 1, clock_timestamp() FROM unnest("
        [classes: Array<Text>] ", " [epochs: Array<BigInt>]
        ") AS seen (class, epoch) ORDER BY class ON CONFLICT (class) DO UPDATE \
         SET backend = 'postgres', epoch = excluded.epoch, since = NULL, \
         redis_away_at = clock_timestamp() \
         WHERE kept.epoch = excluded.epoch - 1 AND kept.backend = 'redis' RETURNING class"
    }
}

statement! {
    ToRedis(classes: Vec<String>, epochs: Vec<i64>, quiet_us: i64) -> Text {
        "UPDATE coordination_backends AS kept SET backend = 'redis', epoch = kept.epoch + 1, \
         since = NULL FROM unnest("
        [classes: Array<Text>] ", " [epochs: Array<BigInt>]
        ") AS seen (class, epoch) WHERE kept.class = seen.class AND kept.epoch = seen.epoch \
         AND kept.backend = 'postgres' AND kept.redis_away_at < clock_timestamp() - "
        [quiet_us: BigInt] " * interval '1 microsecond' RETURNING kept.class"
    }
}

pub(super) async fn read(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Row>> {
    let rows: Vec<(String, String, i64, Option<i64>)> = Read {}.load(conn).await?;
    let row = |(class, backend, epoch, since_us): (String, String, i64, Option<i64>)| {
        let backend = if backend == "postgres" { Backend::Postgres } else { Backend::Redis };
        Row { class, backend, epoch, since: since_us.map(duration) }
    };
    Ok(rows.into_iter().map(row).collect())
}

/// Dates flips that have committed; any process may.
pub(super) async fn date(conn: &mut AsyncPgConnection) -> QueryResult<usize> {
    Date {}.execute(conn).await
}

/// Keeps everybody's locks in PostgreSQL while this process can not reach Redis.
pub(super) async fn note_away(conn: &mut AsyncPgConnection) -> QueryResult<usize> {
    NoteAway {}.execute(conn).await
}

/// Moves those of `classes` whose epoch is the one given, and answers them; to Redis only after
/// nobody has missed it for `quiet`.
pub(super) async fn flip(
    conn: &mut AsyncPgConnection,
    classes: Vec<String>,
    epochs: Vec<i64>,
    to: Backend,
    quiet: Duration,
) -> QueryResult<Vec<String>> {
    match to {
        Backend::Postgres => ToPostgres { classes, epochs }.load(conn).await,
        Backend::Redis => {
            let quiet_us = microseconds(quiet);
            ToRedis { classes, epochs, quiet_us }.load(conn).await
        }
    }
}
