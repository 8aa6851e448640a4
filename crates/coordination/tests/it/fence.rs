//! A holder that lost its lock without knowing is refused by the database; fences only ever grow.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use coordination::{Coordination, Fence, LockClass, LockName, Locked, Locks, Patience};
use deadpool_redis::redis::cmd;
use kernel::ids::ConnectionId;
use tokio::sync::oneshot;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::stack::{OwnRedis, connect, fresh_namespace, raw, shared_url, until};

const TTL: Duration = Duration::from_secs(1);

async fn fence_of(here: &Coordination, name: &LockName) -> Fence {
    let work = async |held: coordination::Held| held.fence().unwrap();
    match here.locks().with_held(name.clone(), Patience::None, work).await.unwrap() {
        Locked::Ran(fence) => fence,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn fences_grow_across_holders_a_flush_and_a_restart() {
    let mut own = OwnRedis::start().await;
    let here = connect(&own.url(), "sw").await;
    let name = LockName::TemplateSync(ConnectionId::new());
    let mut last = fence_of(&here, &name).await;
    for round in 0..6 {
        match round {
            2 => cmd("FLUSHALL").exec_async(&mut raw(&own.url()).await).await.unwrap(),
            4 => {
                own.kill();
                own.start_again().await;
                until("Redis is back", async || {
                    here.health() == coordination::Health::Available
                        && here.locks().lock_many([name.clone()], Patience::None).await.is_ok()
                })
                .await;
                until("it is free", async || {
                    here.locks()
                        .with_lock(name.clone(), Patience::None, async || ())
                        .await
                        .is_ok_and(|ran| ran == Locked::Ran(()))
                })
                .await;
            }
            _ => (),
        }
        let next = fence_of(&here, &name).await;
        assert!(next > last, "{next} after {last} in round {round}");
        last = next;
    }
}

#[tokio::test]
async fn a_replica_that_missed_the_grant_grants_again_with_a_higher_fence() {
    let mut primary = OwnRedis::start().await;
    let replica =
        OwnRedis::start_with(&["--replicaof", "127.0.0.1", &primary.port().to_string()]).await;
    let mut redis = raw(&replica.url()).await;
    until("the replica is in step", async || {
        let info: String = cmd("INFO").arg("replication").query_async(&mut redis).await.unwrap();
        info.contains("master_link_status:up")
    })
    .await;
    let before = connect(&primary.url(), "sw").await;
    let locks = before.locks().clone().with_times(LockClass::TemplateSync, TTL, None);
    let name = LockName::TemplateSync(ConnectionId::new());
    // The replica is cut off while the lock is granted, then the primary dies.
    cmd("REPLICAOF").arg("NO").arg("ONE").exec_async(&mut redis).await.unwrap();
    let mut guard = locks.lock_for(name.clone(), Duration::ZERO).await.unwrap().unwrap();
    let (first, held) = (guard.fence(&name).unwrap(), guard.watch());
    primary.kill();
    let after = connect(&replica.url(), "sw").await;
    let second = fence_of(&after, &name).await;
    assert!(second > first, "{second} after {first}");
    // The first holder hears nothing from Redis any more, and still learns of it.
    tokio::time::timeout(TTL * 3, held.lost().cancelled()).await.unwrap();
    drop(guard);
}

async fn database() -> Client {
    let url = std::env::var("SWITCHYARD__DATABASE__URL")
        .unwrap_or_else(|_| "postgres://switchyard@127.0.0.1:5432/switchyard".into());
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Rows that a write of this holder changes: with the guard, and without it.
async fn write(db: &Client, table: &str, who: &str, fence: Fence) -> (u64, u64) {
    let guarded = format!("UPDATE {table} SET guarded = $1, fence = $2 WHERE fence <= $2");
    let naive = format!("UPDATE {table} SET naive = $1");
    let guarded = db.execute(&guarded, &[&who, &fence.get()]).await.unwrap();
    (guarded, db.execute(&naive, &[&who]).await.unwrap())
}

fn short(here: &Coordination) -> Locks {
    here.locks().clone().with_times(LockClass::TemplateSync, TTL, Some(TTL * 60))
}

/// What the holder's process says, for [`Holder::says`].
#[expect(clippy::print_stdout, reason = "the other process reads it")]
fn say(line: &str) {
    println!("\n{line}");
}

/// Not a test of its own: the process that [`the_late_write_of_a_stopped_process_is_refused`]
/// stops. Without its variables it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_in_another_process() {
    let variable = |name: &str| std::env::var(format!("FENCE_TEST_{name}"));
    let (Ok(namespace), Ok(table), Ok(id)) =
        (variable("NAMESPACE"), variable("TABLE"), variable("ID"))
    else {
        return;
    };
    let db = database().await;
    let here = connect(&shared_url(), &namespace).await;
    let (written, has_written) = oneshot::channel();
    let work = async |held: coordination::Held| {
        // A task that the loss of the lock does not cancel, as a request under way would be.
        tokio::spawn(async move {
            say("HELD");
            let told =
                tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
            told.await.unwrap().unwrap();
            let rows = write(&db, &table, "late", held.fence().unwrap()).await;
            written.send(rows).unwrap();
        });
        std::future::pending::<()>().await;
    };
    let name = LockName::TemplateSync(id.parse().unwrap());
    let ran = short(&here).with_held(name, Patience::None, work).await.unwrap();
    assert_eq!(ran, Locked::Lost(None), "a loss was not noticed");
    let (guarded, naive) = has_written.await.unwrap();
    say(&format!("ROWS {guarded} {naive}"));
}

struct Holder {
    process: Child,
    orders: ChildStdin,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Holder {
    fn start(namespace: &str, table: &str, id: ConnectionId) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "fence::a_holder_in_another_process", "--nocapture"])
            .env("FENCE_TEST_NAMESPACE", namespace)
            .env("FENCE_TEST_TABLE", table)
            .env("FENCE_TEST_ID", id.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { process, orders, lines }
    }

    /// Waits for a line that begins so.
    async fn says(&self, start: &str) -> String {
        let mut found = None;
        until("the holder speaks", async || {
            found = self.lines.try_iter().find(|line| line.starts_with(start));
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[tokio::test]
async fn the_late_write_of_a_stopped_process_is_refused() {
    let (namespace, id) = (fresh_namespace(), ConnectionId::new());
    let table = format!("fence_{}", Uuid::now_v7().simple());
    let db = database().await;
    let create = format!(
        "CREATE TABLE {table} (fence bigint, guarded text, naive text);
         INSERT INTO {table} VALUES (0, '', '')"
    );
    db.batch_execute(&create).await.unwrap();
    let mut holder = Holder::start(&namespace, &table, id);
    holder.says("HELD").await;
    holder.signal("-STOP");

    // Its lock runs out, and somebody else takes it and writes.
    let here = connect(&shared_url(), &namespace).await;
    let patience = Patience::UpTo(TTL * 8);
    let work = async |held: coordination::Held| {
        let rows = write(&db, &table, "in time", held.fence().unwrap()).await;
        assert_eq!(rows, (1, 1));
    };
    let name = LockName::TemplateSync(id);
    let ran = short(&here).with_held(name, patience, work).await.unwrap();
    assert_eq!(ran, Locked::Ran(()));

    // The stopped one goes on with the write it was about to send.
    holder.orders.write_all(b"write\n").unwrap();
    holder.signal("-CONT");
    assert_eq!(holder.says("ROWS").await, "ROWS 0 1", "guarded rows, naive rows");
    let row = db.query_one(&format!("SELECT guarded, naive FROM {table}"), &[]).await.unwrap();
    let (guarded, naive): (String, String) = (row.get(0), row.get(1));
    assert_eq!((&*guarded, &*naive), ("in time", "late"), "the naive way must show the fault");
    db.batch_execute(&format!("DROP TABLE {table}")).await.unwrap();
}
