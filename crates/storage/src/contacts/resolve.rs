//! Finds or makes the contacts of a batch of sightings: two statements when everybody is known.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::ContactId;
use kernel::{UserId, WaId};
use uuid::Uuid;

use super::consent::{self, Consent, Declaration};
use super::{Resolved, Sighting, Source, merge};
use crate::StorageError;
use kernel::statement;

/// A row as the look-up sees it: id, workspace, `wa_id`, `user_id`, name.
type Row = (Uuid, Uuid, Option<String>, Option<String>, Option<String>);

statement! {
    Known(workspaces: Vec<Uuid>, wa_ids: Vec<Option<String>>, user_ids: Vec<Option<String>>)
    -> (sql_types::Uuid, sql_types::Uuid, Nullable<Text>, Nullable<Text>, Nullable<Text>) {
        "SELECT c.id, c.workspace_id, c.wa_id, c.user_id, c.name FROM unnest("
        [workspaces: Array<sql_types::Uuid>]
        ", "
        [wa_ids: Array<Nullable<Text>>]
        ") AS s (workspace_id, wa_id) \
         JOIN contacts c ON c.workspace_id = s.workspace_id AND c.wa_id = s.wa_id \
         UNION SELECT c.id, c.workspace_id, c.wa_id, c.user_id, c.name FROM unnest("
        [workspaces: Array<sql_types::Uuid>]
        ", "
        [user_ids: Array<Nullable<Text>>]
        ") AS s (workspace_id, user_id) \
         JOIN contacts c ON c.workspace_id = s.workspace_id AND c.user_id = s.user_id"
    }
}

statement! {
    Insert(
        ids: Vec<Uuid>,
        workspaces: Vec<Uuid>,
        wa_ids: Vec<Option<String>>,
        user_ids: Vec<Option<String>>,
        names: Vec<Option<String>>,
        now: DateTime<Utc>,
        source: &'static str,
    ) -> sql_types::Uuid {
        "INSERT INTO contacts (id, workspace_id, wa_id, user_id, name, source, created_at, updated_at) \
         SELECT s.id, s.workspace_id, s.wa_id, s.user_id, s.name, "
        [source: Text] ", " [now: Timestamptz] ", " [now: Timestamptz]
        " FROM unnest("
        [ids: Array<sql_types::Uuid>] ", "
        [workspaces: Array<sql_types::Uuid>] ", "
        [wa_ids: Array<Nullable<Text>>] ", "
        [user_ids: Array<Nullable<Text>>] ", "
        [names: Array<Nullable<Text>>]
        ") AS s (id, workspace_id, wa_id, user_id, name) \
         ON CONFLICT DO NOTHING RETURNING id"
    }
}

statement! {
    Update(
        ids: Vec<Uuid>,
        wa_ids: Vec<Option<String>>,
        user_ids: Vec<Option<String>>,
        names: Vec<Option<String>>,
        now: DateTime<Utc>,
    ) -> () {
        "UPDATE contacts c SET wa_id = COALESCE(s.wa_id, c.wa_id), \
         user_id = COALESCE(s.user_id, c.user_id), name = COALESCE(s.name, c.name), updated_at = "
        [now: Timestamptz]
        " FROM unnest("
        [ids: Array<sql_types::Uuid>] ", "
        [wa_ids: Array<Nullable<Text>>] ", "
        [user_ids: Array<Nullable<Text>>] ", "
        [names: Array<Nullable<Text>>]
        ") AS s (id, wa_id, user_id, name) WHERE c.id = s.id"
    }
}

/// Finds or makes one contact per sighting, in the order given.
///
/// Race-free: of two transactions that see a new person at once, the second waits for the first and
/// then finds its row.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn resolve(
    tx: &mut AsyncPgConnection,
    sightings: &[Sighting],
    now: DateTime<Utc>,
) -> Result<Vec<Resolved>, StorageError> {
    Ok(hear(tx, sightings, Vec::new(), now).await?.0)
}

