//! The rate-limit registry, R1 to R7: names and policies; the lines themselves are in `specs`.

mod specs;

use std::borrow::Cow;
use std::time::Duration;

use kernel::WaId;
use kernel::ids::{ConnectionId, ContactId, ConversationId};

use super::key::free_text;

/// One limited thing: which policy, and whose.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LimitName {
    /// Requests of one connection to Meta (R1).
    WhatsAppApi(ConnectionId),
    /// Template pages and sync requests of one connection (R2).
    TemplateSync(ConnectionId),
    /// Bot replies in one conversation (R3).
    Bot(ConversationId),
    /// Webhook events of one connection on the fast lane (R4).
    Webhook(ConnectionId),
    /// Messages of one connection to one person (R5).
    Pair(ConnectionId, WaId),
    /// Automatic actions upon one contact's replies (R6).
    Response(ContactId),
    /// Reminders of the whole installation (R7).
    Reminder,
}

impl LimitName {
    /// Which policy this is a case of.
    pub const fn policy(&self) -> Policy {
        match self {
            Self::WhatsAppApi(_) => Policy::WhatsAppApi,
            Self::TemplateSync(_) => Policy::TemplateSync,
            Self::Bot(_) => Policy::Bot,
            Self::Webhook(_) => Policy::Webhook,
            Self::Pair(..) => Policy::Pair,
            Self::Response(_) => Policy::Response,
            Self::Reminder => Policy::Reminder,
        }
    }

    /// The case of `policy` whose ids are `key`, as [`Self::key`] writes them.
    pub fn parse(policy: Policy, key: &str) -> Option<Self> {
        match policy {
            Policy::WhatsAppApi => key.parse().ok().map(Self::WhatsAppApi),
            Policy::TemplateSync => key.parse().ok().map(Self::TemplateSync),
            Policy::Bot => key.parse().ok().map(Self::Bot),
            Policy::Webhook => key.parse().ok().map(Self::Webhook),
            Policy::Pair => {
                let (connection, person) = key.split_once(':')?;
                let person = person.trim_start_matches('+');
                let connection = connection.parse().ok().filter(|_| !person.is_empty())?;
                Some(Self::Pair(connection, WaId::new(person)))
            }
            Policy::Response => key.parse().ok().map(Self::Response),
            Policy::Reminder => key.is_empty().then_some(Self::Reminder),
        }
    }

    /// Its ids with colons between them, e.g. `cnx_…:15551234567`; empty for the limit of a whole
    /// installation.
    pub fn key(&self) -> String {
        self.ids().join(":")
    }

    pub(crate) fn ids(&self) -> Vec<Cow<'_, str>> {
        match self {
            Self::WhatsAppApi(id) | Self::TemplateSync(id) | Self::Webhook(id) => {
                vec![id.to_string().into()]
            }
            Self::Bot(id) => vec![id.to_string().into()],
            Self::Pair(id, person) => vec![id.to_string().into(), free_text(person.as_str())],
            Self::Response(id) => vec![id.to_string().into()],
            Self::Reminder => Vec::new(),
        }
    }
}

/// The kinds of limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// R1.
    WhatsAppApi,
    /// R2.
    TemplateSync,
    /// R3.
    Bot,
    /// R4.
    Webhook,
    /// R5.
    Pair,
    /// R6.
    Response,
    /// R7.
    Reminder,
}

/// What becomes of the surplus; the outcome that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// It is done later.
    Delayed,
    /// It is stored, and no automatic action follows.
    Suppressed,
}

impl Over {
    /// The metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Delayed => "delayed",
            Self::Suppressed => "suppressed",
        }
    }
}

/// How a limit is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// An exact log of admissions up to 1,000 units; above, strict GCRA with a burst of a tenth.
    /// Neither admits more than the limit in any window.
    Sliding,
    /// The same with lanes: each [`Lane`](crate::Lane) may use the limit up to a ceiling of its own.
    Lanes,
}

/// What an answer of Meta's changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adaptive {
    /// Nothing.
    No,
    /// The rate of the whole connection.
    Connection,
    /// The next moment for this one person.
    Pair,
}

/// What a limit answers while Redis is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitAway {
    /// Wait: asking again every second.
    Deny,
    /// Go: something else protects.
    Allow,
    /// This process's part of the limit: the limit divided by the processes last seen alive.
    LocalShare,
    /// The whole limit, in each process: where the surplus is suppressed, not delayed, a share
    /// would suppress what is allowed.
    LocalWhole,
}

impl LimitAway {
    /// How the registry's page says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "refused",
            Self::Allow => "allowed",
            Self::LocalShare => "each process keeps its share",
            Self::LocalWhole => "each process keeps all of it",
        }
    }
}

/// One line of the rate-limit registry.
#[derive(Clone, Copy, Debug)]
pub struct PolicySpec {
    /// The register's id.
    pub id: &'static str,
    /// The metric label.
    pub label: &'static str,
    /// The key after the namespace.
    pub key: &'static str,
    /// The default limit, in units per [`PolicySpec::per`].
    pub most: u32,
    /// The length of the sliding window.
    pub per: Duration,
    /// How it is kept.
    pub algorithm: Algorithm,
    /// What Meta's answers change.
    pub adaptive: Adaptive,
    /// Whether processes take blocks in advance: for hot and for global keys.
    pub is_leased: bool,
    /// What is answered while Redis is away.
    pub when_away: LimitAway,
    /// What is counted when the limit is reached.
    pub over: Over,
    /// What happens to the surplus, in words.
    pub then: &'static str,
}

impl Policy {
    /// Every policy, in the register's order.
    pub const ALL: [Self; 7] = [
        Self::WhatsAppApi,
        Self::TemplateSync,
        Self::Bot,
        Self::Webhook,
        Self::Pair,
        Self::Response,
        Self::Reminder,
    ];

    /// This policy's line of the registry.
    pub const fn spec(self) -> PolicySpec {
        match self {
            Self::WhatsAppApi => specs::WHATSAPP_API,
            Self::TemplateSync => specs::TEMPLATE_SYNC,
            Self::Bot => specs::BOT,
            Self::Webhook => specs::WEBHOOK,
            Self::Pair => specs::PAIR,
            Self::Response => specs::RESPONSE,
            Self::Reminder => specs::REMINDER,
        }
    }
}
