//! Who is measured, and their turns.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::Options;
use super::server::Server;
use crate::figures::{Series, Target};
use crate::say;

/// The peers, each a folder of `crates/benchmark/peers`, and what is shown of them.
const PEERS: [(&str, &str); 4] = [
    ("rslock", "rslock 0.10"),
    ("redis-py", "redis-py 8 asyncio, hiredis"),
    ("node-redlock", "node redlock 5 beta, ioredis"),
    ("laravel", "Laravel 8 of Debian, phpredis"),
];
/// How long one turn may take beyond what it was asked to.
const PATIENCE: Duration = Duration::from_secs(120);

/// Everybody who can be measured, the server, and what went wrong.
pub(crate) struct Contest {
    options: Options,
    server: Server,
    drivers: Vec<Driver>,
    failures: Vec<String>,
}

struct Driver {
    name: &'static str,
    program: PathBuf,
    /// Before the shared command line.
    arguments: &'static [&'static str],
    /// Why it cannot run.
    missing: Option<String>,
}

/// One line of a table: who, and the arguments after the part's name.
pub(crate) struct Entry {
    pub(crate) driver: &'static str,
    pub(crate) label: String,
    pub(crate) line: String,
    pub(crate) target: Target,
}

/// What an entry's turns showed, one value a round.
pub(crate) struct Turns {
    pub(crate) entry: Entry,
    values: Vec<Option<Value>>,
    /// Why there are none.
    missing: Option<String>,
}

impl Entry {
    pub(crate) fn new(driver: &'static str, label: &str, line: &str) -> Self {
        Self { driver, label: label.to_owned(), line: line.to_owned(), target: Target::None }
    }

    /// What is wanted of ours divided by this.
    pub(crate) fn wanted(self, target: Target) -> Self {
        Self { target, ..self }
    }
}

impl Contest {
    /// Installs the peers.
    pub(crate) async fn new(options: &Options, server: Server) -> anyhow::Result<Self> {
        let ours = std::env::current_exe()?;
        let mut drivers =
            vec![Driver { name: "ours", program: ours, arguments: &["driver"], missing: None }];
        std::fs::create_dir_all(&options.scratch)?;
        let scratch = options.scratch.canonicalize()?;
        let mut failures = Vec::new();
        for (name, _) in PEERS {
            say(&format!("installing {name}"));
            let install = options.sources.join("install");
            let output = Command::new(&install).arg(&scratch).arg(name).output().await;
            let output = output.with_context(|| install.display().to_string())?;
            let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let reason = reason.lines().last().unwrap_or("no reason given").to_owned();
            let missing = (!output.status.success()).then_some(reason);
            failures.extend(missing.iter().map(|why| format!("{name} is missing: {why}.")));
            let program = scratch.join(name).join("run");
            drivers.push(Driver { name, program, arguments: &[], missing });
        }
        Ok(Self { options: options.clone(), server, drivers, failures })
    }

    pub(crate) async fn redis_version(&mut self) -> anyhow::Result<String> {
        self.server.version().await
    }

    pub(crate) fn about(&self) -> Vec<(&'static str, String)> {
        let shown = |name: &str| PEERS.iter().find(|(peer, _)| *peer == name).map(|(_, of)| *of);
        let there = self.drivers.iter().filter(|driver| driver.missing.is_none());
        let names: Vec<&str> = there.filter_map(|driver| shown(driver.name)).collect();
        vec![("peers", names.join("; "))]
    }

    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    pub(crate) const fn rounds(&self) -> u32 {
        self.options.rounds
    }

    pub(crate) async fn flush(&mut self) -> anyhow::Result<()> {
        self.server.flush().await
    }

    /// Scripts that Redis has run so far.
    pub(crate) async fn script_calls(&mut self) -> anyhow::Result<f64> {
        self.server.script_calls().await
    }

