//! The registry is complete, unambiguous, and the page in `docs` says what the code does.

use std::collections::HashSet;
use std::path::Path;

use coordination::registry::page;
use coordination::{LockClass, Policy};

/// From here on the page belongs to the crate that declares the queues.
const QUEUES: &str = "<!-- queues -->";

#[test]
fn the_registry_page_says_what_the_code_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/registry.md");
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let (ours, queues) = written.split_once(QUEUES).unwrap_or((&written, "\n"));
    let expected = format!("{}\n", page());
    if std::env::var("UPDATE_REGISTRY").is_ok() {
        std::fs::write(&path, format!("{expected}{QUEUES}{queues}")).unwrap();
        return;
    }
    assert_eq!(ours, expected, "docs/registry.md is old: run this test with UPDATE_REGISTRY=1");
}

#[test]
fn every_name_is_used_once() {
    let locks = LockClass::ALL.map(|class| (class.spec().id, class.spec().key, class.spec().label));
    let limits =
        Policy::ALL.map(|policy| (policy.spec().id, policy.spec().key, policy.spec().label));
    let all = locks.into_iter().chain(limits).collect::<Vec<_>>();
    assert_eq!(all.iter().map(|line| line.0).collect::<HashSet<_>>().len(), 19);
    assert_eq!(all.iter().map(|line| line.1).collect::<HashSet<_>>().len(), 19);
    assert_eq!(locks.iter().map(|line| line.2).collect::<HashSet<_>>().len(), 12);
    assert_eq!(limits.iter().map(|line| line.2).collect::<HashSet<_>>().len(), 7);
}
