//! Tells others what happens to campaigns: events for everybody, ticks for our own workers.

use chrono::{DateTime, Utc};
use contracts::campaigns::CampaignTick;
use contracts::events::CampaignChanged;
use contracts::events::event::Detail;
use contracts::uuid_bytes;
use kernel::chain;
use kernel::ids::{CampaignId, ConnectionId, WorkspaceId};
use messaging::{Exchange, Family, Outgoing, Publisher};
use storage::campaigns::standing::Status;
use storage::events::{Event, Happened};
use tracing::debug;
use uuid::Uuid;

/// Whose campaign it is, and which.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose {
    pub(crate) workspace: WorkspaceId,
    pub(crate) connection: ConnectionId,
    pub(crate) campaign: CampaignId,
}

/// The event that says a campaign is in `status` now.
pub(crate) fn event(
    whose: Whose,
    event_type: &'static str,
    status: Status,
    now: DateTime<Utc>,
) -> Event {
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
            code: String::new(),
            reason: String::new(),
        })),
        traceparent: telemetry::trace::current_traceparent(),
    };
    Event { is_awaited: false, ..happened.into() }
}

/// Says that a campaign should be looked at now. A tick that is lost is found by the sweep, so a
/// failure is not the caller's.
pub(crate) async fn tick(publisher: &Publisher, campaign: CampaignId) {
    let tick = CampaignTick { campaign_id: uuid_bytes(campaign.as_uuid()) };
    let key = Family::Campaigns.routing_key(0);
    let message = Outgoing::of(Exchange::Lanes, key, Uuid::now_v7(), &tick);
    if let Err(error) = publisher.publish(message).await {
        debug!(campaign.id = %campaign, error = %chain(&error), "campaign left to the sweep");
    }
}
