//! Finds contacts by what is known of them, newest first: each condition has an index, and so has the order.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Bool, Json, Jsonb, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::WaId;
use kernel::ids::{ContactId, WorkspaceId};
use serde_json::{Value, json};

use super::{Contact, Source};
use crate::StorageError;
use crate::schema::contacts;

/// Which contacts: those that meet every condition that is set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// The one with this number.
    pub wa_id: Option<WaId>,
    /// Those whose number begins with these digits.
    pub number_prefix: Option<String>,
    /// Those whose name has words that begin like each of these.
    pub words: Vec<String>,
    /// Those with any of these tags, unless there are none.
    pub tags: Vec<String>,
    /// Those with each of these attributes: a name, and a value as it is written.
    pub attributes: Vec<(String, String)>,
    /// Those that came from any of these, unless there are none.
    pub sources: Vec<Source>,
    /// Those that do, or do not, want to hear from us.
    pub is_opted_out: Option<bool>,
    /// Those made then or later.
    pub created_after: Option<DateTime<Utc>>,
    /// Those made before.
    pub created_before: Option<DateTime<Utc>>,
}

/// Where a contact stands in a list.
pub type Place = (DateTime<Utc>, ContactId);

impl Contact {
    /// Where it stands in a list.
    pub fn place(&self) -> Place {
        (self.created_at, self.id())
    }
}

/// What a name is to the index of names: the same expression, character by character.
const NAME_WORDS: &str =
    "to_tsvector('simple', translate(contacts.name, '.,-_@/:+&~''’', '            '))";

/// One page of the contacts that meet `filter`, newest first, behind `after`.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn search(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    filter: &Filter,
    after: Option<Place>,
    limit: i64,
) -> Result<Vec<Contact>, StorageError> {
    let mut query = chosen(workspace, filter);
    if let Some((created_at, id)) = after {
        let is_behind = sql::<Bool>("(contacts.created_at, contacts.id) < (")
            .bind::<Timestamptz, _>(created_at)
            .sql(", ")
            .bind::<diesel::sql_types::Uuid, _>(id.as_uuid())
            .sql(")");
        query = query.filter(is_behind);
    }
    let page = query.order((contacts::created_at.desc(), contacts::id.desc())).limit(limit);
    Ok(page.select(Contact::as_select()).load(conn).await?)
}

/// How many contacts meet `filter`: reads all of them.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn count(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    filter: &Filter,
) -> Result<i64, StorageError> {
    Ok(chosen(workspace, filter).count().get_result(conn).await?)
}

/// About how many contacts meet `filter`, by what PostgreSQL knows of the table: reads none of them.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn estimate(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    filter: &Filter,
) -> Result<i64, StorageError> {
    let plan: Value =
        Explain(chosen(workspace, filter).select(contacts::id)).get_result(conn).await?;
    Ok(plan.pointer("/0/Plan/Plan Rows").and_then(Value::as_i64).unwrap_or_default())
}

