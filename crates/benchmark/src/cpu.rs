//! CPU time of processes with all below them, from /proc.

use std::collections::HashMap;
use std::fs;

/// Linux counts in hundredths of a second (`USER_HZ`) on every architecture we run on.
const US_PER_TICK: f64 = 10_000.0;

/// Processes whose CPU time is wanted, by the name in the report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched(Vec<(&'static str, u32)>);

/// CPU time used so far in microseconds, in the order of [`Watched`].
pub(crate) struct Reading(Vec<(&'static str, f64)>);

/// A line of /proc/PID/stat.
struct Stat {
    parent: u32,
    /// Of the process itself, user and system.
    own: f64,
    /// Of children that have ended and were waited for.
    ended: f64,
}

impl Watched {
    pub(crate) fn add(&mut self, name: &'static str, pid: Option<u32>) {
        self.0.extend(pid.map(|pid| (name, pid)));
    }

    /// These, and then `others`.
    pub(crate) fn and(mut self, others: &Self) -> Self {
        self.0.extend(&others.0);
        self
    }

    pub(crate) fn read(&self) -> Reading {
        let stats = stats();
        Reading(self.0.iter().map(|(name, pid)| (*name, tree(&stats, *pid))).collect())
    }

    /// For a profiler.
    pub(crate) fn shown(&self) -> String {
        self.0.iter().map(|(name, pid)| format!("{name} {pid}")).collect::<Vec<_>>().join(", ")
    }
}

impl Reading {
    /// Microseconds since `before`, by name.
    pub(crate) fn since(self, before: &Self) -> Vec<(&'static str, f64)> {
        let then = before.0.iter().map(|(_, us)| *us);
        self.0.into_iter().zip(then).map(|((name, now), then)| (name, now - then)).collect()
    }
}

/// The process that listens on `port` of this machine, if it is called `name`.
///
/// In a container, or as another user's process, it cannot be seen.
pub(crate) fn listener(port: u16, name: &str) -> Option<u32> {
    let socket = format!("socket:[{}]", listening_inode(port)?);
    let owners = pids().filter(|pid| {
        let files = fs::read_dir(format!("/proc/{pid}/fd"));
        files.into_iter().flatten().flatten().any(|file| {
            fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == socket.as_str())
        })
    });
    // Children inherit the socket.
    let oldest = owners.min()?;
    let comm = fs::read_to_string(format!("/proc/{oldest}/comm")).ok()?;
    comm.starts_with(name).then_some(oldest)
}

fn listening_inode(port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let ending = format!(":{port:04X}");
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    tables.iter().flatten().flat_map(|table| table.lines().skip(1)).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = fields.get(1)?.ends_with(&ending) && *fields.get(3)? == LISTEN;
        is_it.then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
    })
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn stats() -> HashMap<u32, Stat> {
    pids().filter_map(|pid| Some((pid, stat(pid)?))).collect()
}

fn stat(pid: u32) -> Option<Stat> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, blanks and brackets too.
    let (_, rest) = line.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own: (ticks(11)? + ticks(12)?) * US_PER_TICK,
        ended: (ticks(13)? + ticks(14)?) * US_PER_TICK,
    })
}

fn tree(stats: &HashMap<u32, Stat>, root: u32) -> f64 {
    let mut sum = 0.0;
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        if let Some(stat) = stats.get(&pid) {
            sum += stat.own + stat.ended;
        }
        open.extend(stats.iter().filter(|(_, stat)| stat.parent == pid).map(|(child, _)| *child));
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_process_is_found_by_the_port_it_listens_on() {
        let bound = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = bound.local_addr().unwrap().port();
        assert_eq!(listener(port, ""), Some(std::process::id()));
        assert_eq!(listener(port, "somebody else"), None);
    }

    #[test]
    fn work_is_seen() {
        let mut watched = Watched::default();
        watched.add("me", Some(std::process::id()));
        let before = watched.read();
        let begun = std::time::Instant::now();
        while begun.elapsed() < std::time::Duration::from_millis(100) {
            std::hint::spin_loop();
        }
        let used = watched.read().since(&before);
        assert!(used.iter().all(|(name, us)| *name == "me" && *us > 0.0), "{used:?}");
    }
}
