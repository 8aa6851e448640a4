//! What the figures were measured on.

use std::fs;

use kernel::{Clock, SystemClock};

/// Date, processor, load before the first run.
pub(crate) fn describe() -> Vec<(&'static str, String)> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    vec![
        ("date", SystemClock.now().format("%Y-%m-%d %H:%M:%S UTC").to_string()),
        ("processor", format!("{}, {cores} cores", processor())),
        ("kernel", kernel.trim().to_owned()),
        ("load average before", load()),
    ]
}

/// Of the last 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(':')).map(|(_, model)| model.trim());
    model.unwrap_or(std::env::consts::ARCH).to_owned()
}
