//! The gates that no compiler and no lint knows: layers, sizes, names, manifests, leftovers.
//!
//! Reads `cargo metadata` and the files of the checkout; needs no server and no network. Each test lists everything it
//! finds, so that one run is enough to mend it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a gate that cannot read the checkout has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Product code without its test module; 400 is the aim, more than this fails.
const MAX_CODE_LINES: usize = 500;
const MAX_TEST_LINES: usize = 800;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 9] =
    ["util", "utils", "common", "helper", "helpers", "manager", "managers", "misc", "stuff"];

/// A crate depends on lower layers only; services are layer 3, the binary that composes them is 4.
const LAYERS: [(&str, u8); 14] = [
    ("kernel", 0),
    ("contracts", 0),
    ("settings", 0),
    ("telemetry", 0),
    ("storage", 1),
    ("messaging", 1),
    ("coordination", 1),
    ("whatsapp", 1),
    ("service", 2),
    ("sending", 2),
    ("relay", 2),
    ("testkit", 2),
    ("graph-simulator", 2),
    ("benchmark", 4),
];

/// Edges inside a layer. A new one needs a decision record.
const INSIDE_A_LAYER: [(&str, &str); 1] = [("sending", "relay")];

struct Member {
    name: String,
    folder: PathBuf,
    manifest: String,
    dependencies: Vec<Dependency>,
    /// `[package.metadata.tidy] kept`: dependencies that no source names, and why they are there.
    kept: BTreeSet<String>,
}

struct Dependency {
    /// As the sources say it: renamed, with underscores.
    identifier: String,
    package: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Normal,
    Dev,
    Build,
}

struct File {
    /// Relative to the root of the checkout, with `/`.
    path: String,
    text: String,
}

#[test]
fn a_crate_depends_on_lower_layers_only() {
    let members = members();
    let ours: BTreeMap<&str, u8> =
        members.iter().map(|member| (member.name.as_str(), layer(member))).collect();
    let mut findings = Vec::new();
    for member in &members {
        for dependency in &member.dependencies {
            if let Some(&to) = ours.get(dependency.package.as_str()) {
                let from = (member.name.as_str(), layer(member));
                findings.extend(forbidden(from, (&dependency.package, to), dependency.kind));
            }
        }
    }
    report("edges between crates (a new one needs a decision record, then a line here)", &findings);
}

#[test]
fn versions_and_lints_live_in_the_workspace() {
    let mut findings = Vec::new();
    for member in members() {
        findings.extend(manifest_problems(&member.name, &member.manifest));
    }
    report("manifests", &findings);
}

#[test]
fn every_dependency_is_used() {
    let files = files();
    let mut findings = Vec::new();
    for member in members() {
        for dependency in &member.dependencies {
            let is_kept = member.kept.contains(&dependency.package);
            let is_used = sources(&files, &member, dependency.kind)
                .any(|file| names(&file.text, &dependency.identifier));
            if is_used == is_kept {
                let (name, package, kind) = (&member.name, &dependency.package, dependency.kind);
                let problem = if is_used { "is used, no need to keep it" } else { "is not used" };
                findings.push(format!("{name}: {package} ({kind:?}) {problem}"));
            }
        }
    }
    report(
        "dependencies ([package.metadata.tidy.kept] NAME = \"why\" is the exception)",
        &findings,
    );
}

#[test]
fn the_workspace_lists_only_what_a_member_uses() {
    let members = members();
    let used: BTreeSet<&str> = members
        .iter()
        .flat_map(|member| &member.dependencies)
        .map(|dependency| dependency.package.as_str())
        .collect();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let listed = workspace_dependencies(&manifest);
    assert!(!listed.is_empty(), "the workspace's table was not found");
    let ours: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let unused = listed.into_iter().filter(|name| !used.contains(name) && !ours.contains(name));
    report(
        "[workspace.dependencies] without a user",
        &unused.map(str::to_owned).collect::<Vec<_>>(),
    );
}

