//! Servers of one's own, to be killed and restarted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;

use tempfile::TempDir;
use testkit::Servers;
use tokio::process::Command;

/// PostgreSQL, Redis and RabbitMQ on ports of their own; gone with this value.
pub(crate) struct PrivateStack {
    folder: TempDir,
    pub(crate) servers: Servers,
}

impl PrivateStack {
    pub(crate) async fn up() -> Self {
        let folder = tempfile::Builder::new().prefix("sy-chaos-").tempdir().unwrap();
        stack(folder.path(), &["up"]).await;
        let env_file = String::from_utf8(stack(folder.path(), &["envfile"]).await.stdout).unwrap();
        let env = std::fs::read_to_string(env_file.trim()).unwrap();
        let url = |name: &str| {
            let line = env.lines().find(|line| line.contains(name)).unwrap();
            line.split_once('=').unwrap().1.trim_matches(['\'', '"']).to_owned()
        };
        let servers = Servers {
            database_url: url("SWITCHYARD__DATABASE__URL"),
            redis_url: url("SWITCHYARD__REDIS__URL"),
            amqp_url: url("SWITCHYARD__AMQP__URL"),
        };
        Self { folder, servers }
    }

    /// `kill9`, `stop`, `start` or `restart` of `pg`, `redis` or `rabbit`.
    pub(crate) async fn run(&self, command: &str, server: &str) {
        stack(self.folder.path(), &[command, server]).await;
    }
}

impl Drop for PrivateStack {
    fn drop(&mut self) {
        let reset = std::process::Command::new("bash")
            .arg(script())
            .arg("reset")
            .envs(env(self.folder.path()))
            .output();
        drop(reset);
    }
}

async fn stack(folder: &Path, arguments: &[&str]) -> Output {
    let output = Command::new("bash")
        .arg(script())
        .args(arguments)
        .envs(env(folder))
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "stack.sh {arguments:?}: {said}");
    output
}

fn env(folder: &Path) -> BTreeMap<&'static str, PathBuf> {
    BTreeMap::from([("STACK_RUN_DIR", folder.to_owned()), ("STACK_PRIVATE", PathBuf::from("1"))])
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/dev-stack/stack.sh")
}
