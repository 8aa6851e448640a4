//! People: one row per workspace and address, whoever comes first (D6).
//!
//! A webhook names a person by number, by business-scoped user id, or by both. One that shows both
//! links them: the row known by one address gains the other, and two rows become one.
//!
//! Invariant: whoever writes several contacts in one transaction first makes those that are new, in the order
//! of workspace and number, then takes those that are there, all at once in the order of their ids. So webhooks,
//! imports, campaigns and programs that meet in the same people wait for each other, but never in a circle.

mod consent;
mod erase;
mod keep;
mod merge;
mod reach;
mod resolve;
mod search;
mod unite;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::{ContactId, WorkspaceId};
use kernel::{UserId, WaId};
use serde_json::Value;
use uuid::Uuid;

pub use self::consent::{Consent, ConsentSource, Declaration, Proof, declare, proofs};
pub use self::erase::{Erased, Erasure, erase};
pub use self::keep::{Changes, MOST_TAGS, change, keep, tag};
pub use self::reach::{by_number, hold};
pub use self::resolve::{hear, resolve};
pub use self::search::{Filter, Place, count, estimate, search};
pub use self::unite::{Moving, are_united, by_ids, lock, moving, unite};
use crate::StorageError;
use crate::schema::contacts;

/// Where a contact came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The person wrote.
    Webhook,
    /// A program created it.
    Api,
    /// It was in a file.
    Import,
    /// A message was to reach its number.
    TemplateSend,
    /// A campaign was to reach its number.
    Campaign,
}

impl Source {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::Webhook, Self::Api, Self::Import, Self::TemplateSend, Self::Campaign];

    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Api => "api",
            Self::Import => "import",
            Self::TemplateSend => "template_send",
            Self::Campaign => "campaign",
        }
    }
}

/// A person as named by a webhook; at least one address is set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sighting {
    /// The workspace that owns the connection.
    pub workspace_id: WorkspaceId,
    /// The phone number, if shown.
    pub wa_id: Option<WaId>,
    /// The business-scoped user id, if shown.
    pub user_id: Option<UserId>,
    /// The profile name, if shown.
    pub name: Option<String>,
}

/// A contact as stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = contacts)]
pub struct Contact {
    id: Uuid,
    workspace_id: Uuid,
    wa_id: Option<String>,
    user_id: Option<String>,
    /// The name the person gave themselves, or that somebody typed.
    pub name: Option<String>,
    /// Where it came from.
    pub source: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// What it is grouped by, in order and each once.
    pub tags: Vec<String>,
    /// What is known of the person beside the name: an object of texts, numbers and truth values.
    pub attributes: Value,
    /// Since when no campaign may write to the person.
    pub opted_out_at: Option<DateTime<Utc>>,
}

impl Contact {
    /// Its identifier.
    pub fn id(&self) -> ContactId {
        ContactId::from_uuid(self.id)
    }

    /// Its tenant.
    pub fn workspace_id(&self) -> WorkspaceId {
        WorkspaceId::from_uuid(self.workspace_id)
    }

    /// Its phone number, if known.
    pub fn wa_id(&self) -> Option<WaId> {
        self.wa_id.clone().map(WaId::new)
    }

    /// Its business-scoped user id, if known.
    pub fn user_id(&self) -> Option<UserId> {
        self.user_id.clone().map(UserId::new)
    }
}

/// A sighting's contact.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Who it is.
    pub id: ContactId,
    /// Whether this sighting made the row.
    pub is_new: bool,
    /// The number, from this or an earlier sighting.
    pub wa_id: Option<WaId>,
    /// The user id, from this or an earlier sighting.
    pub user_id: Option<UserId>,
}

/// One contact of a workspace.
///
/// # Errors
///
/// Whatever PostgreSQL reports.
pub async fn find(
    conn: &mut AsyncPgConnection,
    workspace: WorkspaceId,
    id: ContactId,
) -> Result<Option<Contact>, StorageError> {
    Ok(contacts::table
        .filter(contacts::workspace_id.eq(workspace.as_uuid()))
        .filter(contacts::id.eq(id.as_uuid()))
        .select(Contact::as_select())
        .first(conn)
        .await
        .optional()?)
}
