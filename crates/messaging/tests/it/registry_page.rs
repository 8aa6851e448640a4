//! `docs/registry.md` names every exchange and queue as they are declared.

use std::collections::BTreeMap;
use std::path::Path;

use messaging::{Declaration, Topology};

const MARK: &str = "<!-- queues -->";

#[test]
#[expect(clippy::disallowed_methods, reason = "how a person asks for the page to be written anew")]
fn the_registry_page_shows_every_exchange_and_queue_as_declared() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/registry.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, shown) = page.split_once(MARK).unwrap();
    let expected = section();
    if std::env::var("UPDATE_REGISTRY").is_ok() {
        std::fs::write(&path, format!("{before}{MARK}{expected}")).unwrap();
        return;
    }
    assert_eq!(shown, expected, "docs/registry.md is old: run this test with UPDATE_REGISTRY=1");
}

fn section() -> String {
    let mut exchanges = String::new();
    let mut queues = String::new();
    let mut bindings: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let topology = Topology::default().describe();
    for declaration in &topology {
        if let Declaration::Binding { exchange, queue, key } = declaration {
            let key = if key.is_empty() { String::new() } else { format!(" `{key}`") };
            bindings.entry(queue.clone()).or_default().push(format!("`{exchange}`{key}"));
        }
    }
    for declaration in &topology {
        match declaration {
            Declaration::Exchange { name, kind, alternate } => {
                let alternate = alternate.as_ref().map_or("–".to_owned(), |to| format!("`{to}`"));
                exchanges.push_str(&format!("| `{name}` | {kind} | {alternate} |\n"));
            }
            Declaration::Queue { name, arguments } => {
                let arguments: Vec<String> =
                    arguments.iter().map(|(key, value)| format!("`{key}={value}`")).collect();
                let from = bindings.get(name).map_or(String::new(), |from| from.join(", "));
                queues.push_str(&format!("| `{name}` | {from} | {} |\n", arguments.join(" ")));
            }
            Declaration::Binding { .. } => {}
        }
    }
    format!(
        "\n\n## Queues\n\nWritten from `crates/messaging/src/topology`; a test compares them\n\
         (`UPDATE_REGISTRY=1 cargo nextest run -p messaging registry` writes them anew). All are \
         durable quorum queues. A lane is worked off by one process at a time.\n\n\
         | exchange | type | what no queue wants goes to |\n|---|---|---|\n{exchanges}\n\
         | queue | bound to | arguments |\n|---|---|---|\n{queues}"
    )
}
