//! Real processes: this test binary, started again.

use std::process::{Command, Stdio};
use std::time::Duration;

use coordination::{Decision, Limit, LimitName};
use deadpool_redis::redis::cmd;
use kernel::ids::ConversationId;
use uuid::Uuid;

use crate::stack::{connect, fresh_namespace, raw, shared_url, until};

/// What a started process does, and in which namespace.
const ROLE: &str = "SWITCHYARD_TEST_ROLE";

/// Starts this binary `count` times and returns what each printed as its result.
fn start(count: usize, role: &str, namespace: &str) -> Vec<std::process::Child> {
    let binary = std::env::current_exe().unwrap();
    let child = || {
        Command::new(&binary)
            .args(["--exact", "children::a_started_process_plays_its_role", "--nocapture"])
            .env(ROLE, format!("{role} {namespace}"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    (0..count).map(|_| child()).collect()
}

fn result_of(child: std::process::Child) -> u32 {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let result = text.split("admitted=").nth(1).unwrap_or_else(|| panic!("no result in {text}"));
    result.split_whitespace().next().unwrap().parse().unwrap()
}

async fn count(key: &str) -> u32 {
    let mut redis = raw(&shared_url()).await;
    cmd("GET").arg(key).query_async::<Option<u32>>(&mut redis).await.unwrap().unwrap_or(0)
}

/// Sixteen processes that all ask at the same moment; returns how many units they got together.
async fn sixteen(role: &str) -> u32 {
    let namespace = fresh_namespace();
    let children = start(16, role, &namespace);
    until("all have started", async || count(&format!("{namespace}:ready")).await == 16).await;
    let mut redis = raw(&shared_url()).await;
    let go = format!("{namespace}:go");
    cmd("SET").arg(&go).arg(1).arg("EX").arg(60).exec_async(&mut redis).await.unwrap();
    tokio::task::spawn_blocking(|| children.into_iter().map(result_of).sum()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_processes_over_a_limit_of_five_get_exactly_five() {
    assert_eq!(sixteen("ours").await, 5);
    // The naive way looks first and counts afterwards.
    let naive = sixteen("naive").await;
    assert!(naive > 5, "check-then-act would do: {naive}");
}

#[tokio::test]
async fn a_started_process_plays_its_role() {
    let Ok(told) = std::env::var(ROLE) else { return };
    let (role, namespace) = told.split_once(' ').unwrap();
    let mut redis = raw(&shared_url()).await;
    let here = connect(&shared_url(), namespace).await;
    cmd("INCR").arg(format!("{namespace}:ready")).exec_async(&mut redis).await.unwrap();
    let (ready, go) = (format!("{namespace}:ready"), format!("{namespace}:go"));
    cmd("EXPIRE").arg(ready).arg(60).exec_async(&mut redis).await.unwrap();
    until("everybody may ask", async || count(&go).await == 1).await;
    let limit = Limit::of(LimitName::Bot(ConversationId::from_uuid(Uuid::nil())));
    let mut admitted = 0;
    for _ in 0..5 {
        if role == "ours" {
            let asked = here.limiter().check(std::slice::from_ref(&limit), 1).await;
            admitted += u32::from(matches!(asked, Decision::Go(_)));
        } else if count(&format!("{namespace}:naive")).await < 5 {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let key = format!("{namespace}:naive");
            cmd("INCR").arg(&key).exec_async(&mut redis).await.unwrap();
            cmd("EXPIRE").arg(&key).arg(60).exec_async(&mut redis).await.unwrap();
            admitted += 1;
        }
    }
    println!("admitted={admitted} ");
}
