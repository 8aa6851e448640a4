//! What people and programs write down about a contact: name, tags, attributes.
//!
//! Invariants: a number has one contact, however many make it at once; `updated_at` never takes the
//! same value twice here, so it names a version.

use chrono::{DateTime, Utc};
use diesel::OptionalExtension as _;
use diesel::sql_types::{self, Array, Bool, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{ContactId, WorkspaceId};
use kernel::{WaId, statement};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Contact, Source, find};
use crate::StorageError;

/// What to change of a contact; `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// The name; `Some(None)` forgets it.
    pub name: Option<Option<String>>,
    /// The tags, all of them.
    pub tags: Option<Vec<String>>,
    /// Attributes to set; one that is `null` is forgotten, one that is not named stays.
    pub attributes: Option<Map<String, Value>>,
}

/// The columns of a [`Contact`], in its order.
pub(super) type Row = (
    sql_types::Uuid,
    sql_types::Uuid,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Text,
    Timestamptz,
    Timestamptz,
    Array<Text>,
    Jsonb,
    Nullable<Timestamptz>,
);

// Of two that make the same contact at once, the second waits for the first and changes its row.
statement! {
    Keep(
        id: Uuid,
        workspace: Uuid,
        wa_id: String,
        sets_name: bool,
        name: Option<String>,
        tags: Option<Vec<String>>,
        attributes: Value,
        source: &'static str,
        now: DateTime<Utc>,
    ) -> Row {
        "INSERT INTO contacts AS c \
         (id, workspace_id, wa_id, name, source, created_at, updated_at, tags, attributes) VALUES ("
        [id: sql_types::Uuid] ", " [workspace: sql_types::Uuid] ", " [wa_id: Text] ", "
        [name: Nullable<Text>] ", " [source: Text] ", " [now: Timestamptz] ", " [now: Timestamptz]
        ", COALESCE(" [tags: Nullable<Array<Text>>] ", '{}'), jsonb_strip_nulls("
        [attributes: Jsonb]
        ")) ON CONFLICT (workspace_id, wa_id) DO UPDATE SET \
         name = CASE WHEN " [sets_name: Bool] " THEN EXCLUDED.name ELSE c.name END, tags = COALESCE("
        [tags: Nullable<Array<Text>>] ", c.tags), attributes = jsonb_strip_nulls(c.attributes || "
        [attributes: Jsonb] "), \
         updated_at = GREATEST(EXCLUDED.updated_at, c.updated_at + interval '1 microsecond') \
         RETURNING id, workspace_id, wa_id, user_id, name, source, created_at, updated_at, tags, \
         attributes, opted_out_at"
    }
}

statement! {
    Change(
        id: Uuid,
        workspace: Uuid,
        sets_name: bool,
        name: Option<String>,
        tags: Option<Vec<String>>,
        attributes: Value,
        unchanged_since: Option<Vec<DateTime<Utc>>>,
        now: DateTime<Utc>,
    ) -> Row {
        "UPDATE contacts SET name = CASE WHEN " [sets_name: Bool] " THEN " [name: Nullable<Text>]
        " ELSE name END, tags = COALESCE(" [tags: Nullable<Array<Text>>]
        ", tags), attributes = jsonb_strip_nulls(attributes || " [attributes: Jsonb]
        "), updated_at = GREATEST(" [now: Timestamptz] ", updated_at + interval '1 microsecond') \
         WHERE workspace_id = " [workspace: sql_types::Uuid] " AND id = " [id: sql_types::Uuid]
        " AND (" [unchanged_since: Nullable<Array<Timestamptz>>] " IS NULL OR updated_at = ANY("
        [unchanged_since: Nullable<Array<Timestamptz>>]
        ")) RETURNING id, workspace_id, wa_id, user_id, name, source, created_at, updated_at, tags, \
         attributes, opted_out_at"
    }
}

/// Changes the contact with this number, and makes it when there is none; `true` says it is new.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn keep(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    wa_id: WaId,
    changes: Changes,
    now: DateTime<Utc>,
) -> Result<(Contact, bool), StorageError> {
    let id = ContactId::new();
    let statement = Keep {
        id: id.as_uuid(),
        workspace: workspace.as_uuid(),
        wa_id: wa_id.into_string(),
        sets_name: changes.name.is_some(),
        name: changes.name.flatten(),
        tags: changes.tags,
        attributes: Value::Object(changes.attributes.unwrap_or_default()),
        source: Source::Api.as_str(),
        now,
    };
    let kept: Contact = statement.get_result(conn).await?;
    let is_new = kept.id() == id;
    Ok((kept, is_new))
}

/// Changes a contact of a workspace; `None` when there is no such contact, or when it was last changed
/// at none of the times in `unchanged_since`.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn change(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: ContactId,
    changes: Changes,
    unchanged_since: Option<&[DateTime<Utc>]>,
    now: DateTime<Utc>,
) -> Result<Option<Contact>, StorageError> {
    let statement = Change {
        id: id.as_uuid(),
        workspace: workspace.as_uuid(),
        sets_name: changes.name.is_some(),
        name: changes.name.flatten(),
        tags: changes.tags,
        attributes: Value::Object(changes.attributes.unwrap_or_default()),
        unchanged_since: unchanged_since.map(<[_]>::to_vec),
        now,
    };
    Ok(statement.get_result(conn).await.optional()?)
}

// Worked out of the row itself, so that of two at once none is lost. Who has the tags already keeps the version.
statement! {
    Tag(id: Uuid, workspace: Uuid, adds: Vec<String>, removes: Vec<String>, most: i32, now: DateTime<Utc>)
    -> () {
        "UPDATE contacts c SET tags = ARRAY(SELECT DISTINCT t.tag COLLATE \"C\" FROM unnest(c.tags || "
        [adds: Array<Text>] ") AS t (tag) WHERE t.tag <> ALL(" [removes: Array<Text>]
        ") ORDER BY 1), updated_at = GREATEST(" [now: Timestamptz]
        ", c.updated_at + interval '1 microsecond') WHERE c.workspace_id = "
        [workspace: sql_types::Uuid] " AND c.id = " [id: sql_types::Uuid]
        " AND (NOT c.tags @> " [adds: Array<Text>] " OR c.tags && " [removes: Array<Text>]
        ") AND cardinality(c.tags || " [adds: Array<Text>] ") <= " [most: Integer]
    }
}

/// Tags of a contact, at most; more is a mistake in a program.
pub const MOST_TAGS: usize = 50;

/// Adds tags to a contact and takes tags off it, whatever others do to it meanwhile; `None` when there is
/// no such contact. Nothing is added where there would be more than [`MOST_TAGS`].
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn tag(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: ContactId,
    adds: Vec<String>,
    removes: Vec<String>,
    now: DateTime<Utc>,
) -> Result<Option<Contact>, StorageError> {
    let most =
        if adds.is_empty() { i32::MAX } else { i32::try_from(MOST_TAGS).unwrap_or(i32::MAX) };
    let (uuid, owner) = (id.as_uuid(), workspace.as_uuid());
    Tag { id: uuid, workspace: owner, adds, removes, most, now }.execute(conn).await?;
    find(conn, workspace, id).await
}
