//! What people said about hearing from us: the decision that holds, and the proof of each.
//!
//! Invariants: the decision that was said last holds, in whatever order the news of it arrive; a decision
//! and its proof commit together.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, BigInt, Bool, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{ConnectionId, ConsentId, ContactId, WorkspaceId};
use kernel::statement;
use uuid::Uuid;

use crate::StorageError;

/// Whether campaigns may write to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Consent {
    /// They may.
    Given,
    /// They may not.
    Withdrawn,
}

impl Consent {
    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// How we know what a person decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ConsentSource {
    /// A program or a colleague wrote it down, and may have said where it was said: none of the words below.
    Api(Option<String>),
    /// The person wrote STOP, START, or the like.
    Keyword,
    /// The person told WhatsApp, and Meta told us.
    Meta,
    /// It was in a file.
    Import,
}

impl ConsentSource {
    /// Those with a word of their own.
    pub const OURS: [Self; 3] = [Self::Keyword, Self::Meta, Self::Import];

    /// As stored and shown.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Api(place) => place.as_deref().unwrap_or("api"),
            Self::Keyword => "keyword",
            Self::Meta => "meta",
            Self::Import => "import",
        }
    }
}

/// A decision of a person, as somebody heard it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// What they decided.
    pub consent: Consent,
    /// How we know.
    pub source: ConsentSource,
    /// What they said, or where it is written down.
    pub text: Option<String>,
    /// Who wrote it down, when it was not the person.
    pub actor: Option<String>,
    /// Where it was said.
    pub connection_id: Option<ConnectionId>,
    /// When it was said; not after now.
    pub said_at: DateTime<Utc>,
}

/// A decision as written down.
#[derive(Clone, Debug, diesel::Queryable)]
pub struct Proof {
    id: Uuid,
    /// `given` or `withdrawn`.
    pub decision: String,
    /// How we know; see [`ConsentSource`].
    pub source: String,
    /// What was said, or where it is written down.
    pub text: Option<String>,
    /// Who wrote it down, when it was not the person.
    pub actor: Option<String>,
    connection_id: Option<Uuid>,
    /// When it was said.
    pub said_at: DateTime<Utc>,
    /// When it was written down.
    pub recorded_at: DateTime<Utc>,
}

impl Proof {
    /// Its identifier.
    pub fn id(&self) -> ConsentId {
        ConsentId::from_uuid(self.id)
    }

    /// Where it was said.
    pub fn connection_id(&self) -> Option<ConnectionId> {
        self.connection_id.map(ConnectionId::from_uuid)
    }
}