#[test]
fn files_are_short_enough_to_read() {
    let mut findings = Vec::new();
    for file in files().iter().filter(|file| file.path.ends_with(".rs")) {
        let is_test = file.path.contains("/tests/") || file.path.ends_with("/tests.rs");
        let limit = if is_test { MAX_TEST_LINES } else { MAX_CODE_LINES };
        let lines = if is_test { file.text.lines().count() } else { code_lines(&file.text) };
        if lines > limit {
            findings.push(format!("{}: {lines} lines, {limit} are allowed", file.path));
        }
    }
    report("file sizes", &findings);
}

#[test]
fn modules_say_what_they_are() {
    let mut findings = Vec::new();
    for file in files().iter().filter(|file| file.path.ends_with(".rs")) {
        if file.path.ends_with("/mod.rs") {
            findings.push(format!("{}: foo.rs and foo/ instead", file.path));
        }
        let parts = file.path.trim_end_matches(".rs").split('/');
        let modules = file.text.lines().filter_map(module_name);
        for name in parts.chain(modules).filter(|name| EMPTY_NAMES.contains(name)) {
            findings.push(format!("{}: `{name}` names nothing", file.path));
        }
    }
    report("module names", &findings);
}

#[test]
fn nothing_is_left_unfinished() {
    let mut findings = Vec::new();
    for file in files().iter().filter(|file| is_code(&file.path)) {
        for (number, line) in (1..).zip(file.text.lines()) {
            findings.extend(unfinished(line).map(|what| format!("{}:{number}: {what}", file.path)));
        }
    }
    report("leftovers", &findings);
}

#[test]
fn no_file_knows_somebodys_machine() {
    let mut findings = Vec::new();
    for file in &files() {
        for (number, line) in (1..).zip(file.text.lines()) {
            findings
                .extend(machine_path(line).map(|path| format!("{}:{number}: {path}", file.path)));
        }
    }
    report("paths that exist on one machine only", &findings);
}

#[test]
fn decisions_are_numbered_without_gaps_and_listed() {
    let files = files();
    let mut records: Vec<&str> = files
        .iter()
        .filter_map(|file| file.path.strip_prefix("docs/adr/"))
        .filter(|name| name.ends_with(".md") && *name != "README.md")
        .collect();
    records.sort_unstable();
    let index = files.iter().find(|file| file.path == "docs/adr/README.md");
    let mut findings = Vec::new();
    for (number, name) in (1..).zip(&records) {
        if !name.starts_with(&format!("{number:04}-")) {
            findings.push(format!("{name}: number {number:04} was expected here"));
        }
        if index.is_some_and(|index| !index.text.contains(*name)) {
            findings.push(format!("{name}: not listed in docs/adr/README.md"));
        }
    }
    report("decision records", &findings);
}

/// A gate that finds nothing may be blind, so each is shown something to find.
#[test]
fn the_gates_bite() {
    assert!(forbidden(("storage", 1), ("messaging", 1), Kind::Normal).is_some());
    assert!(forbidden(("storage", 1), ("service", 2), Kind::Dev).is_some());
    assert!(forbidden(("chatbot", 3), ("conversations", 3), Kind::Dev).is_some());
    assert!(forbidden(("chatbot", 3), ("testkit", 2), Kind::Normal).is_some());
    assert!(forbidden(("chatbot", 3), ("graph-simulator", 2), Kind::Normal).is_some());
    assert!(forbidden(("chatbot", 3), ("testkit", 2), Kind::Dev).is_none());
    assert!(forbidden(("switchyard", 4), ("chatbot", 3), Kind::Normal).is_none());

    let good = "[dependencies]\nserde.workspace = true\n[lints]\nworkspace = true\n";
    assert!(manifest_problems("good", good).is_empty());
    let bad = "[dependencies]\nserde = \"1\"\n[dev-dependencies.tokio]\nversion = \"1\"\n";
    assert_eq!(manifest_problems("bad", bad).len(), 3);

    assert!(names("use serde::Serialize;", "serde") && names("#[tokio::test]", "tokio"));
    assert!(!names("// serde::Serialize", "serde") && !names("use my_serde::X;", "serde"));
    assert_eq!(code_lines("a\nb\n#[cfg(test)]\nmod tests {\n}\n"), 2);
    assert_eq!(module_name("pub(crate) mod helpers {"), Some("helpers"));
    assert!(unfinished("    #[ignore = \"slow\"]").is_some());
    assert!(unfinished(concat!("// TO", "DO: later")).is_some());
    assert!(unfinished(concat!("// TO", "DO(#12): later")).is_none());
    assert!(machine_path(concat!("cd /ro", "ot/switchyard")).is_some());
    assert!(machine_path("https://example.com/home/page").is_none());
}

