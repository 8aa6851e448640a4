//! The lock registry, L1 to L12: names and classes; the lines themselves are in `specs`.

mod specs;

use std::borrow::Cow;
use std::time::Duration;

use kernel::ids::{CampaignId, ConnectionId, ContactId, Id, Kind, WorkspaceId};
use kernel::{WaId, Wamid};

use super::key::{LockKey, free_text};

/// Marks identifiers of reminders.
#[derive(Debug)]
pub enum Reminder {}

impl Kind for Reminder {
    const PREFIX: &'static str = "rem";
}

/// Identifies a reminder.
pub type ReminderId = Id<Reminder>;

/// The number of a scheduler's tick, the same in every process: planned time divided by the period,
/// never a clock reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tick(pub u64);

/// One lock: which class, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LockName {
    /// Connection-wide webhook work that must not interleave (L1).
    WebhookConnection(ConnectionId),
    /// One inbound message is stored (L2).
    WebhookMessage(Wamid),
    /// One status of a message is applied (L3).
    WebhookStatus(Wamid),
    /// A campaign message's status is applied (L4).
    CampaignStatus(Wamid),
    /// One worker advances the campaign (L5).
    CampaignSend(CampaignId),
    /// One template sync per connection (L6).
    TemplateSync(ConnectionId),
    /// One contact import per workspace (L7).
    ContactImport(WorkspaceId),
    /// One contact export per workspace (L8).
    ContactExport(WorkspaceId),
    /// One scheduler scans for due reminders (L9).
    ReminderSchedule(Tick),
    /// One reminder is sent (L10).
    ReminderProcessing(ReminderId),
    /// One reply to a verification is applied (L11).
    Verification(ContactId),
    /// One message to one person is in flight (L12).
    WhatsAppSend(ConnectionId, WaId),
}

impl LockName {
    /// Which class this is a lock of.
    pub const fn class(&self) -> LockClass {
        match self {
            Self::WebhookConnection(_) => LockClass::WebhookConnection,
            Self::WebhookMessage(_) => LockClass::WebhookMessage,
            Self::WebhookStatus(_) => LockClass::WebhookStatus,
            Self::CampaignStatus(_) => LockClass::CampaignStatus,
            Self::CampaignSend(_) => LockClass::CampaignSend,
            Self::TemplateSync(_) => LockClass::TemplateSync,
            Self::ContactImport(_) => LockClass::ContactImport,
            Self::ContactExport(_) => LockClass::ContactExport,
            Self::ReminderSchedule(_) => LockClass::ReminderSchedule,
            Self::ReminderProcessing(_) => LockClass::ReminderProcessing,
            Self::Verification(_) => LockClass::Verification,
            Self::WhatsAppSend(..) => LockClass::WhatsAppSend,
        }
    }

    /// What the lock is called wherever it is kept.
    pub(crate) fn key(&self) -> LockKey {
        LockKey::new(self.class().spec().key, &self.ids())
    }

    fn ids(&self) -> Vec<Cow<'_, str>> {
        match self {
            Self::WebhookConnection(id) | Self::TemplateSync(id) => vec![id.to_string().into()],
            Self::WebhookMessage(wamid)
            | Self::WebhookStatus(wamid)
            | Self::CampaignStatus(wamid) => vec![free_text(wamid.as_str())],
            Self::CampaignSend(id) => vec![id.to_string().into()],
            Self::ContactImport(id) | Self::ContactExport(id) => vec![id.to_string().into()],
            Self::ReminderSchedule(tick) => vec![tick.0.to_string().into()],
            Self::ReminderProcessing(id) => vec![id.to_string().into()],
            Self::Verification(id) => vec![id.to_string().into()],
            Self::WhatsAppSend(id, person) => {
                vec![id.to_string().into(), free_text(person.as_str())]
            }
        }
    }
}