    /// What was found, or a note of why nothing was.
    pub(crate) fn noted<T>(&mut self, label: &str, found: anyhow::Result<T>) -> Option<T> {
        let failure = found.as_ref().err().map(|error| format!("{label}: {error:#}."));
        self.failures.extend(failure);
        found.ok()
    }

    /// The length of a turn in seconds.
    pub(crate) const fn seconds(&self) -> f64 {
        self.options.seconds
    }

    /// Lets everybody do `part`, round by round, on an empty Redis.
    pub(crate) async fn play(
        &mut self,
        part: &str,
        entries: Vec<Entry>,
    ) -> anyhow::Result<Vec<Turns>> {
        self.play_rounds(part, entries, self.rounds()).await
    }

    /// The same, but once only: for what takes long.
    pub(crate) async fn play_once(
        &mut self,
        part: &str,
        entries: Vec<Entry>,
    ) -> anyhow::Result<Vec<Turns>> {
        self.play_rounds(part, entries, 1).await
    }

    async fn play_rounds(
        &mut self,
        part: &str,
        entries: Vec<Entry>,
        rounds: u32,
    ) -> anyhow::Result<Vec<Turns>> {
        let mut all: Vec<Turns> = entries.into_iter().map(|entry| self.turns(entry)).collect();
        for round in 1..=rounds {
            for turns in &mut all {
                let value = self.turn(part, turns).await?;
                turns.values.push(value);
            }
            say(&format!("{part} {round}: {}", shown(&all)));
        }
        Ok(all)
    }

    fn turns(&self, entry: Entry) -> Turns {
        let driver = self.drivers.iter().find(|driver| driver.name == entry.driver);
        let missing = driver.and_then(|driver| driver.missing.clone());
        Turns { entry, values: Vec::new(), missing }
    }

    async fn turn(&mut self, part: &str, turns: &mut Turns) -> anyhow::Result<Option<Value>> {
        if turns.missing.is_some() {
            return Ok(None);
        }
        self.server.flush().await?;
        let before = self.server.cpu_us().await?;
        let line = turns.entry.line.clone();
        match self.start(turns.entry.driver, part, &line)?.await {
            Ok(mut value) => {
                let used = self.server.cpu_us().await? - before;
                if let Some(all) = value.get("all").and_then(Value::as_f64) {
                    let per_one = Value::from(used / all);
                    value.as_object_mut().context("an object")?.insert("server_us".into(), per_one);
                }
                Ok(Some(value))
            }
            Err(error) => {
                let label = &turns.entry.label;
                let failure = format!("{label}, {part} {line}: {error:#}.");
                say(&failure);
                self.failures.push(failure);
                Ok(None)
            }
        }
    }

    /// Starts one driver; the future answers with what it printed.
    pub(crate) fn start(
        &self,
        driver: &str,
        part: &str,
        line: &str,
    ) -> anyhow::Result<impl Future<Output = anyhow::Result<Value>> + use<>> {
        self.start_under(&[], driver, part, line)
    }

    /// The same below another program, such as `faketime`.
    pub(crate) fn start_under(
        &self,
        wrapper: &[&str],
        driver: &str,
        part: &str,
        line: &str,
    ) -> anyhow::Result<impl Future<Output = anyhow::Result<Value>> + use<>> {
        let driver = self.drivers.iter().find(|known| known.name == driver);
        let driver = driver.context("an entry of a driver that is not there")?;
        if let Some(missing) = &driver.missing {
            bail!("{missing}");
        }
        let program = driver.program.to_str().context("the path of a driver")?;
        let mut words = wrapper.iter().copied().chain([program]);
        let mut command = Command::new(words.next().context("a program")?);
        command
            .args(words)
            .args(driver.arguments)
            .arg(part)
            .args(["--redis", self.server.url()])
            .args(line.split_whitespace())
            // Skewed clocks are the wall's: a process's own timers go on as they are.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let child = command.spawn()?;
        Ok(async move {
            let output =
                timeout(PATIENCE, child.wait_with_output()).await.context("it hangs")??;
            let stderr = String::from_utf8_lossy(&output.stderr);
            let text = String::from_utf8_lossy(&output.stdout);
            match serde_json::from_str(text.trim()) {
                Ok(value) if output.status.success() => Ok(value),
                _ => bail!("{}, {}", output.status, stderr.trim().lines().last().unwrap_or("")),
            }
        })
    }

