//! The contacts of an export, page by page.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{self, Array, BigInt, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use kernel::ids::WorkspaceId;
use serde_json::Value;
use storage::{AsyncPgConnection, StorageError};
use uuid::Uuid;

use super::filter::{Filter, Span};

/// Contacts read at once.
pub(super) const PAGE: i64 = 5_000;
/// Contacts looked through at once for the names of their attributes.
const SURVEY: i64 = 50_000;

/// A contact, as a file has it.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct Person {
    #[diesel(sql_type = sql_types::Uuid)]
    pub(super) id: Uuid,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) wa_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) user_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) name: Option<String>,
    #[diesel(sql_type = Array<Text>)]
    pub(super) tags: Vec<String>,
    #[diesel(sql_type = Jsonb)]
    pub(super) attributes: Value,
    #[diesel(sql_type = Text)]
    pub(super) source: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(super) opted_out_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    pub(super) created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub(super) updated_at: DateTime<Utc>,
}

/// How many there are, and what is known of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    pub(super) total: i64,
    pub(super) attributes: BTreeSet<String>,
}

#[derive(QueryableByName)]
struct Part {
    #[diesel(sql_type = BigInt)]
    people: i64,
    #[diesel(sql_type = Nullable<sql_types::Uuid>)]
    last: Option<Uuid>,
    #[diesel(sql_type = Array<Text>)]
    names: Vec<String>,
}

/// Looks through everybody once.
pub(super) async fn survey(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    filter: &Filter,
) -> Result<Survey, StorageError> {
    const AROUND: &str = "WITH page AS MATERIALIZED ({}) SELECT (SELECT count(*) FROM page) AS people, \
        (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS last, \
        ARRAY(SELECT DISTINCT n.name FROM page CROSS JOIN LATERAL jsonb_object_keys(page.attributes) \
        AS n (name)) AS names";
    let mut survey = Survey::default();
    let mut span = Span { workspace, after: Uuid::nil(), most: SURVEY };
    loop {
        let part: Part = filter.select("c.id, c.attributes", AROUND, span).get_result(conn).await?;
        survey.total += part.people;
        survey.attributes.extend(part.names);
        match part.last {
            Some(last) if part.people == SURVEY => span.after = last,
            _ => return Ok(survey),
        }
    }
}

/// The next people, in the order of their ids.
pub(super) async fn page(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    filter: &Filter,
    after: Uuid,
) -> Result<Vec<Person>, StorageError> {
    let columns = "c.id, c.wa_id, c.user_id, c.name, c.tags, c.attributes, c.source, c.opted_out_at, \
                   c.created_at, c.updated_at";
    let span = Span { workspace, after, most: PAGE };
    Ok(filter.select(columns, "{}", span).load(conn).await?)
}
