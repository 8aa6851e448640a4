//! What a role may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a key is for; each role stands for a set of scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks, changes nothing.
    Viewer,
    /// Talks to people.
    Agent,
    /// Runs campaigns and bots.
    Marketer,
    /// Keeps the installation running.
    Operator,
    /// Everything.
    Admin,
}

/// The text is no role.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not a role; roles are viewer, agent, marketer, operator and admin")]
pub struct UnknownRole;

impl Role {
    /// Every role, from the least to the most.
    pub const ALL: [Self; 5] =
        [Self::Viewer, Self::Agent, Self::Marketer, Self::Operator, Self::Admin];

    /// The role as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Agent => "agent",
            Self::Marketer => "marketer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownRole)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident $text:literal [$($role:ident)*];)*) => {
        /// One permission.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Scope {
            $($(#[$doc])* $name,)*
        }

        impl Scope {
            /// Every scope.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The scope as shown.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// Whether keys of `role` have it. An admin has every one.
            pub const fn is_granted_to(self, role: Role) -> bool {
                match self {
                    $(Self::$name => matches!(role, Role::Admin $(| Role::$role)*),)*
                }
            }
        }
    };
}

scopes! {
    /// See connections.
    ConnectionsRead "connections:read" [Viewer Agent Marketer Operator];
    /// Add and change connections.
    ConnectionsWrite "connections:write" [];
    /// See contacts.
    ContactsRead "contacts:read" [Viewer Agent Marketer Operator];
    /// Change contacts.
    ContactsWrite "contacts:write" [Agent Marketer];
    /// Import contacts.
    ContactsImport "contacts:import" [Marketer];
    /// Export contacts.
    ContactsExport "contacts:export" [Marketer];
    /// See conversations and what was said in them.
    ConversationsRead "conversations:read" [Viewer Agent Marketer Operator];
    /// Assign and close conversations.
    ConversationsWrite "conversations:write" [Agent];
    /// See messages.
    MessagesRead "messages:read" [Viewer Agent Marketer Operator];
    /// Send messages.
    MessagesSend "messages:send" [Agent];
    /// See templates.
    TemplatesRead "templates:read" [Viewer Agent Marketer Operator];
    /// Make, change and delete templates at Meta.
    TemplatesWrite "templates:write" [Marketer];
    /// Fetch templates from Meta.
    TemplatesSync "templates:sync" [Marketer Operator];
    /// See campaigns.
    CampaignsRead "campaigns:read" [Viewer Agent Marketer Operator];
    /// Prepare campaigns.
    CampaignsWrite "campaigns:write" [Marketer];
    /// Start campaigns: preparing is not firing.
    CampaignsSend "campaigns:send" [Marketer];
    /// Pause, resume and cancel campaigns: stopping one must not wait for who started it.
    CampaignsControl "campaigns:control" [Marketer Operator];
    /// See bots.
    BotsRead "bots:read" [Viewer Agent Marketer Operator];
    /// Change bots and their rules.
    BotsWrite "bots:write" [Marketer];
    /// See reminders.
    RemindersRead "reminders:read" [Viewer Agent Marketer Operator];
    /// Change reminders.
    RemindersWrite "reminders:write" [Agent Marketer];
    /// See webhook endpoints and their deliveries.
    WebhooksRead "webhooks:read" [Viewer Operator];
    /// Change webhook endpoints.
    WebhooksWrite "webhooks:write" [Operator];
    /// See what happened.
    EventsRead "events:read" [Viewer Agent Marketer Operator];
    /// See how the installation is doing.
    OpsRead "ops:read" [Viewer Operator];
    /// Intervene in the installation.
    OpsWrite "ops:write" [Operator];
    /// Make and revoke API keys.
    KeysWrite "keys:write" [];
    /// See who changed what.
    AuditRead "audit:read" [Operator];
    /// Change limits.
    LimitsWrite "limits:write" [];
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