fn layer(member: &Member) -> u8 {
    let is_service = member.folder.parent().is_some_and(|parent| parent.ends_with("services"));
    let known = LAYERS.iter().find(|(name, _)| *name == member.name).map(|(_, layer)| *layer);
    match known {
        Some(layer) => layer,
        None if member.name == "switchyard" => 4,
        None => {
            assert!(is_service, "{}: give this crate a layer in tidy.rs", member.name);
            3
        }
    }
}

/// Why an edge may not be, if it may not.
fn forbidden(from: (&str, u8), to: (&str, u8), kind: Kind) -> Option<String> {
    let is_dev_crate = matches!(to.0, "testkit" | "graph-simulator");
    let is_allowed = match kind {
        // Both are tested in the databases that testkit makes.
        Kind::Dev if is_dev_crate => {
            from.1 >= 2 || to.0 == "testkit" && matches!(from.0, "storage" | "coordination")
        }
        // The demo, the `simulate` command and the benchmark need the simulator; nothing else may.
        Kind::Normal | Kind::Build if is_dev_crate => {
            to.0 == "graph-simulator" && matches!(from.0, "testkit" | "switchyard" | "benchmark")
        }
        _ => to.1 < from.1 || INSIDE_A_LAYER.contains(&(from.0, to.0)),
    };
    let edge = format!("{} (layer {}) -> {} (layer {}), {kind:?}", from.0, from.1, to.0, to.1);
    (!is_allowed).then_some(edge)
}

fn manifest_problems(name: &str, manifest: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut section = "";
    let mut has_lints = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
            if section.contains("dependencies.") {
                findings.push(format!("{name}: [{section}]: write NAME.workspace = true"));
            }
        } else if section == "lints" && line == "workspace = true" {
            has_lints = true;
        } else if section.ends_with("dependencies")
            && line.contains('=')
            && !line.starts_with('#')
            && !line.replace(' ', "").contains("workspace=true")
        {
            findings.push(format!("{name}: `{line}`: versions live in the workspace's table"));
        }
    }
    if !has_lints {
        findings.push(format!("{name}: [lints] workspace = true is missing"));
    }
    findings
}

/// The names in `[workspace.dependencies]`.
fn workspace_dependencies(manifest: &str) -> Vec<&str> {
    let table = manifest.lines().skip_while(|line| *line != "[workspace.dependencies]").skip(1);
    table
        .take_while(|line| !line.starts_with('['))
        .filter(|line| line.starts_with(char::is_alphabetic))
        .filter_map(|line| line.split_once(['=', ' ', '.']))
        .map(|(name, _)| name)
        .collect()
}

/// The files that may use a dependency of this kind.
fn sources<'a>(
    files: &'a [File],
    member: &Member,
    kind: Kind,
) -> impl Iterator<Item = &'a File> + use<'a> {
    let folder = relative(&member.folder);
    files.iter().filter(move |file| {
        let inside = file.path.strip_prefix(&folder).and_then(|rest| rest.strip_prefix('/'));
        inside.is_some_and(|path| {
            path.ends_with(".rs")
                && match kind {
                    Kind::Normal => path.starts_with("src/"),
                    Kind::Build => path == "build.rs",
                    Kind::Dev => path != "build.rs",
                }
        })
    })
}

