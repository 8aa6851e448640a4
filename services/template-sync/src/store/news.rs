//! Webhooks about templates: taken and acted upon in one transaction.
//!
//! Invariant: a value changes only by news of a later moment than it is known as of; Meta's moments
//! are whole seconds, so news count as of the last moment of theirs.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::Queryable;
use diesel::sql_types::{self, BigInt, Bytea, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use kernel::ids::{TemplateId, WorkspaceId};
use kernel::{WabaId, statement};
use storage::{AsyncPgConnection, StorageError};
use uuid::Uuid;
use whatsapp::webhook::model::TemplateChange;

use super::telling::{Facts, Turn};

/// A webhook, as it was kept.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) waba: String,
    /// The only workspace it concerns, if it was signed by one's own app.
    pub(crate) app_workspace: Option<WorkspaceId>,
    pub(crate) item: Bytes,
    /// As of when it is true.
    pub(crate) at: DateTime<Utc>,
}

type Row = (String, Option<Uuid>, Vec<u8>, Option<DateTime<Utc>>, DateTime<Utc>);

statement! {
    Take(most: i64) -> (Text, Nullable<sql_types::Uuid>, Bytea, Nullable<Timestamptz>, Timestamptz) {
        "WITH mine AS (SELECT n.event_id FROM template_news n ORDER BY n.event_id LIMIT " [most: BigInt]
        " FOR UPDATE SKIP LOCKED), \
         taken AS (DELETE FROM template_news n USING mine WHERE n.event_id = mine.event_id \
            RETURNING n.event_id, n.waba_id, n.app_workspace_id) \
         SELECT t.waba_id, t.app_workspace_id, r.item, r.happened_at, r.received_at FROM taken t \
         JOIN webhook_records r ON r.event_id = t.event_id ORDER BY r.happened_at, r.received_at, t.event_id"
    }
}

/// Takes up to `most` webhooks that nobody acts upon, those of the earliest moments first.
pub(crate) async fn take(
    tx: &mut AsyncPgConnection,
    most: i64,
) -> Result<Vec<Piece>, StorageError> {
    let rows: Vec<Row> = Take { most }.load(tx).await?;
    let piece = |(waba, app, item, happened_at, received_at): Row| Piece {
        waba,
        app_workspace: app.map(WorkspaceId::from_uuid),
        item: item.into(),
        at: moment(happened_at, received_at),
    };
    Ok(rows.into_iter().map(piece).collect())
}

/// The last moment at which Meta can have meant it; never later than it was received.
fn moment(happened_at: Option<DateTime<Utc>>, received_at: DateTime<Utc>) -> DateTime<Utc> {
    let last = happened_at.map(|at| at + TimeDelta::milliseconds(999));
    last.unwrap_or(received_at).min(received_at)
}

/// A template whose row is locked.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
pub(crate) struct Known {
    id: Uuid,
    name: String,
    language: String,
    status: String,
    rejected_reason: Option<String>,
    status_at: DateTime<Utc>,
    quality: String,
    quality_at: DateTime<Utc>,
    category: String,
    previous_category: Option<String>,
    correct_category: Option<String>,
    category_changes_at: Option<DateTime<Utc>>,
    category_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
}

statement! {
    Lock(workspace: Uuid, waba: String, meta_id: String)
    -> (sql_types::Uuid, Text, Text, Text, Nullable<Text>, Timestamptz, Text, Timestamptz, Text,
        Nullable<Text>, Nullable<Text>, Nullable<Timestamptz>, Timestamptz, Nullable<Timestamptz>) {
        "SELECT id, name, language, status, rejected_reason, status_at, quality, quality_at, category, \
            previous_category, correct_category, category_changes_at, category_at, deleted_at \
         FROM templates WHERE workspace_id = " [workspace: sql_types::Uuid] " AND waba_id = " [waba: Text]
        " AND meta_id = " [meta_id: Text] " FOR UPDATE"
    }
}

/// Locks a template of an account that is locked.
pub(crate) async fn lock(
    tx: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    waba: &WabaId,
    meta_id: &str,
) -> Result<Option<Known>, StorageError> {
    let (workspace, waba) = (workspace.as_uuid(), waba.as_str().to_owned());
    let lock = Lock { workspace, waba, meta_id: meta_id.to_owned() };
    let rows: Vec<Known> = lock.load(tx).await?;
    Ok(rows.into_iter().next())
}

impl Known {
    fn facts(&self) -> Facts {
        let status = if self.deleted_at.is_some() { "DELETED" } else { &self.status };
        Facts { status: status.to_owned(), quality: self.quality.clone() }
    }

    /// Takes news in; `None` when they are older than what is known.
    pub(crate) fn learn(&mut self, change: TemplateChange, at: DateTime<Utc>) -> Option<Turn> {
        let before = self.facts();
        let known_at = match &change {
            TemplateChange::Status { .. } => &mut self.status_at,
            TemplateChange::Quality(_) => &mut self.quality_at,
            TemplateChange::Category { .. } | TemplateChange::CorrectCategory { .. } => {
                &mut self.category_at
            }
            TemplateChange::Unclear => return None,
        };
        if at < *known_at {
            return None;
        }
        *known_at = at;
        self.take(change, at);
        Some(Turn {
            id: TemplateId::from_uuid(self.id),
            name: self.name.clone(),
            language: self.language.clone(),
            before: Some(before),
            now: self.facts(),
        })
    }

