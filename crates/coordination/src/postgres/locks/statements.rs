//! The statements of `distributed_locks`. Arrays come in the keys' byte order, which is the order in
//! which the rows are locked.

use diesel::QueryResult;
use diesel::sql_types::{self, Array, BigInt, Bool, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::statement;
use uuid::Uuid;

use crate::lock::fence::Fence;
use crate::lock::store::Holder;
use crate::postgres::duration;

/// What was asked for each key.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) keys: Vec<String>,
    pub(super) ttls_us: Vec<i64>,
    pub(super) fenced: Vec<bool>,
}

/// What came of it: the key, whether it is ours now, its fence, and in how many us it is free by
/// itself.
pub(super) type Outcome = (String, bool, Option<i64>, i64);

// The fence and the times are computed when the row is locked, not when the statement began. A
// second question of the same owner, whose first answer was lost, is granted again.
statement! {
    Take(keys: Vec<String>, ttls_us: Vec<i64>, fenced: Vec<bool>, owner: Uuid, holder: String)
    -> (Text, Bool, Nullable<BigInt>, BigInt) {
        "WITH asked AS (SELECT lock_key, fenced, ttl_us * interval '1 microsecond' AS ttl FROM unnest("
        [keys: Array<Text>] ", " [ttls_us: Array<BigInt>] ", " [fenced: Array<Bool>]
        ") AS a (lock_key, ttl_us, fenced)), \
         taken AS (INSERT INTO distributed_locks AS held \
         (lock_key, owner, holder, fence, created_at, expires_at) \
         SELECT lock_key, " [owner: sql_types::Uuid] ", " [holder: Text] ", \
         CASE WHEN fenced THEN (extract(epoch FROM now) * 1000000)::bigint END, now, now + ttl \
         FROM (SELECT *, clock_timestamp() AS now FROM asked) AS wanted \
         ON CONFLICT (lock_key) DO UPDATE SET owner = excluded.owner, holder = excluded.holder, \
         fence = CASE WHEN excluded.fence IS NOT NULL THEN greatest(held.fence + 1, \
         (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) END, \
         created_at = clock_timestamp(), \
         expires_at = clock_timestamp() + (excluded.expires_at - excluded.created_at) \
         WHERE held.expires_at <= clock_timestamp() OR held.owner = excluded.owner \
         RETURNING lock_key, fence) \
         SELECT asked.lock_key, taken.lock_key IS NOT NULL, taken.fence, \
         coalesce((extract(epoch FROM held.expires_at - clock_timestamp()) * 1000000)::bigint, 0) \
         FROM asked LEFT JOIN taken ON taken.lock_key = asked.lock_key \
         LEFT JOIN distributed_locks AS held ON taken.lock_key IS NULL \
         AND held.lock_key = asked.lock_key AND held.expires_at > '-infinity'"
    }
}

statement! {
    Await(keys: Vec<String>, wait_us: i64) -> (Text, BigInt) {
        "WITH busy AS (SELECT lock_key FROM distributed_locks WHERE lock_key = ANY("
        [keys: Array<Text>]
        ") AND expires_at > clock_timestamp() ORDER BY lock_key FOR UPDATE) \
         UPDATE distributed_locks AS held SET waiting_until = clock_timestamp() + "
        [wait_us: BigInt] " * interval '1 microsecond' \
         FROM busy WHERE held.lock_key = busy.lock_key RETURNING held.lock_key, \
         (extract(epoch FROM held.expires_at - clock_timestamp()) * 1000000)::bigint"
    }
}

statement! {
    Renew(keys: Vec<String>, owners: Vec<Uuid>, ttls_us: Vec<i64>) -> (Text, sql_types::Uuid) {
        "WITH ours AS (SELECT held.lock_key, a.ttl_us FROM distributed_locks AS held JOIN unnest("
        [keys: Array<Text>] ", " [owners: Array<sql_types::Uuid>] ", " [ttls_us: Array<BigInt>]
        ") AS a (lock_key, owner, ttl_us) ON a.lock_key = held.lock_key AND a.owner = held.owner \
         WHERE held.expires_at > clock_timestamp() ORDER BY held.lock_key FOR UPDATE OF held) \
         UPDATE distributed_locks AS held \
         SET expires_at = clock_timestamp() + ours.ttl_us * interval '1 microsecond' \
         FROM ours WHERE held.lock_key = ours.lock_key RETURNING held.lock_key, held.owner"
    }
}

// The row of a fenced key stays, with its fence. Only a release that somebody waits for notifies:
// a NOTIFY makes all commits queue up for one lock of the server.
statement! {
    Release(keys: Vec<String>, owners: Vec<Uuid>, channel: String)
    -> (Text, sql_types::Uuid, Bool, Nullable<Text>) {
        "WITH ours AS (SELECT held.lock_key, held.owner, held.fence, held.expires_at > clock_timestamp() AS valid, \
         held.waiting_until > clock_timestamp() AS awaited \
         FROM distributed_locks AS held JOIN unnest("
        [keys: Array<Text>] ", " [owners: Array<sql_types::Uuid>]
        ") AS a (lock_key, owner) ON a.lock_key = held.lock_key AND a.owner = held.owner \
         ORDER BY held.lock_key FOR UPDATE OF held), \
         gone AS (DELETE FROM distributed_locks AS held USING ours \
         WHERE held.lock_key = ours.lock_key AND held.fence IS NULL), \
         kept AS (UPDATE distributed_locks AS held SET expires_at = '-infinity', waiting_until = NULL, \
         owner = '00000000-0000-0000-0000-000000000000' FROM ours \
         WHERE held.lock_key = ours.lock_key AND held.fence IS NOT NULL) \
         SELECT lock_key, owner, valid, CASE WHEN awaited THEN pg_notify(" [channel: Text] ", lock_key)::text END \
         FROM ours"
    }
}

