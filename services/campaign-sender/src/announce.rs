//! Tells everybody what happens to campaigns.

use chrono::{DateTime, Utc};
use contracts::events::CampaignChanged;
use contracts::events::event::Detail;
use contracts::uuid_bytes;
use kernel::ids::{CampaignId, ConnectionId, WorkspaceId};
use storage::campaigns::standing::Status;
use storage::events::{Event, Happened};

/// Whose campaign it is, and which.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose {
    pub(crate) workspace: WorkspaceId,
    pub(crate) connection: ConnectionId,
    pub(crate) campaign: CampaignId,
}

/// The event that says where a campaign stands now, and why: for programs and for people.
pub(crate) fn event(
    whose: Whose,
    event_type: &'static str,
    (status, why): (Status, Option<(&str, &str)>),
    now: DateTime<Utc>,
) -> Event {
    let (code, reason) = why.unwrap_or_default();
    let happened = Happened {
        workspace_id: whose.workspace,
        event_type,
        connection_id: whose.connection,
        contact_id: None,
        conversation_id: None,
        message_id: None,
        sequence: 0,
        at: now,
        detail: Some(Detail::CampaignChanged(CampaignChanged {
            campaign_id: uuid_bytes(whose.campaign.as_uuid()),
            status: status.as_str().to_owned(),
            code: code.to_owned(),
            reason: reason.to_owned(),
        })),
        traceparent: telemetry::trace::current_traceparent(),
    };
    Event { is_awaited: false, ..happened.into() }
}