/// The kinds of locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockClass {
    /// L1.
    WebhookConnection,
    /// L2.
    WebhookMessage,
    /// L3.
    WebhookStatus,
    /// L4.
    CampaignStatus,
    /// L5.
    CampaignSend,
    /// L6.
    TemplateSync,
    /// L7.
    ContactImport,
    /// L8.
    ContactExport,
    /// L9.
    ReminderSchedule,
    /// L10.
    ReminderProcessing,
    /// L11.
    Verification,
    /// L12.
    WhatsAppSend,
}

/// What keeps the data right at any concurrency, so that a class may run without its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// The inbound ledger's unique key, claimed in the transaction that stores the event.
    InboundLedger,
    /// One consumer per lane, and behind it the inbound ledger.
    LaneAndInboundLedger,
    /// A state that moves forward only, by a conditional update under the row's lock.
    RowState,
    /// The send ledger: an attempt is committed before its request, one open attempt per message.
    SendLedger,
}

impl Protection {
    /// In words, for operators.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InboundLedger => "inbound ledger",
            Self::LaneAndInboundLedger => "lane and inbound ledger",
            Self::RowState => "row state",
            Self::SendLedger => "send ledger",
        }
    }
}

/// What a caller gets while the locks' backend is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenAway {
    /// The work runs unlocked, protected by this at any concurrency.
    Skip(Protection),
    /// The work does not start: it would be wasteful or out of order without the lock.
    Deny,
    /// The lock is kept in PostgreSQL meanwhile; without that backend, as [`Self::Deny`].
    Postgres,
}

/// One line of the lock registry.
#[derive(Clone, Copy, Debug)]
pub struct LockSpec {
    /// The register's id.
    pub id: &'static str,
    /// The metric label.
    pub label: &'static str,
    /// The key after the namespace.
    pub key: &'static str,
    /// How long Redis keeps the lock of a holder that died, and of any holder that is not renewed.
    pub ttl: Duration,
    /// Renewed while held, up to this long in all; `None`: never renewed.
    pub max_hold: Option<Duration>,
    /// How long a caller usually waits for it.
    pub wait: Duration,
    /// What a caller does that did not get it.
    pub when_taken: &'static str,
    /// What keeps the data right when the lock is skipped, lost or flushed.
    pub protection: &'static str,
    /// Each grant has a number that the database can compare ([`crate::Fence`]).
    pub is_fenced: bool,
    /// What happens while the backend is away.
    pub when_away: WhenAway,
}

impl LockClass {
    /// Every class, in the register's order.
    pub const ALL: [Self; 12] = [
        Self::WebhookConnection,
        Self::WebhookMessage,
        Self::WebhookStatus,
        Self::CampaignStatus,
        Self::CampaignSend,
        Self::TemplateSync,
        Self::ContactImport,
        Self::ContactExport,
        Self::ReminderSchedule,
        Self::ReminderProcessing,
        Self::Verification,
        Self::WhatsAppSend,
    ];

    /// This class's line of the registry.
    pub const fn spec(self) -> LockSpec {
        match self {
            Self::WebhookConnection => specs::WEBHOOK_CONNECTION,
            Self::WebhookMessage => specs::WEBHOOK_MESSAGE,
            Self::WebhookStatus => specs::WEBHOOK_STATUS,
            Self::CampaignStatus => specs::CAMPAIGN_STATUS,
            Self::CampaignSend => specs::CAMPAIGN_SEND,
            Self::TemplateSync => specs::TEMPLATE_SYNC,
            Self::ContactImport => specs::CONTACT_IMPORT,
            Self::ContactExport => specs::CONTACT_EXPORT,
            Self::ReminderSchedule => specs::REMINDER_SCHEDULE,
            Self::ReminderProcessing => specs::REMINDER_PROCESSING,
            Self::Verification => specs::VERIFICATION,
            Self::WhatsAppSend => specs::WHATSAPP_SEND,
        }
    }
}
