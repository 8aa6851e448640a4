//! Asks some process to look at a sync now.

use contracts::sync::SyncTick;
use contracts::uuid_bytes;
use kernel::chain;
use kernel::ids::TemplateSyncId;
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

    /// Says that `sync` can begin: call it after the commit. A tick that is lost is made good by the
    /// sweep, some seconds later.
    pub(crate) async fn tick(&self, sync: TemplateSyncId) {
        let tick = SyncTick { run_id: uuid_bytes(sync.as_uuid()) };
        let key = Family::SyncTemplates.routing_key(0);
        let message = Outgoing::of(Exchange::Lanes, key, Uuid::now_v7(), &tick);
        if let Err(error) = self.publisher.publish(message).await {
            warn!(sync.id = %sync, error = %chain(&error), "tick left to the sweep");
        }
    }
}
