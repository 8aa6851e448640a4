//! The people of one file, in a temporary table of one session, until all of them are there; then they
//! become contacts.
//!
//! Invariants: whatever happens to the process or the session, nothing is left behind; the contacts
//! change in one transaction. New people are made in the order of their numbers and known ones are
//! locked in the order of their ids before any is changed, as webhooks do it: neither waits for the
//! other in a circle.

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, BigInt, Nullable, Text, Timestamptz};
use diesel::{QueryableByName, sql_query};
use diesel_async::{
    AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection, TransactionManager,
};
use kernel::ids::{ContactId, ImportId, WorkspaceId};
use kernel::statement;
use storage::contacts::Source;
use storage::{Database, StorageError};
use uuid::Uuid;

use super::options::{OnConflict, Options};
use super::person::{Person, Tag};
use super::read::Reject;

/// Reading waits for no lock; writing may wait as long as a large transaction of somebody else takes. The
/// server gives up what nobody waits for any more, where it can tell.
const SETTINGS: &str = "SET statement_timeout = '1h'; SET lock_timeout = '2min'; SET work_mem = '64MB'; \
    SELECT set_config(name, '2s', false) FROM pg_settings WHERE name = 'client_connection_check_interval';";

const TABLES: &str = "CREATE TEMP TABLE import_people (id uuid NOT NULL, line bigint NOT NULL, \
        wa_id text NOT NULL, name text, tags text, attributes text); \
    CREATE TEMP TABLE import_rejects (line bigint NOT NULL, code text NOT NULL, detail text NOT NULL, \
        record text NOT NULL);";

statement! {
    AddPeople(
        ids: Vec<Uuid>,
        lines: Vec<i64>,
        wa_ids: Vec<String>,
        names: Vec<Option<String>>,
        tags: Vec<Option<String>>,
        attributes: Vec<Option<String>>,
    ) -> () {
        "INSERT INTO import_people SELECT * FROM unnest(" [ids: Array<sql_types::Uuid>] ", "
        [lines: Array<BigInt>] ", " [wa_ids: Array<Text>] ", " [names: Array<Nullable<Text>>] ", "
        [tags: Array<Nullable<Text>>] ", " [attributes: Array<Nullable<Text>>] ")"
    }
}

statement! {
    AddRejects(lines: Vec<i64>, codes: Vec<&'static str>, details: Vec<String>, records: Vec<String>) -> () {
        "INSERT INTO import_rejects SELECT * FROM unnest(" [lines: Array<BigInt>] ", "
        [codes: Array<Text>] ", " [details: Array<Text>] ", " [records: Array<Text>] ")"
    }
}

/// Of a number that is given several times, the later lines know better; tags add up.
const FOLD: &str = "WITH given AS (DELETE FROM import_people p USING import_doubles d \
        WHERE p.wa_id = d.wa_id RETURNING p.*), \
    tagged AS (SELECT g.wa_id, string_agg(DISTINCT t.tag, ',') AS tags FROM given g \
        CROSS JOIN LATERAL unnest(string_to_array(g.tags, ',')) AS t (tag) GROUP BY g.wa_id), \
    known AS (SELECT g.wa_id, jsonb_object_agg(a.key, a.value ORDER BY g.line)::text AS attributes FROM given g \
        CROSS JOIN LATERAL jsonb_each(g.attributes::jsonb) AS a GROUP BY g.wa_id) \
    INSERT INTO import_people SELECT (array_agg(g.id ORDER BY g.line))[1], min(g.line), g.wa_id, \
        (array_agg(g.name ORDER BY g.line DESC) FILTER (WHERE g.name IS NOT NULL))[1], \
        min(t.tags), min(k.attributes) FROM given g LEFT JOIN tagged t ON t.wa_id = g.wa_id \
        LEFT JOIN known k ON k.wa_id = g.wa_id GROUP BY g.wa_id";

statement! {
    Create(workspace: Uuid, tags: Vec<String>, source: &'static str, now: DateTime<Utc>) -> () {
        "INSERT INTO contacts (id, workspace_id, wa_id, name, source, created_at, updated_at, tags, attributes) \
         SELECT p.id, " [workspace: sql_types::Uuid] ", p.wa_id, p.name, " [source: Text] ", "
        [now: Timestamptz] ", " [now: Timestamptz] ", CASE WHEN p.tags IS NULL THEN " [tags: Array<Text>]
        " ELSE ARRAY(SELECT DISTINCT t.tag COLLATE \"C\" FROM unnest(" [tags: Array<Text>]
        " || string_to_array(p.tags, ',')) AS t (tag) ORDER BY 1) END, COALESCE(p.attributes::jsonb, '{}') \
         FROM import_people p WHERE NOT EXISTS (SELECT 1 FROM contacts c WHERE c.workspace_id = "
        [workspace: sql_types::Uuid]
        " AND c.wa_id = p.wa_id) ORDER BY p.wa_id COLLATE \"C\" ON CONFLICT (workspace_id, wa_id) DO NOTHING"
    }
}

