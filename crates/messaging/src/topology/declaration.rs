//! The topology as a list of declarations: the same list is declared, deleted and documented.

use std::fmt;

use kernel::Retryable;
use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ErrorKind, ExchangeKind};
use thiserror::Error;

use super::{Exchange, Family, Queue, Topology};

/// How often the broker delivers a message before it dead-letters it by itself. Only crashes and
/// lost connections count: failures are published on and acknowledged.
const DELIVERY_LIMIT: i32 = 20;

/// One thing the broker has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Declaration {
    /// A durable exchange.
    Exchange {
        /// Its name.
        name: String,
        /// `topic`, `direct` or `fanout`.
        kind: &'static str,
        /// Where messages go that no binding wants.
        alternate: Option<String>,
    },
    /// A durable quorum queue.
    Queue {
        /// Its name.
        name: String,
        /// Its arguments.
        arguments: Vec<(&'static str, Argument)>,
    },
    /// A binding.
    Binding {
        /// From here.
        exchange: String,
        /// To there.
        queue: String,
        /// For messages with this key; a fanout exchange ignores it.
        key: String,
    },
}

/// The value of a queue argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A name.
    Text(String),
    /// A number or milliseconds.
    Number(i32),
    /// On or off.
    Flag(bool),
}

/// The broker did not accept the topology.
#[derive(Debug, Error)]
pub enum TopologyError {
    /// Something of this name exists and differs.
    #[error(
        "{name} exists with other arguments: drain and delete it, \
         or give the new shape a new (versioned) name"
    )]
    Conflict {
        /// What could not be declared.
        name: String,
        /// The broker's answer.
        #[source]
        source: lapin::Error,
    },
    /// There is no connection.
    #[error("broker can not be reached")]
    Unreachable(#[from] lapin::Error),
    /// The broker refused or went away.
    #[error("{name} could not be declared")]
    Refused {
        /// What could not be declared.
        name: String,
        /// The broker's answer.
        #[source]
        source: lapin::Error,
    },
}

impl Retryable for TopologyError {
    fn is_transient(&self) -> bool {
        !matches!(self, Self::Conflict { .. })
    }
}

