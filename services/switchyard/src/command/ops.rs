//! What the operators' commands share: the desk, who acts, and how errors end.

use std::sync::Arc;

use console::{Actor, Desk, OpsError};
use coordination::Coordination;
use kernel::SystemClock;
use settings::Settings;
use tokio_util::task::TaskTracker;

use crate::cli::Acting;
use crate::exit::{DATABASE_AWAY, Exit, Failure, OrFix, REDIS_AWAY};
use crate::parts;

/// Goes to the servers themselves: no service need run.
pub(super) async fn desk() -> Result<Desk, Failure> {
    let settings = Settings::load(&[])?.settings;
    let db = parts::database(&settings)?;
    parts::require_schema(&db).await?;
    let coordination = Coordination::start(parts::coordination(&settings)?, TaskTracker::new());
    let coordination = coordination.await.or_fix(REDIS_AWAY)?;
    let limits = settings.limits.clone();
    let clock = Arc::new(SystemClock);
    Ok(console::start(console::Dependencies { db, coordination, limits, clock }))
}

/// Who is at this command line.
pub(super) fn actor(acting: &Acting) -> Actor {
    Actor { name: format!("{}@{}", acting.by, parts::host()), request_id: None }
}

/// An error as commands end with it. `again` is the command that shows how things are.
pub(super) fn failure(error: OpsError, again: &str) -> Failure {
    let (exit, fix) = match &error {
        OpsError::Database(_) => (Exit::Failed, DATABASE_AWAY.to_owned()),
        OpsError::Limits(_) => (Exit::Failed, REDIS_AWAY.to_owned()),
        OpsError::Locks(_) => (Exit::Failed, format!("{REDIS_AWAY}, and: {again}")),
        OpsError::Unknown { .. } => (Exit::NotFound, format!("look for it: {again}")),
        OpsError::Free => (Exit::NotFound, format!("see what is held: {again}")),
        OpsError::NoSuchKey { .. } => {
            (Exit::NotFound, "give an id that exists, of the kind `limits show` names".to_owned())
        }
        OpsError::Ambiguous { .. } => {
            (Exit::Conflict, "name one in full: switchyard locks ls --held --unmask".to_owned())
        }
        OpsError::OwnerChanged { .. } | OpsError::Stale => {
            (Exit::Conflict, format!("look again, then decide: {again}"))
        }
        OpsError::ShortPrefix => (Exit::Usage, format!("copy it from: {again}")),
        OpsError::Limit => (Exit::Usage, "give another number".to_owned()),
        OpsError::Reason => (Exit::Usage, "say why in a sentence: --reason".to_owned()),
        OpsError::InstallationOnly => (Exit::Usage, "name one thing: --key".to_owned()),
    };
    Failure::new(error, fix).with(exit)
}

/// A time as columns have it: `21s`, `4m12s`, `2h05m`, `3d04h`.
pub(super) fn short(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0 if ms > 0 => "<1s".to_owned(),
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// How much of `whole` is left, in six characters.
pub(super) fn bar(part: u64, whole: u64) -> String {
    let filled = (part.min(whole) * 6).div_ceil(whole.max(1));
    (0..6).map(|cell| if cell < filled { '=' } else { '.' }).collect()
}

/// At most `most` characters, with an ellipsis where the rest was.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_short_as_a_column() {
        let shown = [0, 300, 21_000, 252_000, 7_500_000, 273_600_000].map(short);
        assert_eq!(shown, ["0s", "<1s", "21s", "4m12s", "2h05m", "3d04h"]);
    }

    #[test]
    fn a_bar_is_full_at_first_and_empty_at_the_end() {
        assert_eq!(
            (bar(60, 60), bar(30, 60), bar(1, 60), bar(0, 60)),
            ("======".into(), "===...".into(), "=.....".into(), "......".into())
        );
        assert_eq!(bar(90, 60), "======");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!((cut("short", 5), cut("longer", 5)), ("short".to_owned(), "long…".to_owned()));
    }
}
