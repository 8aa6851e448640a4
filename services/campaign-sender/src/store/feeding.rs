//! Finds a chunk that may be fed, and who of it may still be sent to.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Days, NaiveTime, Utc};
use diesel::sql_types::{self, Array, Bool, Integer, Jsonb, Nullable, Text, Time, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{ContactId, MessageId};
use kernel::statement;
use kernel::{UserId, WaId};
use serde_json::Value;
use storage::StorageError;
use storage::send_ledger::Recipient;
use uuid::Uuid;

use super::work::Work;
use crate::audience::Cap;

/// A chunk that this transaction holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk {
    pub(crate) chunk: i32,
    first_n: i32,
    size: i32,
}

// Hours that go over midnight are quiet after their beginning or before their end.
statement! {
    Next(campaign: Uuid, now: DateTime<Utc>, from: Option<NaiveTime>, to: Option<NaiveTime>)
    -> (Integer, Integer, Integer) {
        "SELECT k.chunk, k.first_n, k.size FROM campaign_chunks k WHERE k.campaign_id = "
        [campaign: sql_types::Uuid] " AND k.state = 'waiting' AND (k.not_before IS NULL OR k.not_before <= "
        [now: Timestamptz] ") AND (" [from: Nullable<Time>] " IS NULL OR NOT CASE WHEN "
        [from: Nullable<Time>] " <= " [to: Nullable<Time>] " THEN (" [now: Timestamptz]
        " AT TIME ZONE k.time_zone)::time >= " [from: Nullable<Time>] " AND (" [now: Timestamptz]
        " AT TIME ZONE k.time_zone)::time < " [to: Nullable<Time>] " ELSE (" [now: Timestamptz]
        " AT TIME ZONE k.time_zone)::time >= " [from: Nullable<Time>] " OR (" [now: Timestamptz]
        " AT TIME ZONE k.time_zone)::time < " [to: Nullable<Time>]
        " END) ORDER BY k.chunk LIMIT 1 FOR UPDATE SKIP LOCKED"
    }
}

/// Locks the next chunk that may be fed now; none when all are fed, not due, quiet, or in other hands.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn next(
    tx: &mut AsyncPgConnection,
    work: &Work,
    now: DateTime<Utc>,
) -> Result<Option<Chunk>, StorageError> {
    let (from, to) = work.quiet.unzip();
    let mut rows: Vec<(i32, i32, i32)> =
        Next { campaign: work.id.as_uuid(), now, from, to }.load(tx).await?;
    Ok(rows.pop().map(|(chunk, first_n, size)| Chunk { chunk, first_n, size }))
}

statement! {
    Opens(campaign: Uuid, now: DateTime<Utc>, from: Option<NaiveTime>, to: Option<NaiveTime>)
    -> (Nullable<Timestamptz>, Bool) {
        "SELECT CASE WHEN is_quiet THEN \
            (date_trunc('day', l.at) + " [to: Nullable<Time>] " + CASE WHEN l.at::time < "
        [to: Nullable<Time>] " THEN interval '0' ELSE interval '1 day' END) AT TIME ZONE l.time_zone \
            ELSE l.first END AS opens, is_quiet FROM (SELECT k.time_zone, \
            greatest(k.not_before, " [now: Timestamptz] ") AS first, \
            greatest(k.not_before, " [now: Timestamptz] ") AT TIME ZONE k.time_zone AS at \
            FROM campaign_chunks k WHERE k.campaign_id = " [campaign: sql_types::Uuid]
        " AND k.state = 'waiting' GROUP BY k.time_zone, k.not_before) l \
         CROSS JOIN LATERAL (SELECT " [from: Nullable<Time>] " IS NOT NULL AND CASE WHEN "
        [from: Nullable<Time>] " <= " [to: Nullable<Time>] " THEN l.at::time >= " [from: Nullable<Time>]
        " AND l.at::time < " [to: Nullable<Time>] " ELSE l.at::time >= " [from: Nullable<Time>]
        " OR l.at::time < " [to: Nullable<Time>] " END AS is_quiet) q ORDER BY opens LIMIT 1"
    }
}

/// When the next waiting chunk may be fed, and whether it waits for the end of quiet hours; none when
/// no chunk waits.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn opens(
    conn: &mut AsyncPgConnection,
    work: &Work,
    now: DateTime<Utc>,
) -> Result<Option<(DateTime<Utc>, bool)>, StorageError> {
    let (from, to) = work.quiet.unzip();
    let mut rows: Vec<(Option<DateTime<Utc>>, bool)> =
        Opens { campaign: work.id.as_uuid(), now, from, to }.load(conn).await?;
    Ok(rows.pop().map(|(at, is_quiet)| (at.unwrap_or(now), is_quiet)))
}

