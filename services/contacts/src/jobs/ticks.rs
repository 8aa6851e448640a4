//! Asks some process to look at the tables now.

use std::sync::Arc;

use contracts::sync::SyncTick;
use contracts::uuid_bytes;
use kernel::chain;
use messaging::{
    BatchHandler, Broker, Delivery, Exchange, Family, Fault, Outgoing, Publisher, Verdict,
};
use tracing::warn;
use uuid::Uuid;

use super::Jobs;

/// Publishes ticks; cheap to clone.
#[derive(Clone)]
pub(crate) struct Ticks {
    publisher: Publisher,
}

impl Ticks {
    pub(crate) fn new(broker: &Broker) -> Self {
        Self { publisher: broker.publisher() }
    }

    /// Says that `run` can begin: call it after the commit that lets it. A tick that is lost is made good
    /// by the sweep.
    pub(crate) async fn tick(&self, run: Uuid) {
        let tick = SyncTick { run_id: uuid_bytes(run) };
        let key = Family::Sync.routing_key(0);
        let message = Outgoing::of(Exchange::Lanes, key, Uuid::now_v7(), &tick);
        if let Err(error) = self.publisher.publish(message).await {
            warn!(error = %chain(&error), "tick left to the sweep");
        }
    }
}

/// Consumes the family `sync`.
pub(super) struct Ticked(pub(super) Arc<Jobs>);

impl BatchHandler for Ticked {
    type Message = SyncTick;

    async fn handle(&self, batch: Vec<Delivery<SyncTick>>) -> Result<Vec<Verdict>, Fault> {
        self.0.wake.notify_one();
        Ok(batch.iter().map(|_| Verdict::Done).collect())
    }
}
