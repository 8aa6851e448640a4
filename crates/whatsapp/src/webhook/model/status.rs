//! How far a message of ours has come.

use std::fmt;

use chrono::{DateTime, Utc};
use kernel::{UserId, WaId, Wamid};
use serde::{Serialize, Serializer};

use super::parts::MetaError;
use super::{time, user_id, wa_id, wamid};
use crate::json::{self, Object};

/// An element of `statuses[]`. Comes at least once, in any order, and sometimes before the answer to
/// the request that sent the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The message it is about.
    pub id: Option<Wamid>,
    /// How far the message has come.
    pub progress: Progress,
    /// When, to the second, by Meta's clock.
    pub at: Option<DateTime<Utc>>,
    /// The recipient's number; absent when the person hides it, and for groups.
    pub recipient: Option<WaId>,
    /// The recipient's business-scoped user id.
    pub recipient_user_id: Option<UserId>,
    /// The group that the message went to.
    pub group_id: Option<String>,
    /// Which member of the group this is about.
    pub participant: Option<WaId>,
    /// What we sent along with the message. Other apps on the account see it and can copy it: look
    /// it up, don't believe it.
    pub callback_data: Option<String>,
    /// What it costs; on `sent` and on one later status.
    pub pricing: Option<Pricing>,
    /// Why it failed.
    pub errors: Vec<MetaError>,
}

/// What a message costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pricing {
    /// Whether it costs anything.
    pub is_billable: bool,
    /// For instance `marketing`.
    pub category: Option<String>,
    /// `regular`, `free_customer_service` or `free_entry_point`.
    pub kind: Option<String>,
}

/// How far a message has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Left Meta.
    Sent,
    /// Did not arrive. Final, unless the message turns out to have been delivered.
    Failed,
    /// On the person's device; never comes when the chat was open.
    Delivered,
    /// Seen; never comes when the person switched receipts off.
    Read,
    /// Listened to.
    Played,
    /// An old status without effect.
    Deleted,
    /// An old status without effect.
    Warning,
    /// A status that we don't know, as received; empty when there is none.
    Unknown(String),
}

impl Progress {
    /// The status as Meta writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Deleted => "deleted",
            Self::Warning => "warning",
            Self::Unknown(name) => name,
        }
    }

    /// The place in the order in which states may only grow: taking the greatest of all statuses seen
    /// gives the same state in whatever order they come. `None` never changes a state.
    ///
    /// `failed` stands above `sent` and below `delivered`: a failure is final unless the message was
    /// delivered after all, on this or on another device (131036).
    pub fn rank(&self) -> Option<u8> {
        match self {
            Self::Sent => Some(1),
            Self::Failed => Some(2),
            Self::Delivered => Some(3),
            Self::Read => Some(4),
            Self::Played => Some(5),
            Self::Deleted | Self::Warning | Self::Unknown(_) => None,
        }
    }

    /// Whether a message in the state `current` (`None`: no status yet) comes further by this one.
    pub fn advances(&self, current: Option<&Self>) -> bool {
        self.rank().is_some_and(|rank| Some(rank) > current.and_then(Self::rank))
    }
}

impl From<&str> for Progress {
    fn from(name: &str) -> Self {
        match name {
            "sent" => Self::Sent,
            "failed" => Self::Failed,
            "delivered" => Self::Delivered,
            "read" => Self::Read,
            "played" => Self::Played,
            "deleted" => Self::Deleted,
            "warning" => Self::Warning,
            other => Self::Unknown(other.to_owned()),
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Progress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Status {
    /// Reads an element of `statuses[]`.
    pub fn parse(item: &[u8]) -> Self {
        let text = json::clean(item);
        Object::read(&text).map_or_else(Self::nothing, |status| Self::read(&status))
    }

    fn read(status: &Object<'_>) -> Self {
        let participant = wa_id(status, "recipient_participant_id");
        let is_group =
            participant.is_some() || status.text("recipient_type").as_deref() == Some("group");
        // For a group `recipient_id` is the group, not a number.
        let group_id = status.id("recipient_id").filter(|_| is_group).map(Into::into);
        let recipient = if is_group { None } else { wa_id(status, "recipient_id") };
        let pricing =
            status.object("pricing").or_else(|| status.object("conversation")?.object("pricing"));
        Self {
            id: wamid(status, "id"),
            progress: Progress::from(&*status.text("status").unwrap_or_default()),
            at: time(status, "timestamp"),
            recipient,
            recipient_user_id: user_id(status, "recipient_user_id"),
            group_id,
            participant,
            callback_data: status.id("biz_opaque_callback_data").map(Into::into),
            pricing: pricing.as_ref().map(Pricing::read),
            errors: MetaError::read_all(status),
        }
    }

    fn nothing() -> Self {
        Self {
            id: None,
            progress: Progress::Unknown(String::new()),
            at: None,
            recipient: None,
            recipient_user_id: None,
            group_id: None,
            participant: None,
            callback_data: None,
            pricing: None,
            errors: Vec::new(),
        }
    }
}

impl Pricing {
    fn read(pricing: &Object<'_>) -> Self {
        Self {
            is_billable: pricing.is_true("billable"),
            category: pricing.string("category"),
            kind: pricing.string("type"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_statuses_in_any_order_give_the_same_state() {
        let statuses = ["sent", "delivered", "warning", "failed", "read"].map(Progress::from);
        let merged = |order: &[usize]| {
            let mut state: Option<Progress> = None;
            for &at in order {
                if statuses[at].advances(state.as_ref()) {
                    state = Some(statuses[at].clone());
                }
            }
            state
        };
        for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [3, 0, 4, 1, 2], [3, 4, 0, 2, 1]] {
            assert_eq!(merged(&order), Some(Progress::Read));
        }
        assert_eq!(merged(&[3, 0]), Some(Progress::Failed));
        assert_eq!(merged(&[0, 3]), Some(Progress::Failed));
        assert_eq!(merged(&[3, 1]), Some(Progress::Delivered));
        assert_eq!(merged(&[2]), None);
    }
}