/// The topology could not be removed: some of it remains.
#[derive(Debug, Error)]
#[error("the topology could not be removed")]
pub struct TopologyRemains(#[from] lapin::Error);

impl Topology {
    /// Everything that is declared: exchanges, queues, bindings, in this order.
    pub fn describe(&self) -> Vec<Declaration> {
        let mut all = self.exchanges();
        all.extend(self.queues());
        all.extend(self.bindings());
        all
    }

    /// Declares everything; what exists already in the same shape stays as it is.
    pub(crate) async fn declare(&self, channel: &Channel) -> Result<(), TopologyError> {
        for declaration in self.describe() {
            declaration.declare(channel).await.map_err(|source| declaration.refused(source))?;
        }
        Ok(())
    }

    /// Deletes queues with all their messages, and exchanges.
    pub(crate) async fn delete(&self, channel: &Channel) -> Result<(), lapin::Error> {
        for declaration in self.describe().into_iter().rev() {
            declaration.delete(channel).await?;
        }
        Ok(())
    }

    fn exchanges(&self) -> Vec<Declaration> {
        let unrouted = self.queue_name(Queue::Unrouted);
        let exchange =
            |name: String, kind, alternate| Declaration::Exchange { name, kind, alternate };
        let mut all = vec![
            exchange(unrouted.clone(), "fanout", None),
            exchange(self.exchange_name(Exchange::Events), "topic", None),
            exchange(self.exchange_name(Exchange::Lanes), "direct", Some(unrouted.clone())),
            exchange(self.exchange_name(Exchange::Dead), "direct", Some(unrouted)),
        ];
        all.extend(self.levels().map(|(level, _)| exchange(self.wait_name(level), "fanout", None)));
        all
    }

    fn queues(&self) -> Vec<Declaration> {
        let queue = |name, arguments| Declaration::Queue { name, arguments };
        let kept = || vec![("x-queue-type", text("quorum"))];
        let mut all = vec![
            queue(self.queue_name(Queue::Unrouted), kept()),
            queue(self.queue_name(Queue::Parking), kept()),
        ];
        for (level, pause) in self.levels() {
            let ttl = i32::try_from(pause.as_millis()).unwrap_or(i32::MAX);
            let mut arguments = self.leads_to(Exchange::Lanes);
            // No dead-letter routing key: the message keeps its own, which is the way back.
            arguments.push(("x-message-ttl", Argument::Number(ttl)));
            all.push(queue(self.wait_name(level), arguments));
        }
        for (family, lane) in self.lanes() {
            let mut arguments = self.leads_to(Exchange::Dead);
            arguments.push(("x-dead-letter-routing-key", text(family.name())));
            arguments.push(("x-delivery-limit", Argument::Number(DELIVERY_LIMIT)));
            if family.is_ordered() {
                arguments.push(("x-single-active-consumer", Argument::Flag(true)));
            }
            all.push(queue(self.queue_name(lane), arguments));
        }
        all
    }

    /// A quorum queue that loses nothing when it dead-letters. At-least-once dead-lettering is
    /// silently at-most-once without `reject-publish`.
    fn leads_to(&self, exchange: Exchange) -> Vec<(&'static str, Argument)> {
        vec![
            ("x-queue-type", text("quorum")),
            ("x-overflow", text("reject-publish")),
            ("x-dead-letter-exchange", Argument::Text(self.exchange_name(exchange))),
            ("x-dead-letter-strategy", text("at-least-once")),
        ]
    }

    fn bindings(&self) -> Vec<Declaration> {
        let binding = |exchange, queue, key| Declaration::Binding { exchange, queue, key };
        let parking = self.queue_name(Queue::Parking);
        let unrouted = self.queue_name(Queue::Unrouted);
        let lanes = self.exchange_name(Exchange::Lanes);
        let mut all = vec![binding(unrouted.clone(), unrouted.clone(), String::new())];
        all.extend(self.levels().map(|(level, _)| {
            binding(self.wait_name(level), self.wait_name(level), String::new())
        }));
        // Whoever collects these queues may have to come back later, too.
        all.push(binding(lanes.clone(), parking.clone(), Queue::Parking.return_key()));
        all.push(binding(lanes.clone(), unrouted, Queue::Unrouted.return_key()));
        let dead = self.exchange_name(Exchange::Dead);
        for family in &self.families {
            all.push(binding(dead.clone(), parking.clone(), family.name().to_owned()));
        }
        for (family, lane) in self.lanes() {
            let queue = self.queue_name(lane);
            all.push(binding(lanes.clone(), queue.clone(), lane.return_key()));
            if let Some(event) = family.event() {
                all.push(binding(self.exchange_name(Exchange::Events), queue, heard(event, lane)));
            }
        }
        all
    }

    fn lanes(&self) -> impl Iterator<Item = (Family, Queue)> {
        self.families.iter().flat_map(|family| family.queues().map(|queue| (*family, queue)))
    }
}

/// The key under which an event reaches `queue`: its lane, or every lane when order is no matter.
fn heard(event: &str, queue: Queue) -> String {
    match queue {
        Queue::Work(family, lane) if family.is_ordered() => format!("{event}.{lane:02}"),
        Queue::Work(..) | Queue::Parking | Queue::Unrouted => format!("{event}.*"),
    }
}

fn text(value: &str) -> Argument {
    Argument::Text(value.to_owned())
}

impl Declaration {
    /// The exchange and queue names in it.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Exchange { name, alternate, .. } => {
                std::iter::once(name.as_str()).chain(alternate.as_deref()).collect()
            }
            Self::Queue { name, .. } => vec![name],
            Self::Binding { exchange, queue, .. } => vec![exchange, queue],
        }
    }

    async fn declare(&self, channel: &Channel) -> Result<(), lapin::Error> {
        match self {
            Self::Exchange { name, kind, alternate } => {
                let kind = match *kind {
                    "topic" => ExchangeKind::Topic,
                    "fanout" => ExchangeKind::Fanout,
                    _ => ExchangeKind::Direct,
                };
                let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
                let mut arguments = FieldTable::default();
                if let Some(alternate) = alternate {
                    let value = AMQPValue::LongString(alternate.as_str().into());
                    arguments.insert("alternate-exchange".into(), value);
                }
                channel.exchange_declare(short(name), kind, options, arguments).await
            }
            Self::Queue { name, arguments } => {
                let options = QueueDeclareOptions { durable: true, ..Default::default() };
                let mut table = FieldTable::default();
                for (key, value) in arguments {
                    table.insert(short(key), value.into());
                }
                channel.queue_declare(short(name), options, table).await.map(drop)
            }
            Self::Binding { exchange, queue, key } => {
                let (queue, exchange, key) = (short(queue), short(exchange), short(key));
                let none = FieldTable::default();
                channel.queue_bind(queue, exchange, key, Default::default(), none).await
            }
        }
    }

    /// Bindings go with their queues.
    async fn delete(&self, channel: &Channel) -> Result<(), lapin::Error> {
        match self {
            Self::Exchange { name, .. } => {
                channel.exchange_delete(short(name), ExchangeDeleteOptions::default()).await
            }
            Self::Queue { name, .. } => {
                channel.queue_delete(short(name), QueueDeleteOptions::default()).await.map(drop)
            }
            Self::Binding { .. } => Ok(()),
        }
    }

    fn refused(&self, source: lapin::Error) -> TopologyError {
        let name = self.names().last().copied().unwrap_or_default().to_owned();
        let conflict = AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED);
        match source.kind() {
            ErrorKind::ProtocolError(error) if *error.kind() == conflict => {
                TopologyError::Conflict { name, source }
            }
            _ => TopologyError::Refused { name, source },
        }
    }
}