// START from somebody who hears from us already is no decision: the word may be a bot's. What says the same
// as the newest proof needs none of its own.
statement! {
    Declare(
        ids: Vec<Uuid>,
        contacts: Vec<Uuid>,
        decisions: Vec<&'static str>,
        sources: Vec<String>,
        texts: Vec<Option<String>>,
        actors: Vec<Option<String>>,
        connections: Vec<Option<Uuid>>,
        said: Vec<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> (sql_types::Uuid, Text, Bool) {
        "WITH said AS (SELECT * FROM unnest(" [ids: Array<sql_types::Uuid>] ", "
        [contacts: Array<sql_types::Uuid>] ", " [decisions: Array<Text>] ", " [sources: Array<Text>] ", "
        [texts: Array<Nullable<Text>>] ", " [actors: Array<Nullable<Text>>] ", "
        [connections: Array<Nullable<sql_types::Uuid>>] ", " [said: Array<Timestamptz>]
        ") AS s (id, contact_id, decision, source, text, actor, connection_id, said_at)), \
         before AS MATERIALIZED (SELECT c.id, c.workspace_id, c.opted_out_at, c.consent_said_at FROM contacts c \
            WHERE c.id IN (SELECT contact_id FROM said) ORDER BY c.id FOR UPDATE), \
         heard AS (SELECT s.*, b.workspace_id, (b.opted_out_at IS NULL) = (s.decision = 'withdrawn') AS is_news, \
            COALESCE(b.consent_said_at <= s.said_at, true) AS is_last \
            FROM said s JOIN before b ON b.id = s.contact_id WHERE b.opted_out_at IS NOT NULL \
            OR s.source <> 'keyword' OR s.decision = 'withdrawn'), \
         proofs AS (INSERT INTO contact_consents (id, workspace_id, contact_id, decision, source, text, actor, \
            connection_id, said_at, recorded_at) SELECT h.id, h.workspace_id, h.contact_id, h.decision, h.source, \
            h.text, h.actor, h.connection_id, h.said_at, " [now: Timestamptz] " FROM heard h WHERE NOT EXISTS \
            (SELECT 1 FROM (SELECT * FROM contact_consents k WHERE k.contact_id = h.contact_id \
            ORDER BY k.said_at DESC, k.id DESC LIMIT 1) k WHERE k.decision = h.decision \
            AND k.source = h.source AND k.text IS NOT DISTINCT FROM h.text)) \
         UPDATE contacts c SET consent_said_at = h.said_at, \
            opted_out_at = CASE h.decision WHEN 'withdrawn' THEN COALESCE(c.opted_out_at, h.said_at) END, \
            updated_at = CASE WHEN h.is_news THEN GREATEST(" [now: Timestamptz]
        ", c.updated_at + interval '1 microsecond') ELSE c.updated_at END \
         FROM heard h WHERE c.id = h.contact_id AND h.is_last RETURNING c.id, h.decision, h.is_news"
    }
}

/// Writes down what people decided; returns for whom something else holds now. What is so already keeps
/// the time since when.
///
/// The contacts are those of their workspaces: whoever calls has found them there.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn declare(
    tx: &mut AsyncPgConnection,
    mut declarations: Vec<(ContactId, Declaration)>,
    now: DateTime<Utc>,
) -> Result<Vec<(ContactId, Consent)>, StorageError> {
    declarations.sort_by_key(|(_, declaration)| declaration.said_at);
    let mut news = Vec::new();
    // One statement changes a row once: whoever decided twice has two rounds.
    while !declarations.is_empty() {
        let mut decided = HashSet::new();
        let (round, later) =
            declarations.into_iter().partition(|(contact, _)| decided.insert(*contact));
        declarations = later;
        news.extend(declare_once(tx, round, now).await?);
    }
    Ok(news)
}

async fn declare_once(
    tx: &mut AsyncPgConnection,
    round: Vec<(ContactId, Declaration)>,
    now: DateTime<Utc>,
) -> Result<Vec<(ContactId, Consent)>, StorageError> {
    let said = || round.iter().map(|(_, declaration)| declaration);
    let statement = Declare {
        ids: round.iter().map(|_| ConsentId::new().as_uuid()).collect(),
        contacts: round.iter().map(|(contact, _)| contact.as_uuid()).collect(),
        decisions: said().map(|d| d.consent.as_str()).collect(),
        sources: said().map(|d| d.source.as_str().to_owned()).collect(),
        texts: said().map(|d| d.text.clone()).collect(),
        actors: said().map(|d| d.actor.clone()).collect(),
        connections: said().map(|d| d.connection_id.map(|id| id.as_uuid())).collect(),
        said: said().map(|d| d.said_at).collect(),
        now,
    };
    let rows: Vec<(Uuid, String, bool)> = statement.load(tx).await?;
    let news = rows.into_iter().filter(|(.., is_news)| *is_news).map(|(contact, decision, _)| {
        let is_given = decision == Consent::Given.as_str();
        let consent = if is_given { Consent::Given } else { Consent::Withdrawn };
        (ContactId::from_uuid(contact), consent)
    });
    Ok(news.collect())
}

statement! {
    Proofs(workspace: Uuid, contact: Uuid, before: Option<Uuid>, limit: i64)
    -> (sql_types::Uuid, Text, Text, Nullable<Text>, Nullable<Text>, Nullable<sql_types::Uuid>, Timestamptz,
        Timestamptz) {
        "SELECT id, decision, source, text, actor, connection_id, said_at, recorded_at FROM contact_consents \
         WHERE workspace_id = " [workspace: sql_types::Uuid] " AND contact_id = " [contact: sql_types::Uuid]
        " AND (" [before: Nullable<sql_types::Uuid>] " IS NULL OR id < " [before: Nullable<sql_types::Uuid>]
        ") ORDER BY id DESC LIMIT " [limit: BigInt]
    }
}

/// What a contact decided over time, as it was written down: newest first.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn proofs(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    contact: ContactId,
    before: Option<ConsentId>,
    limit: i64,
) -> Result<Vec<Proof>, StorageError> {
    let statement = Proofs {
        workspace: workspace.as_uuid(),
        contact: contact.as_uuid(),
        before: before.map(|id| id.as_uuid()),
        limit,
    };
    Ok(statement.load(conn).await?)
}