statement! {
    Holders(pattern: String, most: i64)
    -> (Text, sql_types::Uuid, Text, Nullable<BigInt>, BigInt, BigInt, Bool) {
        "SELECT lock_key, owner, holder, fence, \
         (extract(epoch FROM clock_timestamp() - created_at) * 1000000)::bigint, \
         (extract(epoch FROM expires_at - clock_timestamp()) * 1000000)::bigint, \
         coalesce(waiting_until > clock_timestamp(), false) \
         FROM distributed_locks WHERE expires_at > clock_timestamp() AND lock_key LIKE "
        [pattern: Text] " ORDER BY created_at LIMIT " [most: BigInt]
    }
}

statement! {
    Owner(key: String) -> sql_types::Uuid {
        "SELECT owner FROM distributed_locks WHERE expires_at > clock_timestamp() AND lock_key = "
        [key: Text]
    }
}

statement! {
    Sweep(keep_us: i64, most: i64) -> () {
        "DELETE FROM distributed_locks WHERE lock_key IN (SELECT lock_key FROM distributed_locks \
         WHERE created_at < clock_timestamp() - CASE WHEN fence IS NULL THEN interval '0' ELSE "
        [keep_us: BigInt] " * interval '1 microsecond' END AND expires_at < clock_timestamp() LIMIT "
        [most: BigInt] " FOR UPDATE SKIP LOCKED)"
    }
}

pub(super) async fn take(
    conn: &mut AsyncPgConnection,
    asked: Asked,
    owner: Uuid,
    holder: String,
) -> QueryResult<Vec<Outcome>> {
    let Asked { keys, ttls_us, fenced } = asked;
    Take { keys, ttls_us, fenced, owner, holder }.load(conn).await
}

/// Notes that somebody waits for `keys` during the next `wait_us`; answers in how many us each is
/// free by itself, and leaves out those that are free.
pub(super) async fn wait_for(
    conn: &mut AsyncPgConnection,
    keys: Vec<String>,
    wait_us: i64,
) -> QueryResult<Vec<(String, i64)>> {
    Await { keys, wait_us }.load(conn).await
}

/// Answers the locks that were the owners' and now have their ttl again.
pub(super) async fn renew(
    conn: &mut AsyncPgConnection,
    keys: Vec<String>,
    owners: Vec<Uuid>,
    ttls_us: Vec<i64>,
) -> QueryResult<Vec<(String, Uuid)>> {
    Renew { keys, owners, ttls_us }.load(conn).await
}

/// Answers the locks that were the owners' and had not expired.
pub(super) async fn release(
    conn: &mut AsyncPgConnection,
    keys: Vec<String>,
    owners: Vec<Uuid>,
    channel: &str,
) -> QueryResult<Vec<(String, Uuid)>> {
    let channel = channel.to_owned();
    let rows: Vec<(String, Uuid, bool, Option<String>)> =
        Release { keys, owners, channel }.load(conn).await?;
    let valid = rows.into_iter().filter(|(_, _, was_valid, _)| *was_valid);
    Ok(valid.map(|(key, owner, ..)| (key, owner)).collect())
}

/// Those who hold locks with names like `pattern`, oldest first.
pub(super) async fn holders(
    conn: &mut AsyncPgConnection,
    pattern: String,
    most: i64,
) -> QueryResult<Vec<Holder>> {
    type Row = (String, Uuid, String, Option<i64>, i64, i64, bool);
    let rows: Vec<Row> = Holders { pattern, most }.load(conn).await?;
    let holder = |(key, token, owner, fence, age_us, left_us, is_awaited): Row| Holder {
        key,
        owner,
        token_prefix: token.simple().to_string().chars().take(Holder::TOKEN_SHOWN).collect(),
        fence: fence.map(Fence),
        age: Some(duration(age_us)),
        ttl_left: duration(left_us),
        waiters: u64::from(is_awaited),
    };
    Ok(rows.into_iter().map(holder).collect())
}

pub(super) async fn owner(conn: &mut AsyncPgConnection, key: String) -> QueryResult<Option<Uuid>> {
    let owners: Vec<Uuid> = Owner { key }.load(conn).await?;
    Ok(owners.into_iter().next())
}

/// Deletes up to `most` rows that nobody holds, those with a fence only `keep_us` after their grant.
pub(super) async fn sweep(
    conn: &mut AsyncPgConnection,
    keep_us: i64,
    most: i64,
) -> QueryResult<usize> {
    Sweep { keep_us, most }.execute(conn).await
}