impl fmt::Display for Declaration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exchange { name, kind, alternate: Some(alternate) } => {
                write!(f, "exchange {name} {kind} alternate-exchange={alternate}")
            }
            Self::Exchange { name, kind, alternate: None } => write!(f, "exchange {name} {kind}"),
            Self::Queue { name, arguments } => {
                write!(f, "queue {name}")?;
                arguments.iter().try_for_each(|(key, value)| write!(f, " {key}={value}"))
            }
            Self::Binding { exchange, queue, key } => {
                write!(f, "binding {exchange} --{key}--> {queue}")
            }
        }
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(value) => f.write_str(value),
            Self::Number(value) => write!(f, "{value}"),
            Self::Flag(value) => write!(f, "{value}"),
        }
    }
}

impl From<&Argument> for AMQPValue {
    fn from(argument: &Argument) -> Self {
        match argument {
            Argument::Text(value) => Self::LongString(value.as_str().into()),
            Argument::Number(value) => Self::LongInt(*value),
            Argument::Flag(value) => Self::Boolean(*value),
        }
    }
}

/// AMQP's short string. Names longer than 255 bytes do not exist here except by a mistaken prefix,
/// which the broker then refuses as an empty name.
fn short(name: &str) -> ShortString {
    ShortString::try_new(name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(topology: &Topology, start: &str) -> Vec<String> {
        let all = topology.describe().into_iter().map(|declared| declared.to_string());
        all.filter(|line| line.starts_with(start)).collect()
    }

    #[test]
    fn a_lane_is_ordered_bounded_and_dead_letters_without_loss() {
        assert_eq!(
            shown(&Topology::default(), "queue sy.webhooks.00"),
            ["queue sy.webhooks.00 x-queue-type=quorum x-overflow=reject-publish \
              x-dead-letter-exchange=sy.dead x-dead-letter-strategy=at-least-once \
              x-dead-letter-routing-key=webhooks x-delivery-limit=20 \
              x-single-active-consumer=true"]
        );
    }

    #[test]
    fn a_wait_queue_returns_messages_under_their_own_key() {
        assert_eq!(
            shown(&Topology::default(), "queue sy.wait.2m"),
            ["queue sy.wait.2m x-queue-type=quorum x-overflow=reject-publish \
              x-dead-letter-exchange=sy.lanes x-dead-letter-strategy=at-least-once \
              x-message-ttl=120000"]
        );
    }

    #[test]
    fn every_family_has_a_way_in_a_way_back_and_a_grave() {
        let topology = Topology::default();
        for family in Family::ALL {
            let name = family.name();
            let grave = format!("binding sy.dead --{name}--> sy.parking");
            assert_eq!(shown(&topology, &grave).len(), 1, "{name}");
            for queue in family.queues() {
                let back = format!("--{}--> {}", queue.return_key(), topology.queue_name(queue));
                assert_eq!(shown(&topology, &format!("binding sy.lanes {back}")).len(), 1);
            }
        }
        assert_eq!(
            shown(&topology, "binding switchyard.events").first().map(String::as_str),
            Some("binding switchyard.events --message.received.00--> sy.chatbots.00")
        );
    }

    #[test]
    fn only_the_events_exchange_may_drop_what_nobody_wants() {
        for declared in Topology::default().describe() {
            let Declaration::Exchange { name, kind, alternate } = declared else { continue };
            let may_drop = name == "switchyard.events" || kind == "fanout";
            assert_eq!(alternate.is_none(), may_drop, "{name}");
        }
    }
}