fn chosen(workspace: WorkspaceId, filter: &Filter) -> contacts::BoxedQuery<'_, Pg> {
    let mut query =
        contacts::table.filter(contacts::workspace_id.eq(workspace.as_uuid())).into_boxed();
    if let Some(wa_id) = &filter.wa_id {
        query = query.filter(contacts::wa_id.eq(wa_id.as_str()));
    }
    if let Some(prefix) = &filter.number_prefix {
        // A number has 15 digits at most, and digits sort alike in every language.
        let last = format!("{prefix:9<30}");
        query = query.filter(contacts::wa_id.between(prefix.as_str(), last));
    }
    if !filter.words.is_empty() {
        let matches = sql::<Bool>(NAME_WORDS).sql(" @@ to_tsquery('simple', ");
        query = query.filter(matches.bind::<Text, _>(words(&filter.words)).sql(")"));
    }
    if !filter.tags.is_empty() {
        // The index holds only contacts that have a tag, and says so to the planner.
        let has_tags = sql::<Bool>("contacts.tags <> '{}'");
        query = query.filter(contacts::tags.overlaps_with(&filter.tags).and(has_tags));
    }
    for (name, value) in &filter.attributes {
        let (as_text, as_written) = meant(name, value);
        let has_it = sql::<Bool>("contacts.attributes <> '{}' AND (contacts.attributes @> ")
            .bind::<Jsonb, _>(as_text)
            .sql(" OR contacts.attributes @> ")
            .bind::<Jsonb, _>(as_written)
            .sql(")");
        query = query.filter(has_it);
    }
    query = match filter.sources.as_slice() {
        [] => query,
        // Of one source the index has them in order.
        [only] => query.filter(contacts::source.eq(only.as_str())),
        several => query.filter(contacts::source.eq_any(several.iter().map(|s| s.as_str()))),
    };
    match filter.is_opted_out {
        Some(true) => query = query.filter(contacts::opted_out_at.is_not_null()),
        Some(false) => query = query.filter(contacts::opted_out_at.is_null()),
        None => (),
    }
    if let Some(after) = filter.created_after {
        query = query.filter(contacts::created_at.ge(after));
    }
    if let Some(before) = filter.created_before {
        query = query.filter(contacts::created_at.lt(before));
    }
    query
}

/// Each word as the beginning of one in the name.
fn words(words: &[String]) -> String {
    let begins = words.iter().map(|word| {
        let ways: Vec<String> = ways_to_write(word).iter().map(|word| quoted(word)).collect();
        format!("({})", ways.join(" | "))
    });
    begins.collect::<Vec<_>>().join(" & ")
}

fn quoted(word: &str) -> String {
    let word = word.replace('\\', "\\\\").replace('\'', "''");
    format!("'{word}':*")
}

/// A database with the locale C knows the case of ASCII letters only: what else there may be is asked for.
fn ways_to_write(word: &str) -> Vec<String> {
    let lower = word.to_lowercase();
    if word.is_ascii() {
        return vec![lower];
    }
    let mut letters = lower.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let mut ways = vec![format!("{first}{}", letters.as_str()), word.to_uppercase(), lower];
    ways.dedup();
    ways
}

/// An attribute as a text, and as the number or truth value that it may be.
fn meant(name: &str, value: &str) -> (Value, Value) {
    let written = serde_json::from_str(value).ok();
    let written: Option<Value> = written.filter(|v: &Value| v.is_number() || v.is_boolean());
    (json!({ name: value }), json!({ name: written.unwrap_or_else(|| value.into()) }))
}

/// A query's plan instead of its rows.
struct Explain<Q>(Q);

impl<Q> QueryId for Explain<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Explain<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("EXPLAIN (FORMAT JSON) ");
        self.0.walk_ast(out.reborrow())
    }
}

impl<Q> Query for Explain<Q> {
    type SqlType = Json;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_cannot_leave_their_quotes() {
        let asked = ["Ann".to_owned(), "o'x\\' | !a".to_owned()];
        assert_eq!(words(&asked), r"('ann':*) & ('o''x\\'' | !a':*)");
    }

    #[test]
    fn a_word_is_looked_for_in_every_case_that_a_name_has() {
        assert_eq!(ways_to_write("änn"), ["Änn", "ÄNN", "änn"]);
        assert_eq!(ways_to_write("王"), ["王"]);
        assert_eq!(ways_to_write("ANN"), ["ann"]);
    }

    #[test]
    fn an_attribute_is_meant_as_it_may_have_been_kept() {
        assert_eq!(meant("a", "3"), (json!({ "a": "3" }), json!({ "a": 3 })));
        assert_eq!(meant("a", "true"), (json!({ "a": "true" }), json!({ "a": true })));
        for text in ["Berlin", "null", "[]", "\"x\"", ""] {
            assert_eq!(meant("a", text), (json!({ "a": text }), json!({ "a": text })));
        }
    }
}
