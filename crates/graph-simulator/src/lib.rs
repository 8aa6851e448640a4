#![doc = include_str!("../README.md")]

mod body;
mod control;
mod delivery;
mod dice;
mod fault;
mod flood;
mod graph;
mod inbound;
mod ledger;
mod limits;
mod options;
mod sign;
mod simulator;
mod statuses;
mod sync;
mod wamid;
mod wire;
mod world;

pub use self::delivery::WebhookStats;
pub use self::fault::{
    Accept, Answer, Faults, SendRule, Span, StatusName, StatusPlan, TemplateCall, TemplateRule,
    WebhookFaults,
};
pub use self::flood::{FloodError, FloodOptions, FloodReport, Load, Until, flood};
pub use self::inbound::{InboundMessage, Repeat};
pub use self::ledger::{Duplicate, Sent, Violation};
pub use self::limits::Limits;
pub use self::options::{Number, SimulatorOptions, WebhookSettings};
pub use self::sign::{escape, signature};
pub use self::simulator::{Simulator, StartError, WaitError, run};
pub use self::wire::TargetError;
pub use self::world::Stats;