/// Finds or makes one contact per sighting, as [`resolve`] does, and writes down what they decided about
/// hearing from us: each declaration comes with the place of its sighting. Returns for whom something else
/// holds now, too.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn hear(
    tx: &mut AsyncPgConnection,
    sightings: &[Sighting],
    declarations: Vec<(usize, Declaration)>,
    now: DateTime<Utc>,
) -> Result<(Vec<Resolved>, Vec<(ContactId, Consent)>), StorageError> {
    let mut people = People::load(tx, sightings).await?;
    let unknown = people.unknown(sightings);
    let mut made = Vec::new();
    if !unknown.is_empty() {
        made = insert(tx, &unknown, now).await?;
        people = People::load(tx, sightings).await?;
    }
    let changes = people.changes(sightings);
    if !changes.is_empty() || !declarations.is_empty() {
        let declaring = declarations.iter().filter_map(|(at, _)| sightings.get(*at));
        lock(tx, changes.contacts().chain(declaring.filter_map(|s| people.find(s)))).await?;
    }
    for (winner, loser) in changes.merges {
        merge::merge(tx, winner, loser, now).await?;
    }
    if !changes.updates.is_empty() {
        update(tx, changes.updates, now).await?;
        people = People::load(tx, sightings).await?;
    }
    let resolved: Vec<Resolved> =
        sightings.iter().filter_map(|sighting| people.resolved(sighting, &made)).collect();
    let declared = declarations.into_iter().filter_map(|(at, declaration)| {
        Some((ContactId::from_uuid(people.find(sightings.get(at)?)?), declaration))
    });
    let news = consent::declare(tx, declared.collect(), now).await?;
    Ok((resolved, news))
}

statement! {
    Lock(ids: Vec<Uuid>) -> () {
        "SELECT 1 FROM contacts WHERE id = ANY(" [ids: Array<sql_types::Uuid>]
        ") ORDER BY id FOR UPDATE"
    }
}

/// Takes every row that will change at once, in the order of ids: see the order in [`super`].
async fn lock(
    tx: &mut AsyncPgConnection,
    contacts: impl Iterator<Item = Uuid>,
) -> Result<(), StorageError> {
    Lock { ids: contacts.collect() }.execute(tx).await?;
    Ok(())
}

/// The known contacts of a batch, by address.
struct People {
    rows: HashMap<Uuid, Row>,
    by_number: HashMap<(Uuid, String), Uuid>,
    by_user: HashMap<(Uuid, String), Uuid>,
}

#[derive(Default)]
struct Changes {
    /// Per contact: what a sighting adds to it.
    updates: HashMap<Uuid, Sighting>,
    /// (keeps, goes): two rows that one sighting shows to be one person.
    merges: Vec<(ContactId, ContactId)>,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.updates.is_empty() && self.merges.is_empty()
    }

    /// Whose rows are about to change.
    fn contacts(&self) -> impl Iterator<Item = Uuid> {
        let merged = self.merges.iter().flat_map(|(keeps, goes)| [keeps.as_uuid(), goes.as_uuid()]);
        self.updates.keys().copied().chain(merged)
    }
}

impl People {
    async fn load(
        tx: &mut AsyncPgConnection,
        sightings: &[Sighting],
    ) -> Result<Self, StorageError> {
        let rows: Vec<Row> = Known {
            workspaces: sightings.iter().map(|s| s.workspace_id.as_uuid()).collect(),
            wa_ids: sightings.iter().map(number).collect(),
            user_ids: sightings.iter().map(user).collect(),
        }
        .load(tx)
        .await?;
        let mut people = Self {
            rows: HashMap::with_capacity(rows.len()),
            by_number: HashMap::with_capacity(rows.len()),
            by_user: HashMap::new(),
        };
        for row in rows {
            if let Some(wa_id) = &row.2 {
                people.by_number.insert((row.1, wa_id.clone()), row.0);
            }
            if let Some(user_id) = &row.3 {
                people.by_user.insert((row.1, user_id.clone()), row.0);
            }
            people.rows.insert(row.0, row);
        }
        Ok(people)
    }

    fn by_number(&self, sighting: &Sighting) -> Option<Uuid> {
        let wa_id = number(sighting)?;
        self.by_number.get(&(sighting.workspace_id.as_uuid(), wa_id)).copied()
    }

