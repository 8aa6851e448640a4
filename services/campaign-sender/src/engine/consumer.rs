//! Turns ticks into drivers.

use contracts::campaigns::CampaignTick;
use contracts::uuid_field;
use futures_util::future::join_all;
use kernel::ids::CampaignId;
use messaging::{BatchHandler, Delivery, Fault, Verdict};

use super::drivers::{BUSY, Drivers, Look};

/// Consumes the family `campaigns`.
pub(super) struct Ticked {
    drivers: Drivers,
}

impl Ticked {
    pub(super) const fn new(drivers: Drivers) -> Self {
        Self { drivers }
    }

    async fn look(&self, tick: &CampaignTick) -> Verdict {
        // A tick that names nobody hints at nothing.
        let Some(id) = uuid_field(&tick.campaign_id) else { return Verdict::Done };
        match self.drivers.look(CampaignId::from_uuid(id)).await {
            Look::Somebody => Verdict::Done,
            Look::Unknown => Verdict::Park { wait: BUSY },
        }
    }
}

impl BatchHandler for Ticked {
    type Message = CampaignTick;

    async fn handle(&self, batch: Vec<Delivery<CampaignTick>>) -> Result<Vec<Verdict>, Fault> {
        Ok(join_all(batch.iter().map(|delivery| self.look(&delivery.message))).await)
    }
}