/// Somebody to send to.
#[derive(Clone, Debug)]
pub(crate) struct Addressee {
    pub(crate) n: i32,
    pub(crate) id: MessageId,
    pub(crate) contact: ContactId,
    pub(crate) recipient: Recipient,
    pub(crate) values: Vec<String>,
}

statement! {
    Addressees(campaign: Uuid, first: i32, size: i32) -> (Integer, sql_types::Uuid, sql_types::Uuid, Text, Text, Jsonb) {
        "SELECT n, id, contact_id, recipient_kind, recipient, params FROM campaign_recipients \
         WHERE campaign_id = " [campaign: sql_types::Uuid] " AND n >= " [first: Integer] " AND n < "
        [first: Integer] " + " [size: Integer] " AND skip_reason IS NULL ORDER BY n"
    }
}

/// The chunk's recipients, in the order of sending.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn addressees(
    tx: &mut AsyncPgConnection,
    work: &Work,
    chunk: Chunk,
) -> Result<Vec<Addressee>, StorageError> {
    let (first, size) = (chunk.first_n, chunk.size);
    let rows: Vec<(i32, Uuid, Uuid, String, String, Value)> =
        Addressees { campaign: work.id.as_uuid(), first, size }.load(tx).await?;
    Ok(rows
        .into_iter()
        .map(|(n, id, contact, kind, address, values)| Addressee {
            n,
            id: MessageId::from_uuid(id),
            contact: ContactId::from_uuid(contact),
            recipient: if kind == "user" {
                Recipient::User(UserId::new(address))
            } else {
                Recipient::Number(WaId::new(address))
            },
            values: serde_json::from_value(values).unwrap_or_default(),
        })
        .collect())
}

// A recipient who was frozen as somebody who is another one by now is that one.
statement! {
    Keep(workspace: Uuid, contacts: Vec<Uuid>) -> (sql_types::Uuid, sql_types::Uuid, Bool) {
        "SELECT s.id, c.id, c.opted_out_at IS NOT NULL FROM unnest(" [contacts: Array<sql_types::Uuid>]
        ") AS s (id) LEFT JOIN contact_merges m ON m.gone = s.id JOIN contacts c \
            ON c.id = coalesce(m.kept, s.id) AND c.workspace_id = " [workspace: sql_types::Uuid]
        " ORDER BY c.id FOR KEY SHARE OF c"
    }
}

statement! {
    KeepAlone(workspace: Uuid, contacts: Vec<Uuid>) -> (sql_types::Uuid, sql_types::Uuid, Bool) {
        "SELECT s.id, c.id, c.opted_out_at IS NOT NULL FROM unnest(" [contacts: Array<sql_types::Uuid>]
        ") AS s (id) LEFT JOIN contact_merges m ON m.gone = s.id JOIN contacts c \
            ON c.id = coalesce(m.kept, s.id) AND c.workspace_id = " [workspace: sql_types::Uuid]
        " ORDER BY c.id FOR NO KEY UPDATE OF c"
    }
}

/// Who a recipient is now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person {
    pub(crate) contact: ContactId,
    pub(crate) has_opted_out: bool,
}

/// Who the recipients are now, by the contacts they were frozen with; whoever was erased is missing. They
/// stay until the transaction ends; where a cap counts messages, two campaigns count one person one after
/// the other.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn keep(
    tx: &mut AsyncPgConnection,
    work: &Work,
    addressees: &[Addressee],
) -> Result<HashMap<ContactId, Person>, StorageError> {
    let mut people = HashMap::with_capacity(addressees.len());
    let mut contacts: Vec<Uuid> = addressees.iter().map(|a| a.contact.as_uuid()).collect();
    // Who became another one while we waited for the row is found as that one by a second look.
    for _look in 0..2 {
        if contacts.is_empty() {
            break;
        }
        let wanted = contacts.clone();
        let workspace = work.workspace.as_uuid();
        let rows: Vec<(Uuid, Uuid, bool)> = match work.cap {
            Some(_) => KeepAlone { workspace, contacts: wanted }.load(tx).await?,
            None => Keep { workspace, contacts: wanted }.load(tx).await?,
        };
        people.extend(rows.into_iter().map(|(frozen, contact, has_opted_out)| {
            let contact = ContactId::from_uuid(contact);
            (ContactId::from_uuid(frozen), Person { contact, has_opted_out })
        }));
        contacts.retain(|id| !people.contains_key(&ContactId::from_uuid(*id)));
    }
    Ok(people)
}