statement! {
    CountNew(workspace: Uuid) -> BigInt {
        "SELECT count(*) FROM import_people p WHERE NOT EXISTS (SELECT 1 FROM contacts c \
         WHERE c.workspace_id = " [workspace: sql_types::Uuid] " AND c.wa_id = p.wa_id)"
    }
}

// Whoever was made a moment ago has the id that the file gave them.
statement! {
    LockKnown(workspace: Uuid) -> BigInt {
        "SELECT count(*) FROM (SELECT c.id FROM import_people p JOIN contacts c ON c.workspace_id = "
        [workspace: sql_types::Uuid]
        " AND c.wa_id = p.wa_id WHERE c.id <> p.id ORDER BY c.id FOR UPDATE OF c) AS known"
    }
}

statement! {
    KeepRejects(import: Uuid) -> () {
        "INSERT INTO contact_import_rejects SELECT DISTINCT ON (line) " [import: sql_types::Uuid]
        ", line, code, detail, record FROM import_rejects ORDER BY line"
    }
}

type Transactions = <AsyncPgConnection as AsyncConnection>::TransactionManager;

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// What became of the people of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Merged {
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) unchanged: i64,
}

/// A session that holds the people of one file.
pub(super) struct Staging {
    session: AsyncPgConnection,
    /// Different people, once they are folded.
    people: i64,
}

impl Staging {
    /// Opens the session.
    pub(super) async fn open(db: &Database) -> Result<Self, StorageError> {
        let mut session = db.session().await?;
        session.batch_execute(SETTINGS).await?;
        session.batch_execute(TABLES).await?;
        Ok(Self { session, people: 0 })
    }

    /// The session, for the transaction that ends the import.
    pub(super) fn session(&mut self) -> &mut AsyncPgConnection {
        &mut self.session
    }

    /// Begins the transaction that ends the import; dropping the session takes it back.
    pub(super) async fn begin(&mut self) -> Result<(), StorageError> {
        Ok(Transactions::begin_transaction(&mut self.session).await?)
    }

    /// Ends it.
    pub(super) async fn commit(&mut self) -> Result<(), StorageError> {
        Ok(Transactions::commit_transaction(&mut self.session).await?)
    }

    /// Adds people and rejects of the file.
    pub(super) async fn add(
        &mut self,
        people: Vec<Person>,
        rejects: Vec<Reject>,
    ) -> Result<(), StorageError> {
        if !people.is_empty() {
            staged(people).execute(&mut self.session).await?;
        }
        if !rejects.is_empty() {
            let add = AddRejects {
                lines: rejects.iter().map(|reject| number(reject.line)).collect(),
                codes: rejects.iter().map(|reject| reject.code).collect(),
                records: rejects.iter().map(|reject| reject.record.clone()).collect(),
                details: rejects.into_iter().map(|reject| reject.detail).collect(),
            };
            add.execute(&mut self.session).await?;
        }
        Ok(())
    }

    /// Makes one of people who are given several times; answers with how many different ones there are.
    pub(super) async fn fold(&mut self) -> Result<i64, StorageError> {
        let doubles = "CREATE TEMP TABLE import_doubles AS SELECT wa_id FROM import_people \
                       GROUP BY wa_id HAVING count(*) > 1";
        if sql_query(doubles).execute(&mut self.session).await? > 0 {
            sql_query(FOLD).execute(&mut self.session).await?;
        }
        self.session.batch_execute("ANALYZE import_people").await?;
        let count = sql_query("SELECT count(*) AS count FROM import_people");
        self.people = count.get_result::<Count>(&mut self.session).await?.count;
        Ok(self.people)
    }

