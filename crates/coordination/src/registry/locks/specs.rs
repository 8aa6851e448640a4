//! The lines of the lock registry.

use std::time::Duration;

use super::{LockSpec, Protection, WhenAway};

pub(super) const WEBHOOK_CONNECTION: LockSpec = LockSpec {
    id: "L1",
    label: "webhook_process",
    key: "webhook_process:connection:{connection_id}",
    ttl: Duration::from_mins(1),
    max_hold: Some(Duration::from_mins(10)),
    wait: Duration::from_secs(2),
    when_taken: "the work waits its turn; nothing is dropped",
    protection: "one consumer per lane, the message locks and the inbound ledger",
    is_fenced: false,
    when_away: WhenAway::Skip(Protection::LaneAndInboundLedger),
};

pub(super) const WEBHOOK_MESSAGE: LockSpec = LockSpec {
    id: "L2",
    label: "webhook_message",
    key: "webhook_message:{message_id}",
    ttl: Duration::from_secs(30),
    max_hold: None,
    wait: Duration::from_secs(2),
    when_taken: "waits, then re-checks the ledger: already processed, or currently being processed",
    protection: "the inbound ledger's unique key, claimed in the transaction that stores the message",
    is_fenced: false,
    when_away: WhenAway::Skip(Protection::InboundLedger),
};

pub(super) const WEBHOOK_STATUS: LockSpec = LockSpec {
    id: "L3",
    label: "webhook_status",
    key: "webhook_status:{message_id}",
    ttl: Duration::from_secs(30),
    max_hold: None,
    wait: Duration::from_secs(2),
    when_taken: "waits, then re-checks",
    protection: "the inbound ledger's unique key; statuses merge monotonically under the message's row lock",
    is_fenced: false,
    when_away: WhenAway::Skip(Protection::InboundLedger),
};

pub(super) const CAMPAIGN_STATUS: LockSpec = LockSpec {
    id: "L4",
    label: "campaign_status_update",
    key: "campaign_status_update:{wamid}",
    ttl: Duration::from_secs(30),
    max_hold: None,
    wait: Duration::from_secs(2),
    when_taken: "waits, then re-checks",
    protection: "the recipient's state moves forward only, by a conditional update",
    is_fenced: false,
    when_away: WhenAway::Skip(Protection::RowState),
};

pub(super) const CAMPAIGN_SEND: LockSpec = LockSpec {
    id: "L5",
    label: "campaign_send",
    key: "campaign_send:{campaign_id}",
    ttl: Duration::from_mins(1),
    max_hold: Some(Duration::from_hours(1)),
    wait: Duration::ZERO,
    when_taken: "the job goes back to the queue with a delay",
    protection: "one open send attempt per recipient (unique key)",
    is_fenced: true,
    when_away: WhenAway::Postgres,
};

pub(super) const TEMPLATE_SYNC: LockSpec = LockSpec {
    id: "L6",
    label: "template_sync",
    key: "template_sync:connection:{connection_id}",
    ttl: Duration::from_mins(5),
    max_hold: None,
    wait: Duration::ZERO,
    when_taken: "refused: Template sync is already in progress",
    protection: "templates are upserted in one transaction per page",
    is_fenced: true,
    when_away: WhenAway::Postgres,
};

pub(super) const CONTACT_IMPORT: LockSpec = LockSpec {
    id: "L7",
    label: "contact_import",
    key: "contact_import:workspace:{workspace_id}",
    ttl: Duration::from_mins(10),
    max_hold: Some(Duration::from_hours(2)),
    wait: Duration::ZERO,
    when_taken: "refused: Contact import is already in progress",
    protection: "an import takes effect in one transaction that asks its row (state and fence); one row per workspace and number (unique key)",
    is_fenced: true,
    when_away: WhenAway::Postgres,
};

pub(super) const CONTACT_EXPORT: LockSpec = LockSpec {
    id: "L8",
    label: "contact_export",
    key: "contact_export:workspace:{workspace_id}",
    ttl: Duration::from_mins(5),
    max_hold: Some(Duration::from_hours(1)),
    wait: Duration::ZERO,
    when_taken: "refused: Contact export is already in progress",
    protection: "every export writes a file of its own",
    is_fenced: false,
    when_away: WhenAway::Deny,
};

pub(super) const REMINDER_SCHEDULE: LockSpec = LockSpec {
    id: "L9",
    label: "reminder_schedule",
    key: "reminder_schedule:{tick}",
    ttl: Duration::from_secs(30),
    max_hold: None,
    wait: Duration::ZERO,
    when_taken: "the other instance skips the tick",
    protection: "a reminder falls due once (conditional update)",
    is_fenced: true,
    when_away: WhenAway::Postgres,
};

pub(super) const REMINDER_PROCESSING: LockSpec = LockSpec {
    id: "L10",
    label: "reminder_processing",
    key: "reminder_processing:{reminder_id}",
    ttl: Duration::from_secs(30),
    max_hold: None,
    wait: Duration::ZERO,
    when_taken: "skipped; the state is checked again inside the lock",
    protection: "one open send attempt per reminder (unique key)",
    is_fenced: true,
    when_away: WhenAway::Postgres,
};

pub(super) const VERIFICATION: LockSpec = LockSpec {
    id: "L11",
    label: "verification_processing",
    key: "verification_processing:{contact_id}",
    ttl: Duration::from_secs(30),
    max_hold: None,
    wait: Duration::from_secs(2),
    when_taken: "waits, then re-checks",
    protection: "the verification's state moves once, by a conditional update",
    is_fenced: false,
    when_away: WhenAway::Skip(Protection::RowState),
};

pub(super) const WHATSAPP_SEND: LockSpec = LockSpec {
    id: "L12",
    label: "whatsapp_send",
    key: "whatsapp_send:{connection_id}:{phone_number}",
    ttl: Duration::from_secs(30),
    max_hold: None,
    wait: Duration::from_secs(10),
    when_taken: "waits",
    protection: "the send ledger's attempt is committed before the request; the pair limit",
    is_fenced: false,
    when_away: WhenAway::Skip(Protection::SendLedger),
};