    fn take(&mut self, change: TemplateChange, at: DateTime<Utc>) {
        match change {
            TemplateChange::Status { status, reason } => {
                self.deleted_at = (status == "DELETED").then_some(at);
                self.status = status;
                self.rejected_reason = reason;
            }
            TemplateChange::Quality(quality) => self.quality = quality,
            TemplateChange::Category { now, before } => {
                self.previous_category = before.or_else(|| Some(self.category.clone()));
                self.category = now.unwrap_or_else(|| self.category.clone());
                (self.correct_category, self.category_changes_at) = (None, None);
            }
            TemplateChange::CorrectCategory { correct, at } => {
                (self.correct_category, self.category_changes_at) = (Some(correct), at);
            }
            TemplateChange::Unclear => (),
        }
    }
}

statement! {
    Write(
        id: Uuid, status: String, reason: Option<String>, status_at: DateTime<Utc>, quality: String,
        quality_at: DateTime<Utc>, category: String, previous: Option<String>, correct: Option<String>,
        changes_at: Option<DateTime<Utc>>, category_at: DateTime<Utc>, deleted_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> () {
        "UPDATE templates SET status = " [status: Text] ", rejected_reason = " [reason: Nullable<Text>]
        ", status_at = " [status_at: Timestamptz] ", quality = " [quality: Text] ", quality_at = "
        [quality_at: Timestamptz] ", category = " [category: Text] ", previous_category = "
        [previous: Nullable<Text>] ", correct_category = " [correct: Nullable<Text>]
        ", category_changes_at = " [changes_at: Nullable<Timestamptz>] ", category_at = "
        [category_at: Timestamptz] ", deleted_at = " [deleted_at: Nullable<Timestamptz>] ", seen_at = "
        [now: Timestamptz] ", updated_at = " [now: Timestamptz] " WHERE id = " [id: sql_types::Uuid]
    }
}

/// Writes down what a locked template has learnt.
pub(crate) async fn write(
    tx: &mut AsyncPgConnection,
    known: Known,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let write = Write {
        id: known.id,
        status: known.status,
        reason: known.rejected_reason,
        status_at: known.status_at,
        quality: known.quality,
        quality_at: known.quality_at,
        category: known.category,
        previous: known.previous_category,
        correct: known.correct_category,
        changes_at: known.category_changes_at,
        category_at: known.category_at,
        deleted_at: known.deleted_at,
        now,
    };
    write.execute(tx).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn known() -> Known {
        Known {
            id: Uuid::nil(),
            name: "sale".into(),
            language: "en".into(),
            status: "APPROVED".into(),
            rejected_reason: None,
            status_at: at(100),
            quality: "GREEN".into(),
            quality_at: at(100),
            category: "UTILITY".into(),
            previous_category: None,
            correct_category: None,
            category_changes_at: None,
            category_at: at(100),
            deleted_at: None,
        }
    }

    fn status(status: &str) -> TemplateChange {
        TemplateChange::Status { status: status.into(), reason: None }
    }

    #[test]
    fn older_news_change_nothing_whatever_order_they_come_in() {
        let mut known = known();
        assert!(known.learn(status("PAUSED"), at(300)).is_some());
        assert_eq!(known.learn(status("APPROVED"), at(200)), None);
        assert_eq!(known.status, "PAUSED");
        let turn = known.learn(status("APPROVED"), at(400)).unwrap();
        assert_eq!(turn.before.unwrap().status, "PAUSED");
        assert_eq!(turn.now.status, "APPROVED");
        assert!(known.learn(TemplateChange::Quality("RED".into()), at(150)).is_some());
        assert_eq!(known.quality, "RED", "each value has a moment of its own");
    }

    #[test]
    fn an_announced_category_is_not_yet_the_category() {
        let mut known = known();
        let announced =
            TemplateChange::CorrectCategory { correct: "MARKETING".into(), at: Some(at(900)) };
        known.learn(announced, at(200)).unwrap();
        assert_eq!(
            (known.category.as_str(), known.category_changes_at),
            ("UTILITY", Some(at(900)))
        );
        let done = TemplateChange::Category { now: Some("MARKETING".into()), before: None };
        known.learn(done, at(900)).unwrap();
        assert_eq!(known.category, "MARKETING");
        assert_eq!(known.previous_category.as_deref(), Some("UTILITY"));
        assert_eq!((known.correct_category, known.category_changes_at), (None, None));
    }

    #[test]
    fn a_deleted_template_is_deleted_until_it_is_told_of_again() {
        let mut known = known();
        assert_eq!(known.learn(status("DELETED"), at(200)).unwrap().now.status, "DELETED");
        assert!(known.deleted_at.is_some());
        assert_eq!(known.learn(status("APPROVED"), at(201)).unwrap().now.status, "APPROVED");
        assert_eq!(known.deleted_at, None);
    }

    #[test]
    fn news_count_as_of_the_last_moment_of_their_second_and_never_of_the_future() {
        let received = at(500);
        assert_eq!(moment(Some(at(400)), received), at(400) + TimeDelta::milliseconds(999));
        assert_eq!(moment(Some(at(900)), received), received);
        assert_eq!(moment(None, received), received);
    }
}