    /// Freezes Redis for a while in the middle of one entry's turns.
    pub(crate) async fn freeze_during(
        &mut self,
        part: &str,
        entry: Entry,
        frozen: Duration,
    ) -> anyhow::Result<Turns> {
        let mut turns = self.turns(entry);
        for _ in 0..self.rounds() {
            if turns.missing.is_some() {
                break;
            }
            self.server.flush().await?;
            let running = self.start(turns.entry.driver, part, &turns.entry.line)?;
            let freezing = async {
                sleep(Duration::from_secs(1)).await;
                self.server.freeze().await?;
                sleep(frozen).await;
                self.server.thaw().await
            };
            let (found, froze) = tokio::join!(running, freezing);
            froze?;
            if let Err(error) = &found {
                self.failures.push(format!("{}, {part}: {error:#}.", turns.entry.label));
            }
            turns.values.push(found.ok());
        }
        say(&format!("{part}: {}", turns.entry.label));
        Ok(turns)
    }
}

impl Turns {
    /// One field of every round.
    pub(crate) fn series(&self, field: &str) -> Series {
        let mut series = Series::default();
        self.each(field).into_iter().flatten().for_each(|value| series.push(value));
        series
    }

    /// This divided by `other`, round by round.
    pub(crate) fn by(&self, other: &Self, field: &str) -> Series {
        let mut series = Series::default();
        for pair in self.each(field).into_iter().zip(other.each(field)) {
            if let (Some(this), Some(other)) = pair {
                series.push(this / other);
            }
        }
        series
    }

    /// One field divided by what `other` makes of the same round.
    pub(crate) fn over(
        &self,
        field: &str,
        other: impl Fn(&dyn Fn(&str) -> Option<f64>) -> Option<f64>,
    ) -> Series {
        let mut series = Series::default();
        for value in self.values.iter().flatten() {
            let of = |field: &str| value.get(field).and_then(Value::as_f64);
            if let (Some(this), Some(other)) = (of(field), other(&of)) {
                series.push(this / other);
            }
        }
        series
    }

    fn each(&self, field: &str) -> Vec<Option<f64>> {
        let of = |value: &Value| value.get(field).and_then(Value::as_f64);
        self.values.iter().map(|value| value.as_ref().and_then(of)).collect()
    }

    /// How often a field was true, of how many.
    pub(crate) fn told(&self, field: &str) -> String {
        let there = || self.values.iter().flatten();
        let yes = there().filter(|value| value.get(field) == Some(&Value::Bool(true))).count();
        format!("{yes} of {}", there().count())
    }

    /// The label, or the label and why there is nothing.
    pub(crate) fn label(&self) -> String {
        match &self.missing {
            Some(why) => format!("{}: not installed ({why})", self.entry.label),
            None if self.values.iter().all(Option::is_none) => {
                format!("{}: failed, see below", self.entry.label)
            }
            None => self.entry.label.clone(),
        }
    }

    /// The columns of a ratio: the ratio, the target, the verdict.
    pub(crate) fn judged(&self, ratio: &Series) -> [String; 3] {
        let (target, verdict) = self.entry.target.judge(ratio);
        [ratio.to_string(), target, verdict.to_owned()]
    }
}

/// For whoever watches.
fn shown(all: &[Turns]) -> String {
    let last = all.iter().filter_map(|turns| {
        let value = turns.values.last()?.as_ref()?;
        let first = ["rate", "p50_ms", "took_ms", "median_ms"];
        let (field, value) = first.iter().find_map(|field| Some((field, value.get(field)?)))?;
        Some(format!("{} {field} {:.1}", turns.entry.label, value.as_f64()?))
    });
    last.collect::<Vec<_>>().join(", ")
}
