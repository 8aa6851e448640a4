//! Which contacts an export has.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_query;
use diesel::sql_types::{self, Array, BigInt, Bool, Jsonb, Nullable, Text, Timestamptz};
use kernel::ids::WorkspaceId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The member `filter` of an export; everything may be left out, and what is given must all be so.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Filter {
    /// Any of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    /// Attributes with these values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<String, Value>,
    /// Any of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opted_out: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_after: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_before: Option<DateTime<Utc>>,
}

/// Who is meant: `$1` to `$9` are bound by [`Filter::select`]. In the order of ids, so that a page begins
/// behind the last one.
const WHO: &str = "FROM contacts c WHERE c.workspace_id = $1 AND c.id > $2 \
    AND ($3 = '{}' OR c.tags && $3) AND ($4 = '{}' OR c.attributes @> $4) \
    AND ($5 = '{}' OR c.source = ANY($5)) AND ($6 IS NULL OR (c.opted_out_at IS NOT NULL) = $6) \
    AND ($7 IS NULL OR c.created_at > $7) AND ($8 IS NULL OR c.created_at < $8) ORDER BY c.id LIMIT $9";

/// A page of contacts: those behind an id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) workspace: WorkspaceId,
    pub(super) after: Uuid,
    pub(super) most: i64,
}

impl Filter {
    /// A query over a page of those who are meant: `columns` of `contacts AS c`, within `around`, where
    /// `{}` stands for the page.
    pub(super) fn select<'a>(
        &self,
        columns: &str,
        around: &str,
        span: Span,
    ) -> BoxedSqlQuery<'a, Pg, SqlQuery> {
        let attributes = self.attributes.iter().map(|(name, value)| (name.clone(), value.clone()));
        sql_query(around.replace("{}", &format!("SELECT {columns} {WHO}")))
            .into_boxed()
            .bind::<sql_types::Uuid, _>(span.workspace.as_uuid())
            .bind::<sql_types::Uuid, _>(span.after)
            .bind::<Array<Text>, _>(self.tags.clone())
            .bind::<Jsonb, _>(Value::Object(attributes.collect()))
            .bind::<Array<Text>, _>(self.source.clone())
            .bind::<Nullable<Bool>, _>(self.opted_out)
            .bind::<Nullable<Timestamptz>, _>(self.created_after)
            .bind::<Nullable<Timestamptz>, _>(self.created_before)
            .bind::<BigInt, _>(span.most)
    }
}
