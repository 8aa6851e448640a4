//! Makes one contact of two that turned out to be the same person.
//!
//! Invariant: nothing that the person said is lost: whoever asked for no more campaigns in either row
//! has asked for it in the one that stays.

use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::ContactId;
use uuid::Uuid;

use crate::StorageError;
use kernel::statement;

statement! {
    LockBoth(keeps: Uuid, goes: Uuid) -> sql_types::Uuid {
        "SELECT id FROM contacts WHERE id IN (" [keeps: sql_types::Uuid] ", "
        [goes: sql_types::Uuid] ") ORDER BY id FOR UPDATE"
    }
}

// A thread the keeper does not have on that connection simply changes hands.
statement! {
    MoveThreads(keeps: Uuid, goes: Uuid) -> () {
        "UPDATE conversations v SET contact_id = " [keeps: sql_types::Uuid]
        " WHERE v.contact_id = " [goes: sql_types::Uuid]
        " AND NOT EXISTS (SELECT 1 FROM conversations k WHERE k.connection_id = v.connection_id \
         AND k.contact_id = " [keeps: sql_types::Uuid] ")"
    }
}

// Where both have one, the messages are appended to the keeper's, in their old order.
statement! {
    AppendMessages(keeps: Uuid, goes: Uuid) -> () {
        "UPDATE messages m SET conversation_id = k.id, sequence = k.last_sequence + m.sequence \
         FROM conversations g JOIN conversations k ON k.connection_id = g.connection_id \
         WHERE g.contact_id = " [goes: sql_types::Uuid]
        " AND k.contact_id = " [keeps: sql_types::Uuid]
        " AND m.conversation_id = g.id"
    }
}

// Appended inbound messages that had no bot turn yet get theirs now; those before stay done. The
// keeper's own open turns decide first, so its bot place moves only when it had none.
statement! {
    GrowThreads(keeps: Uuid, goes: Uuid, now: DateTime<Utc>) -> () {
        "UPDATE conversations k SET last_sequence = k.last_sequence + g.last_sequence, \
         bot_sequence = CASE WHEN k.bot_sequence >= k.last_sequence \
             THEN k.last_sequence + g.bot_sequence ELSE k.bot_sequence END, \
         customer_wrote_at = GREATEST(k.customer_wrote_at, g.customer_wrote_at), \
         campaign_message_id = COALESCE(k.campaign_message_id, g.campaign_message_id), \
         created_at = LEAST(k.created_at, g.created_at), updated_at = " [now: Timestamptz]
        " FROM conversations g WHERE g.connection_id = k.connection_id \
         AND g.contact_id = " [goes: sql_types::Uuid]
        " AND k.contact_id = " [keeps: sql_types::Uuid]
    }
}

statement! {
    DropThreads(goes: Uuid) -> () {
        "DELETE FROM conversations WHERE contact_id = " [goes: sql_types::Uuid]
    }
}

statement! {
    MoveMessages(keeps: Uuid, goes: Uuid) -> () {
        "UPDATE messages SET contact_id = " [keeps: sql_types::Uuid]
        " WHERE contact_id = " [goes: sql_types::Uuid]
        " AND conversation_id IN (SELECT id FROM conversations WHERE contact_id = "
        [keeps: sql_types::Uuid] ")"
    }
}

// The rows are locked. What both know, the one that stays knows better.
statement! {
    Unite(keeps: Uuid, goes: Uuid, now: DateTime<Utc>) -> () {
        "UPDATE contacts k SET name = COALESCE(k.name, g.name), attributes = g.attributes || k.attributes, \
         tags = ARRAY(SELECT DISTINCT t.tag COLLATE \"C\" FROM unnest(k.tags || g.tags) AS t (tag) ORDER BY 1), \
         opted_out_at = LEAST(k.opted_out_at, g.opted_out_at), \
         consent_said_at = GREATEST(k.consent_said_at, g.consent_said_at), updated_at = GREATEST("
        [now: Timestamptz] ", k.updated_at + interval '1 microsecond') FROM contacts g WHERE g.id = "
        [goes: sql_types::Uuid] " AND k.id = " [keeps: sql_types::Uuid]
    }
}

// Frozen recipients of campaigns keep the contact they were frozen with; from here they find the person.
statement! {
    Remember(keeps: Uuid, goes: Uuid, now: DateTime<Utc>) -> () {
        "WITH moved AS (UPDATE contact_merges SET kept = " [keeps: sql_types::Uuid] ", merged_at = "
        [now: Timestamptz] " WHERE kept = " [goes: sql_types::Uuid]
        ") INSERT INTO contact_merges (gone, kept, merged_at) VALUES (" [goes: sql_types::Uuid] ", "
        [keeps: sql_types::Uuid] ", " [now: Timestamptz] ")"
    }
}

// What they said and what is noted about them goes with the person.
statement! {
    MoveProofs(keeps: Uuid, goes: Uuid) -> () {
        "WITH notes AS (UPDATE contact_notes SET contact_id = " [keeps: sql_types::Uuid]
        " WHERE contact_id = " [goes: sql_types::Uuid]
        ") UPDATE contact_consents SET contact_id = " [keeps: sql_types::Uuid]
        " WHERE contact_id = " [goes: sql_types::Uuid]
    }
}

statement! {
    DropContact(goes: Uuid) -> () {
        "DELETE FROM contacts WHERE id = " [goes: sql_types::Uuid]
    }
}

/// Moves everything from `goes` to `keeps` and deletes `goes`.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub(super) async fn merge(
    tx: &mut AsyncPgConnection,
    keeps: ContactId,
    goes: ContactId,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let (keeps, goes) = (keeps.as_uuid(), goes.as_uuid());
    let there: Vec<Uuid> = LockBoth { keeps, goes }.load(tx).await?;
    if there.len() < 2 {
        return Ok(()); // somebody else merged them while we waited
    }
    MoveThreads { keeps, goes }.execute(tx).await?;
    AppendMessages { keeps, goes }.execute(tx).await?;
    GrowThreads { keeps, goes, now }.execute(tx).await?;
    DropThreads { goes }.execute(tx).await?;
    MoveMessages { keeps, goes }.execute(tx).await?;
    Unite { keeps, goes, now }.execute(tx).await?;
    MoveProofs { keeps, goes }.execute(tx).await?;
    Remember { keeps, goes, now }.execute(tx).await?;
    DropContact { goes }.execute(tx).await?;
    Ok(())
}
