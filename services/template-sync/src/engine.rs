//! Works syncs and news off.
//!
//! A hint or the sweep finds a run that is due; whoever holds L6 of its connection works on it, page by
//! page, and says in `next_look_at` until when nobody else has to. News are taken and acted upon in one
//! transaction. What is due by the clock becomes a run.

mod consumer;
mod drivers;
mod meters;
mod news;
mod schedule;
mod step;
mod sweep;
mod tick;

use std::sync::Arc;

use coordination::Locks;
use kernel::Clock;
use messaging::{Broker, Consumer, ConsumerOptions, Family};
use relay::Relay;
use service::Life;
use storage::Database;

use self::consumer::Hinted;
use self::drivers::Drivers;
use self::news::News;
use self::schedule::Schedule;
use self::step::Steps;
pub(crate) use self::tick::Ticks;
use crate::meta::Meta;

/// What the engine works with.
pub(crate) struct Parts {
    pub(crate) db: Database,
    pub(crate) locks: Locks,
    pub(crate) meta: Meta,
    pub(crate) relay: Relay,
    pub(crate) clock: Arc<dyn Clock>,
    /// Seconds between two syncs of a connection; 0: never by the clock.
    pub(crate) every: i64,
}

pub(crate) fn start(life: &Life, broker: &Broker, parts: Parts) {
    let Parts { db, locks, meta, relay, clock, every } = parts;
    meters::register();
    let news = News::new(db.clone(), relay.clone(), Arc::clone(&clock));
    let schedule = Schedule::new(db.clone(), Arc::clone(&clock), every);
    let steps =
        Steps::new(step::Parts { db: db.clone(), meta, relay, clock: Arc::clone(&clock), every });
    let drivers = Drivers::new(steps, locks, life.tasks().clone(), life.stopping());
    let consumer = Consumer::new(
        broker,
        ConsumerOptions::new("template syncs", Family::SyncTemplates.queues()),
        Hinted::new(drivers.clone(), news.clone(), db.clone(), Arc::clone(&clock)),
    );
    let stopping = life.stopping();
    life.spawn_vital("template hints", async move {
        consumer.run(stopping).await;
        Ok(())
    });
    let sweep = sweep::Sweep { drivers, news, schedule, db, clock };
    life.spawn_vital("template sweep", sweep.run(life.stopping()));
}