    /// Makes contacts of the people. In the transaction that ends the import.
    pub(super) async fn merge(
        &mut self,
        workspace: WorkspaceId,
        options: &Options,
        now: DateTime<Utc>,
    ) -> Result<Merged, StorageError> {
        let session = &mut self.session;
        let (workspace, tags) = (workspace.as_uuid(), texts(&options.tags.0));
        let source = Source::Import.as_str();
        let create = Create { workspace, tags: tags.clone(), source, now };
        let created = count(create.execute(session).await?);
        let updated = match options.on_conflict {
            _ if created == self.people => 0,
            OnConflict::Skip => 0,
            OnConflict::Update | OnConflict::FillEmpty => {
                LockKnown { workspace }.get_result::<i64>(session).await?;
                let update = format!(
                    "UPDATE contacts c SET name = n.name, tags = n.tags, attributes = n.attributes, \
                     updated_at = GREATEST($3, c.updated_at + interval '1 microsecond') \
                     FROM ({}) AS n WHERE c.id = n.id",
                    changes(options.on_conflict)
                );
                let update = sql_query(update)
                    .bind::<sql_types::Uuid, _>(workspace)
                    .bind::<Array<Text>, _>(tags)
                    .bind::<Timestamptz, _>(now);
                count(update.execute(session).await?)
            }
        };
        Ok(Merged { created, updated, unchanged: self.people - created - updated })
    }

    /// What [`Self::merge`] would do now.
    pub(super) async fn would_merge(
        &mut self,
        workspace: WorkspaceId,
        options: &Options,
    ) -> Result<Merged, StorageError> {
        let session = &mut self.session;
        let workspace = workspace.as_uuid();
        let created = CountNew { workspace }.get_result::<i64>(session).await?;
        let updated = match options.on_conflict {
            OnConflict::Skip => 0,
            OnConflict::Update | OnConflict::FillEmpty => {
                let changes = changes(options.on_conflict);
                sql_query(format!("SELECT count(*) AS count FROM ({changes}) AS n"))
                    .bind::<sql_types::Uuid, _>(workspace)
                    .bind::<Array<Text>, _>(texts(&options.tags.0))
                    .get_result::<Count>(session)
                    .await?
                    .count
            }
        };
        Ok(Merged { created, updated, unchanged: self.people - created - updated })
    }

    /// Keeps what was left out. In the transaction that ends the import.
    pub(super) async fn keep_rejects(&mut self, import: ImportId) -> Result<(), StorageError> {
        KeepRejects { import: import.as_uuid() }.execute(&mut self.session).await?;
        Ok(())
    }
}

/// Known people whom the file changes, with what they become: `$1` is the workspace, `$2` the tags of the
/// import.
fn changes(on_conflict: OnConflict) -> String {
    let (name, attributes) = match on_conflict {
        OnConflict::Update => ("COALESCE(p.name, k.name)", "k.attributes || g.attributes"),
        OnConflict::FillEmpty | OnConflict::Skip => {
            ("COALESCE(k.name, p.name)", "g.attributes || k.attributes")
        }
    };
    format!(
        "SELECT k.id, v.name, v.tags, v.attributes FROM import_people p JOIN contacts k \
         ON k.workspace_id = $1 AND k.wa_id = p.wa_id AND k.id <> p.id \
         CROSS JOIN LATERAL (SELECT COALESCE(p.attributes::jsonb, '{{}}') AS attributes) AS g \
         CROSS JOIN LATERAL (SELECT {name} AS name, {attributes} AS attributes, \
             ARRAY(SELECT DISTINCT t.tag COLLATE \"C\" FROM unnest(k.tags || $2 || string_to_array(p.tags, ',')) \
             AS t (tag) ORDER BY 1) AS tags) AS v \
         WHERE (v.name, v.tags, v.attributes) IS DISTINCT FROM (k.name, k.tags, k.attributes)"
    )
}

fn staged(people: Vec<Person>) -> AddPeople {
    let most = people.len();
    let mut add = AddPeople {
        ids: Vec::with_capacity(most),
        lines: Vec::with_capacity(most),
        wa_ids: Vec::with_capacity(most),
        names: Vec::with_capacity(most),
        tags: Vec::with_capacity(most),
        attributes: Vec::with_capacity(most),
    };
    for Person { line, wa_id, name, tags, attributes } in people {
        add.ids.push(ContactId::new().as_uuid());
        add.lines.push(number(line));
        add.wa_ids.push(wa_id.into_string());
        add.names.push(name);
        add.tags.push((!tags.is_empty()).then(|| texts(&tags).join(",")));
        let text = (!attributes.is_empty()).then(|| serde_json::to_string(&attributes).ok());
        add.attributes.push(text.flatten());
    }
    add
}

fn texts(tags: &[Tag]) -> Vec<String> {
    tags.iter().map(|tag| tag.as_str().to_owned()).collect()
}

fn number(line: u64) -> i64 {
    i64::try_from(line).unwrap_or(i64::MAX)
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
