//! Where everything inbound takes effect: contacts, conversations, messages, statuses, events.
//!
//! Consumes `webhooks` and `webhooks.slow`; serves connections, and conversations with everything that
//! people and programs say in them.

mod housekeeping;
mod inbound;
mod letter;
mod web;

use std::sync::Arc;

use coordination::{Limiter, Locks};
use kernel::Clock;
use messaging::{Broker, Consumer, ConsumerOptions, Family, Queue};
use relay::Relay;
use sending::Sender;
use service::Life;
use storage::Database;
use storage::sealed::Sealer;
use storage::status_pipeline::Pulse;

pub use self::web::{State, routes};

use self::housekeeping::Housekeeping;
use self::inbound::Inbound;

/// What the service works with.
#[derive(Clone)]
pub struct Dependencies {
    /// The product's database.
    pub db: Database,
    /// The broker.
    pub broker: Broker,
    /// The lock registry.
    pub locks: Locks,
    /// Says whether a message will have to wait (R1, R5).
    pub limiter: Limiter,
    /// Is told that messages were enqueued.
    pub sender: Sender,
    /// Publishes what happened.
    pub relay: Relay,
    /// Seals access tokens and app secrets.
    pub sealer: Sealer,
    /// Decides what is stored as now.
    pub clock: Arc<dyn Clock>,
    /// Batches.
    pub settings: settings::Conversations,
    /// Default limits, shown by the API.
    pub limits: settings::Limits,
}

/// Starts the consumers and the housekeeping; returns what [`routes`] need as application data.
pub fn start(life: &Life, dependencies: Dependencies) -> State {
    let Dependencies { db, broker, locks, relay, clock, settings, .. } = dependencies.clone();
    let (tasks, stopping) = (life.tasks(), life.stopping());
    let pulse = Pulse::start("conversations", db.clone(), Arc::clone(&clock), tasks, stopping);
    let (hints, now) = (broker.publisher(), Arc::clone(&clock));
    let inbound = Inbound::new(db.clone(), locks, relay.clone(), hints, now, pulse);
    for queues in shares(Family::Webhooks, settings.workers) {
        consume(&broker, "webhooks", queues, &settings, inbound.clone(), life);
    }
    let slow = shares(Family::WebhooksSlow, 1).into_iter().flatten().collect();
    consume(&broker, "webhooks.slow", slow, &settings, inbound, life);
    let housekeeping = Housekeeping { db, relay, clock };
    life.tasks().spawn(housekeeping.run(life.stopping()));
    let Dependencies { db, limiter, sender, relay, sealer, clock, limits, .. } = dependencies;
    State { db, sealer, clock, limits, limiter, sender, relay }
}

fn consume(
    broker: &Broker,
    name: &'static str,
    queues: Vec<Queue>,
    settings: &settings::Conversations,
    inbound: Inbound,
    life: &Life,
) {
    let mut options = ConsumerOptions::new(name, queues);
    options.max_batch = settings.max_batch;
    options.linger = settings.linger;
    Consumer::spawn(broker, options, inbound, life.stopping());
}

/// Divides a family's lanes among workers: each lane has one, so its order is kept.
fn shares(family: Family, workers: usize) -> Vec<Vec<Queue>> {
    let workers = workers.clamp(1, usize::from(family.lanes().max(1)));
    let mut shares = vec![Vec::new(); workers];
    for lane in 0..family.lanes() {
        if let Some(share) = shares.get_mut(usize::from(lane) % workers) {
            share.push(Queue::Work(family, lane));
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_has_one_worker() {
        for workers in [0, 1, 2, 3, 8, 99] {
            let mut lanes: Vec<Queue> =
                shares(Family::Webhooks, workers).into_iter().flatten().collect();
            lanes.sort_by_key(|queue| format!("{queue:?}"));
            lanes.dedup();
            assert_eq!(lanes.len(), usize::from(Family::Webhooks.lanes()), "{workers} workers");
        }
    }
}
