//! What operators see and do: locks and limits, by HTTP (`/v1/ops/*`) and on the command line.
//!
//! Invariants:
//! - nothing is done by hand without an entry in the audit log: it commits with the change where both
//!   are in the database, before it where they are not;
//! - a workspace's key sees and changes only what is named after something of that workspace; the
//!   whole installation is seen from its command line alone;
//! - people's numbers and Meta's message ids are masked unless whoever looks asks for them and may.

mod audit;
mod desk;
mod error;
pub mod limits;
pub mod locks;
mod names;
mod view;
mod web;

pub use self::desk::{Actor, Dependencies, Desk, start};
pub use self::error::OpsError;
pub use self::names::Naming;
pub use self::view::View;
pub use self::web::routes;