    fn by_user(&self, sighting: &Sighting) -> Option<Uuid> {
        let user_id = user(sighting)?;
        self.by_user.get(&(sighting.workspace_id.as_uuid(), user_id)).copied()
    }

    fn find(&self, sighting: &Sighting) -> Option<Uuid> {
        self.by_number(sighting).or_else(|| self.by_user(sighting))
    }

    /// Sightings of nobody known, one per person, in key order.
    fn unknown(&self, sightings: &[Sighting]) -> Vec<Sighting> {
        let mut unknown: Vec<Sighting> =
            sightings.iter().filter(|s| self.find(s).is_none()).cloned().collect();
        // The one that shows most comes first and makes the row; the rest conflict with it.
        unknown.sort_by_key(|s| {
            (s.workspace_id, number(s), s.user_id.is_none(), user(s), s.name.is_none())
        });
        unknown.dedup_by(|a, b| {
            a.workspace_id == b.workspace_id && a.wa_id == b.wa_id && a.user_id == b.user_id
        });
        unknown
    }

    fn changes(&self, sightings: &[Sighting]) -> Changes {
        let mut changes = Changes::default();
        for sighting in sightings {
            let (by_number, by_user) = (self.by_number(sighting), self.by_user(sighting));
            if let (Some(keeps), Some(goes)) = (by_number, by_user)
                && keeps != goes
            {
                changes.merges.push((ContactId::from_uuid(keeps), ContactId::from_uuid(goes)));
            }
            let Some(row) = by_number.or(by_user).and_then(|id| self.rows.get(&id)) else {
                continue;
            };
            let tells_more = (sighting.wa_id.is_some() && row.2 != number(sighting))
                || (sighting.user_id.is_some() && row.3 != user(sighting))
                || (sighting.name.is_some() && row.4 != sighting.name);
            if tells_more {
                changes.updates.insert(row.0, sighting.clone());
            }
        }
        changes.merges.sort_unstable();
        changes.merges.dedup();
        changes
    }

    fn resolved(&self, sighting: &Sighting, made: &[Uuid]) -> Option<Resolved> {
        let id = self.find(sighting)?;
        let row = self.rows.get(&id)?;
        Some(Resolved {
            id: ContactId::from_uuid(id),
            is_new: made.contains(&id),
            wa_id: row.2.clone().map(WaId::new),
            user_id: row.3.clone().map(UserId::new),
        })
    }
}

async fn insert(
    tx: &mut AsyncPgConnection,
    people: &[Sighting],
    now: DateTime<Utc>,
) -> Result<Vec<Uuid>, StorageError> {
    let made = Insert {
        ids: people.iter().map(|_| ContactId::new().as_uuid()).collect(),
        workspaces: people.iter().map(|s| s.workspace_id.as_uuid()).collect(),
        wa_ids: people.iter().map(number).collect(),
        user_ids: people.iter().map(user).collect(),
        names: people.iter().map(|s| s.name.clone()).collect(),
        now,
        source: Source::Webhook.as_str(),
    };
    Ok(made.load(tx).await?)
}

async fn update(
    tx: &mut AsyncPgConnection,
    updates: HashMap<Uuid, Sighting>,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let mut updates: Vec<(Uuid, Sighting)> = updates.into_iter().collect();
    updates.sort_by_key(|(id, _)| *id);
    let statement = Update {
        ids: updates.iter().map(|(id, _)| *id).collect(),
        wa_ids: updates.iter().map(|(_, s)| number(s)).collect(),
        user_ids: updates.iter().map(|(_, s)| user(s)).collect(),
        names: updates.iter().map(|(_, s)| s.name.clone()).collect(),
        now,
    };
    statement.execute(tx).await?;
    Ok(())
}

fn number(sighting: &Sighting) -> Option<String> {
    sighting.wa_id.as_ref().map(|wa_id| wa_id.as_str().to_owned())
}

fn user(sighting: &Sighting) -> Option<String> {
    sighting.user_id.as_ref().map(|user_id| user_id.as_str().to_owned())
}
