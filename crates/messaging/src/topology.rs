//! The exchanges, queues and bindings of Switchyard: declared from here and nowhere else.
//!
//! ```text
//! switchyard.events  topic                        an event without subscriber is normal
//! sy.lanes           direct, else sy.unrouted     sy.<family>.NN, key <family>.NN
//! sy.unrouted        fanout                       sy.unrouted: must stay empty
//! sy.wait.<level>    fanout, one for each level   sy.wait.<level> ─TTL→ sy.lanes, key kept
//! sy.dead            direct, else sy.unrouted     sy.parking
//! ```
//!
//! Invariants: a message that the broker confirmed is in some quorum queue, because every exchange
//! that carries work has an alternate exchange (the `mandatory` flag can not be relied on: returned
//! messages are attributed to the wrong publish). A queue's arguments never change under the same
//! name: the broker would refuse the declaration.

mod declaration;
mod family;

use std::time::Duration;

pub use self::declaration::{Argument, Declaration, TopologyError, TopologyRemains};
pub use self::family::Family;

/// Pauses between attempts: five tries in an hour and a quarter, then a person has to look.
const LADDER: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
    Duration::from_hours(1),
];

/// Where a message is published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exchange {
    /// What happened, for every service and program that subscribed; key `{event type}.{lane}`.
    Events,
    /// Work for one lane; key [`Family::routing_key`].
    Lanes,
    /// Comes back to [`Exchange::Lanes`] under the same key after the level's pause.
    Wait(Level),
    /// Can not be handled: kept for a person.
    Dead,
}

/// A step of the wait ladder, counted from 0; made by [`Topology::level_after`] and
/// [`Topology::level_for`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(usize);

impl Level {
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// A queue that can be consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Queue {
    /// One lane of a family.
    Work(Family, u8),
    /// Dead letters, until they are collected.
    Parking,
    /// Messages that no binding wanted: a mistake in the topology.
    Unrouted,
}

impl Queue {
    /// The key under which `sy.lanes` leads (back) to this queue.
    pub fn return_key(self) -> String {
        match self {
            Self::Work(family, lane) => family.routing_key(lane),
            Self::Parking => "parking".to_owned(),
            Self::Unrouted => "unrouted".to_owned(),
        }
    }

    /// The name without lane, for metric labels: `webhooks`, `parking`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Work(family, _) => family.name(),
            Self::Parking => "parking",
            Self::Unrouted => "unrouted",
        }
    }
}

/// Names and arguments of everything that is declared at the broker.
#[derive(Clone, Debug)]
pub struct Topology {
    prefix: String,
    ladder: Vec<Duration>,
    families: Vec<Family>,
}

impl Default for Topology {
    fn default() -> Self {
        Self { prefix: String::new(), ladder: LADDER.to_vec(), families: Family::ALL.to_vec() }
    }
}

impl Topology {
    /// Puts `prefix` before every name, so that several installations can share a virtual host.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Replaces the pauses of the wait ladder, shortest first. An empty ladder is ignored: a
    /// message that has to wait needs a place.
    #[must_use]
    pub fn with_ladder(mut self, ladder: Vec<Duration>) -> Self {
        if !ladder.is_empty() {
            self.ladder = ladder;
        }
        self
    }

    /// Declares only these families of work queues.
    #[must_use]
    pub fn with_families(mut self, families: Vec<Family>) -> Self {
        self.families = families;
        self
    }

    /// The level a message waits on after it failed `attempts` times before; `None` when the
    /// ladder is used up.
    pub fn level_after(&self, attempts: u32) -> Option<Level> {
        let level = usize::try_from(attempts).ok()?;
        (level < self.ladder.len()).then_some(Level(level))
    }

    /// The shortest level that waits at least `wait`, else the longest one.
    pub fn level_for(&self, wait: Duration) -> Level {
        let enough = self.ladder.iter().position(|pause| *pause >= wait);
        enough.map_or_else(|| self.last_level(), Level)
    }

    /// The longest level.
    pub fn last_level(&self) -> Level {
        Level(self.ladder.len().saturating_sub(1))
    }

    /// The broker's name of `exchange`.
    pub fn exchange_name(&self, exchange: Exchange) -> String {
        match exchange {
            Exchange::Events => self.named(contracts::names::EVENTS_EXCHANGE),
            Exchange::Lanes => self.named("sy.lanes"),
            Exchange::Wait(level) => self.wait_name(level),
            Exchange::Dead => self.named("sy.dead"),
        }
    }

    /// The broker's name of `queue`.
    pub fn queue_name(&self, queue: Queue) -> String {
        match queue {
            Queue::Work(family, lane) => self.named(&format!("sy.{}", family.routing_key(lane))),
            Queue::Parking => self.named("sy.parking"),
            Queue::Unrouted => self.named("sy.unrouted"),
        }
    }

    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Exchange and queue of a level share this name.
    fn wait_name(&self, level: Level) -> String {
        let pause = self.ladder.get(level.0).copied().unwrap_or_default();
        self.named(&format!("sy.wait.{}", shown(pause)))
    }

    pub(crate) fn levels(&self) -> impl Iterator<Item = (Level, Duration)> {
        self.ladder.iter().enumerate().map(|(at, pause)| (Level(at), *pause))
    }
}

/// Writes a pause in its largest whole unit: `5s`, `2m`, `1h`, `150ms`.
fn shown(pause: Duration) -> String {
    let ms = pause.as_millis();
    [(3_600_000, "h"), (60_000, "m"), (1_000, "s")]
        .into_iter()
        .find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit))
        .map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_is_climbed_once_and_then_ends() {
        let topology = Topology::default();
        let names: Vec<String> = (0..)
            .map_while(|attempts| topology.level_after(attempts))
            .map(|level| topology.exchange_name(Exchange::Wait(level)))
            .collect();
        assert_eq!(names, ["sy.wait.5s", "sy.wait.30s", "sy.wait.2m", "sy.wait.10m", "sy.wait.1h"]);
    }

    #[test]
    fn a_wished_pause_is_never_cut_short_while_the_ladder_reaches() {
        let topology = Topology::default();
        let name = |secs| {
            let level = topology.level_for(Duration::from_secs(secs));
            topology.exchange_name(Exchange::Wait(level))
        };
        assert_eq!(name(0), "sy.wait.5s");
        assert_eq!(name(5), "sy.wait.5s");
        assert_eq!(name(6), "sy.wait.30s");
        assert_eq!(name(100_000), "sy.wait.1h");
    }

    #[test]
    fn every_name_carries_the_prefix() {
        let topology = Topology::default().with_prefix("t_1.");
        for declared in topology.describe() {
            assert!(declared.names().iter().all(|name| name.starts_with("t_1.")), "{declared}");
        }
        assert_eq!(topology.exchange_name(Exchange::Events), "t_1.switchyard.events");
        assert_eq!(topology.queue_name(Queue::Work(Family::Webhooks, 7)), "t_1.sy.webhooks.07");
    }
}
