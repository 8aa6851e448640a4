//! An import, as the API shows it.

use chrono::{DateTime, Utc};
use kernel::ids::ImportId;
use serde::Serialize;
use serde_json::Value;
use service::values::Time;

use super::store::Import;
use crate::progress::Progress;

#[derive(Debug, Serialize)]
pub(super) struct Shown {
    object: &'static str,
    id: ImportId,
    status: String,
    dry_run: bool,
    file: File,
    options: Value,
    /// How the file is read; once its beginning was.
    understood: Option<Value>,
    counts: Counts,
    /// In bytes of the file.
    progress: Progress,
    error: Option<Why>,
    actions: Vec<&'static str>,
    created_at: Time,
    started_at: Option<Time>,
    ended_at: Option<Time>,
}

#[derive(Debug, Serialize)]
struct File {
    name: String,
    bytes: i64,
}

/// Records are accepted or rejected; people are created, updated or unchanged, and with the duplicates
/// they are the accepted ones.
#[derive(Debug, Serialize)]
struct Counts {
    accepted: i64,
    rejected: i64,
    duplicates: i64,
    created: i64,
    updated: i64,
    unchanged: i64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Why {
    pub(crate) code: String,
    pub(crate) detail: String,
}

impl Shown {
    pub(super) fn new(import: Import, now: DateTime<Utc>) -> Self {
        let until = import.ended_at.unwrap_or(now);
        let progress = Progress::new(
            (import.read_bytes, import.file_bytes),
            import.started_at.map(|started| until - started),
            (!import.is_over()).then_some(now),
        );
        let is_stoppable = matches!(import.status.as_str(), "queued" | "running");
        let dry_run = import.options.get("dry_run").and_then(Value::as_bool).unwrap_or_default();
        Self {
            object: "contact_import",
            id: import.id(),
            dry_run,
            file: File { name: import.file_name, bytes: import.file_bytes },
            options: import.options,
            understood: import.understood,
            counts: Counts {
                accepted: import.accepted,
                rejected: import.rejected,
                duplicates: import.duplicates,
                created: import.created,
                updated: import.updated,
                unchanged: import.unchanged,
            },
            progress,
            error: import.error_code.map(|code| {
                let detail = import.error.unwrap_or_default();
                Why { code, detail }
            }),
            actions: if is_stoppable { vec!["cancel"] } else { vec![] },
            status: import.status,
            created_at: Time(import.created_at),
            started_at: import.started_at.map(Time),
            ended_at: import.ended_at.map(Time),
        }
    }
}
