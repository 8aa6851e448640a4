//! RabbitMQ done right: one declared topology, confirmed publishing, consumers that lose nothing.
//!
//! - [`Topology`] is the only place that knows exchanges, queues and their arguments.
//! - [`Broker`] keeps two connections alive and re-declares the topology on each of them.
//! - [`Publisher`] says `Ok` only when the broker confirmed that it has the message on disk.
//! - [`Consumer`] feeds a [`BatchHandler`] and acknowledges only what is committed or published on.
//!
//! Delivery is at least once: a consumer must be idempotent by [`Delivery::message_id`] or a
//! natural key. No type of the AMQP library is part of this API, so nobody can share a channel.

mod backoff;
mod broker;
mod bundle;
mod consumer;
mod handler;
mod meter;
mod outgoing;
mod publisher;
mod topology;

pub use self::broker::{Broker, BrokerOptions, Health, InvalidUrl, LinkState, NotReady};
pub use self::consumer::{Consumer, ConsumerOptions};
pub use self::handler::{BatchHandler, Delivery, Fault, Payload, Raw, Verdict};
pub use self::outgoing::Outgoing;
pub use self::publisher::{PublishError, Publisher};
pub use self::topology::{
    Argument, Declaration, Exchange, Family, Level, Queue, Topology, TopologyError, TopologyRemains,
};
