//! Writes `docs/configuration.md`, so that it cannot differ from the code.

use std::fmt::Write;

use crate::field::Secrecy;
use crate::layers::variable_of;
use crate::{Entry, Settings};

const HEAD: &str = include_str!("reference_head.md");

/// The page `docs/configuration.md`.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    let mut section = "";
    for entry in Settings::default().entries() {
        let (of, _) = entry.key.split_once('.').unwrap_or_default();
        if of != section {
            section = of;
            page.push_str(&format!(
                "\n## {section}\n\n| key | variable | form | default | meaning |\n|---|---|---|---|---|\n"
            ));
        }
        page.push_str(&row(&entry));
    }
    page
}

fn row(entry: &Entry) -> String {
    let Entry { key, about, form, value, secrecy } = entry;
    let default = if value.is_empty() { "–".to_owned() } else { format!("`{value}`") };
    let twin = match secrecy {
        Secrecy::Plain => "",
        Secrecy::Url | Secrecy::Secret => " (`…_FILE`)",
    };
    let mut row = String::new();
    // Writing to a String cannot fail.
    if writeln!(row, "| `{key}` | `{}`{twin} | {form} | {default} | {about} |", variable_of(key))
        .is_err()
    {
        row.clear();
    }
    row
}