/// Whether code (not a comment) names a crate: `krate::…` or `use krate`.
fn names(text: &str, identifier: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
        line.match_indices(identifier).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + identifier.len()..]);
            !before.ends_with(is_part)
                && !after.starts_with(is_part)
                && (after.starts_with("::") || before.ends_with("use "))
        })
    })
}

/// Lines up to the test module at the end.
fn code_lines(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.iter().position(|line| *line == "mod tests {").unwrap_or(lines.len());
    let attributes = lines[..tests].iter().rev();
    tests - attributes.take_while(|line| line.starts_with("#[") || line.starts_with(')')).count()
}

/// The name of the module that a line declares.
fn module_name(line: &str) -> Option<&str> {
    let line = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
    let name = line.strip_prefix("mod ")?;
    Some(name.trim_end_matches(['{', ';', ' ']))
}

/// The end of each word is put on here, or this file would report itself.
fn unfinished(line: &str) -> Option<&'static str> {
    let todo_mark = concat!("TO", "DO");
    if line.trim_start().starts_with("#[ignore") {
        Some("an ignored test")
    } else if line.contains(concat!("todo", "!(")) || line.contains(concat!("unimplemented", "!("))
    {
        Some("code that is not there")
    } else if line.contains(concat!("FIX", "ME")) {
        Some("a defect that is known and left")
    } else {
        let (_, rest) = line.split_once(todo_mark)?;
        (!rest.starts_with("(#")).then_some("a reminder without an issue: write it with (#number)")
    }
}

/// An absolute path below somebody's home or work folder.
fn machine_path(line: &str) -> Option<&'static str> {
    let homes = [
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/Us", "ers/"),
        concat!("/wo", "rk/"),
    ];
    homes.into_iter().find(|home| {
        line.match_indices(home).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || "._-}~/*".contains(c))
        })
    })
}

fn is_code(path: &str) -> bool {
    let endings = [".rs", ".toml", ".sql", ".proto", ".sh", ".yml", ".yaml", "Makefile"];
    path.starts_with(".ci/") || endings.iter().any(|ending| path.ends_with(ending))
}

fn members() -> Vec<Member> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().iter().map(member).collect()
}

fn member(package: &Value) -> Member {
    let manifest_path = Path::new(package["manifest_path"].as_str().unwrap());
    let kept = package["metadata"]["tidy"]["kept"].as_object();
    Member {
        name: package["name"].as_str().unwrap().to_owned(),
        folder: manifest_path.parent().unwrap().to_owned(),
        manifest: fs::read_to_string(manifest_path).unwrap(),
        dependencies: package["dependencies"].as_array().unwrap().iter().map(dependency).collect(),
        kept: kept.map(|kept| kept.keys().cloned().collect()).unwrap_or_default(),
    }
}

fn dependency(value: &Value) -> Dependency {
    let package = value["name"].as_str().unwrap();
    Dependency {
        identifier: value["rename"].as_str().unwrap_or(package).replace('-', "_"),
        package: package.to_owned(),
        kind: match value["kind"].as_str() {
            Some("dev") => Kind::Dev,
            Some("build") => Kind::Build,
            _ => Kind::Normal,
        },
    }
}

/// The checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn relative(path: &Path) -> String {
    let path = path.canonicalize().unwrap();
    path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/")
}

/// Every text file of the checkout that is ours: read from the disk, because not everybody has git.
fn files() -> Vec<File> {
    let root = root();
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                let is_foreign = name.starts_with('.') || name == "target";
                if !is_foreign || matches!(name.as_str(), ".ci" | ".config" | ".github") {
                    folders.push(path);
                }
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                files.push(File { path, text });
            }
        }
    }
    files
}

fn report(what: &str, findings: &[String]) {
    let mut list = String::new();
    for finding in findings {
        write!(list, "\n  {finding}").unwrap();
    }
    assert!(findings.is_empty(), "{what}:{list}");
}