statement! {
    HadOne(campaign: Uuid, contacts: Vec<Uuid>) -> sql_types::Uuid {
        "WITH names AS (SELECT m.kept, m.gone AS name FROM contact_merges m WHERE m.kept = ANY("
        [contacts: Array<sql_types::Uuid>] ") UNION SELECT m.kept, m.kept FROM contact_merges m \
            WHERE m.kept = ANY(" [contacts: Array<sql_types::Uuid>] ")) \
         SELECT DISTINCT n.kept FROM names n JOIN campaign_recipients r ON r.campaign_id = "
        [campaign: sql_types::Uuid] " AND r.contact_id = n.name JOIN outbound_messages o ON o.id = r.id"
    }
}

/// Who of the kept people has a message of this campaign already, because they were frozen as two.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn had_one(
    tx: &mut AsyncPgConnection,
    work: &Work,
    people: &HashMap<ContactId, Person>,
) -> Result<HashSet<ContactId>, StorageError> {
    let contacts = people.values().map(|person| person.contact.as_uuid()).collect();
    let ids: Vec<Uuid> = HadOne { campaign: work.id.as_uuid(), contacts }.load(tx).await?;
    Ok(ids.into_iter().map(ContactId::from_uuid).collect())
}

statement! {
    OverCap(
        workspace: Uuid, ids: Vec<Uuid>, recipients: Vec<String>, contacts: Vec<Uuid>, since: DateTime<Utc>,
        cap: i32,
    ) -> sql_types::Uuid {
        "SELECT s.id FROM unnest(" [ids: Array<sql_types::Uuid>] ", " [recipients: Array<Text>] ", "
        [contacts: Array<sql_types::Uuid>] ") AS s (id, recipient, contact) JOIN contacts c ON c.id = s.contact \
         WHERE (SELECT count(*) FROM outbound_messages o WHERE o.workspace_id = " [workspace: sql_types::Uuid]
        " AND o.recipient = ANY(ARRAY[s.recipient, c.wa_id, c.user_id]) AND o.created_at > "
        [since: Timestamptz] " AND o.campaign_id IS NOT NULL AND o.state <> 'cancelled') >= " [cap: Integer]
    }
}

/// Who has had as many campaign messages as `cap` allows, whichever of their addresses they went to.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn over_cap(
    tx: &mut AsyncPgConnection,
    work: &Work,
    cap: Cap,
    (addressees, people): (&[Addressee], &HashMap<ContactId, Person>),
    now: DateTime<Utc>,
) -> Result<HashSet<MessageId>, StorageError> {
    let known: Vec<(&Addressee, &Person)> =
        addressees.iter().filter_map(|a| Some((a, people.get(&a.contact)?))).collect();
    let days = Days::new(u64::try_from(cap.days).unwrap_or(1));
    let over = OverCap {
        workspace: work.workspace.as_uuid(),
        ids: known.iter().map(|(a, _)| a.id.as_uuid()).collect(),
        recipients: known.iter().map(|(a, _)| a.recipient.as_str().to_owned()).collect(),
        contacts: known.iter().map(|(_, person)| person.contact.as_uuid()).collect(),
        since: now.checked_sub_days(days).unwrap_or(now),
        cap: cap.messages,
    };
    let ids: Vec<Uuid> = over.load(tx).await?;
    Ok(ids.into_iter().map(MessageId::from_uuid).collect())
}

statement! {
    Skip(campaign: Uuid, ns: Vec<i32>, reasons: Vec<&'static str>) -> () {
        "UPDATE campaign_recipients r SET skip_reason = s.reason FROM unnest(" [ns: Array<Integer>] ", "
        [reasons: Array<Text>] ") AS s (n, reason) WHERE r.campaign_id = " [campaign: sql_types::Uuid]
        " AND r.n = s.n"
    }
}

/// Notes down who is skipped, and why.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn skip(
    tx: &mut AsyncPgConnection,
    work: &Work,
    skipped: &[(i32, &'static str)],
) -> Result<(), StorageError> {
    if !skipped.is_empty() {
        let (ns, reasons) = skipped.iter().copied().unzip();
        Skip { campaign: work.id.as_uuid(), ns, reasons }.execute(tx).await?;
    }
    Ok(())
}

statement! {
    Fed(campaign: Uuid, chunk: i32) -> () {
        "UPDATE campaign_chunks SET state = 'fed' WHERE campaign_id = " [campaign: sql_types::Uuid]
        " AND chunk = " [chunk: Integer]
    }
}

/// Marks the chunk as handed to the ledger.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(crate) async fn fed(
    tx: &mut AsyncPgConnection,
    work: &Work,
    chunk: Chunk,
) -> Result<(), StorageError> {
    Fed { campaign: work.id.as_uuid(), chunk: chunk.chunk }.execute(tx).await?;
    Ok(())
}
