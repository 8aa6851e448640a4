//! Asks some process to look at a campaign now.

use contracts::campaigns::CampaignTick;
use contracts::uuid_bytes;
use kernel::chain;
use kernel::ids::CampaignId;
use messaging::{Broker, Exchange, Family, Outgoing, Publisher};
use tracing::warn;
use uuid::Uuid;

/// Publishes ticks; cheap to clone.
#[derive(Clone)]
pub(crate) struct Ticks {
    publisher: Publisher,
}

impl Ticks {
    pub(crate) fn new(broker: &Broker) -> Self {
        Self { publisher: broker.publisher() }
    }

    /// Says that `campaign` can go on: call it after the commit that lets it. A tick that is lost is
    /// made good by the sweep, some seconds later, if `next_look_at` is due.
    pub(crate) async fn tick(&self, campaign: CampaignId) {
        let tick = CampaignTick { campaign_id: uuid_bytes(campaign.as_uuid()) };
        let key = Family::Campaigns.routing_key(0);
        let message = Outgoing::of(Exchange::Lanes, key, Uuid::now_v7(), &tick);
        if let Err(error) = self.publisher.publish(message).await {
            warn!(campaign.id = %campaign, error = %chain(&error), "tick left to the sweep");
        }
    }
}
